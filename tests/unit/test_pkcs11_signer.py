"""Signing by a real token (SoftHSM2): what leaves the signer, which keys it takes, and how it gets over faults."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from signers import pkcs11_child
from signers.base import PinError, SignerError
from signers.ecdsa import bitcoin_message_digest, verify_compact, verify_der
from signers.pkcs11 import Pkcs11Signer
from tests.hsm import LABEL, P256_OID, PIN, Shim, Tokens

Open = Callable[..., Pkcs11Signer]
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_signer(tokens: Tokens, clock: Clock) -> Iterator[Open]:
    """Makes signers on the token "t", which has a key, and closes them."""
    tokens.add("t")
    tokens.make_key("t")
    made: list[Pkcs11Signer] = []

    def make(pin: str | None = PIN, *, allow_extractable: bool = False, **changes: Any) -> Pkcs11Signer:
        place = tokens.place(**changes)
        made.append(Pkcs11Signer(place, pin, allow_extractable=allow_extractable, clock=clock))
        return made[-1]

    yield make
    for signer in made:
        signer.close()


def digest_of(text: str) -> tuple[bytes, bytes]:
    """A digest, and data that begins with what is hashed for it."""
    source = text.encode()
    return hashlib.sha256(hashlib.sha256(source).digest()).digest(), source + b" and the rest of the block"


def sign(signer: Pkcs11Signer, text: str) -> None:
    digest, source = digest_of(text)
    assert verify_der(signer.public_key, digest, signer.sign_block(digest, source))


def refusal(make: Callable[[], object], kind: str = "misconfigured") -> str:
    with pytest.raises(SignerError) as caught:
        make()
    assert caught.value.kind == kind
    assert "\n" not in caught.value.message
    return caught.value.message


# --- what it signs


def test_a_hundred_signatures_are_strict_low_s_and_valid_and_some_were_made_low(open_signer: Open) -> None:
    signer = open_signer()
    low = 0
    for number in range(100):
        digest, _ = digest_of(f"block {number}")
        der = signer.sign_block(digest, b"")
        assert verify_der(signer.public_key, digest, der)  # strict and low-S too
        raw = signer._process.sign(digest)  # type: ignore[union-attr]
        low += int.from_bytes(raw[32:], "big") <= ORDER // 2
    assert 0 < low < 100, "the token itself gives high S as often, so that the test shows something"


def test_texts_are_signed_compact_and_low_s(open_signer: Open) -> None:
    signer = open_signer()
    for text in ("a", "identity certificate\n" * 20, "ü" * 300):
        assert verify_compact(signer.public_key, bitcoin_message_digest(text), signer.sign_text(text))
    assert "1 to 65472" in refusal(lambda: signer.sign_text(""), "refused")


def test_a_digest_of_another_length_never_reaches_the_token(open_signer: Open) -> None:
    signer = open_signer()
    assert refusal(lambda: signer.sign_block(bytes(31), b""), "refused") == (
        "a digest to sign has 32 bytes, this one has 31"
    )
    sign(signer, "and it goes on")


def test_a_token_that_hashes_itself_gets_what_is_hashed_once(open_signer: Open, shim: Shim) -> None:
    shim.tell("sha256")
    signer = open_signer(module=shim.module)
    sign(signer, "block")
    assert verify_compact(signer.public_key, bitcoin_message_digest("text"), signer.sign_text("text"))
    before = shim.calls("C_Sign")
    assert "of no beginning of these 4 bytes" in refusal(lambda: signer.sign_block(bytes(32), b"else"), "refused")
    assert shim.calls("C_Sign") == before


def test_a_false_signature_of_the_token_does_not_leave_the_signer(open_signer: Open, shim: Shim) -> None:
    signer = open_signer(module=shim.module)
    shim.tell("sign-wrong")
    assert "does not verify" in refusal(lambda: sign(signer, "block"), "refused")
    shim.tell()
    sign(signer, "block")


# --- which key


def test_the_key_is_found_by_label_id_serial_or_because_it_is_the_only_one(
    open_signer: Open, tokens: Tokens
) -> None:
    key = open_signer().public_key
    assert open_signer(token=None, label=None).public_key == key
    assert open_signer(label=None, key_id=b"\1", model="SoftHSM v2").public_key == key
    other = tokens.add("other")
    assert "it has none" in refusal(lambda: open_signer(token="other"))
    assert f"serial {other}" in refusal(lambda: open_signer(token=None))
    tokens.make_key("t", "second", CKA_ID=b"\2")
    assert open_signer(key_id=b"\2", label=None).public_key != key


def test_what_is_not_there_is_named_with_what_is_there(open_signer: Open) -> None:
    assert 'no token with label "T" and serial "7"' in refusal(lambda: open_signer(token="T", serial="7"))
    line = refusal(lambda: open_signer(label="blocks"))
    assert 'no private key with label "blocks" on token "t"' in line
    assert f'it has "{LABEL}" (id 01)' in line
    assert "/nowhere.so cannot be loaded" in refusal(lambda: open_signer(module="/nowhere.so"))
    assert "is not a PKCS#11 module" in refusal(lambda: open_signer(module="libm.so.6"))
    assert "asks for a PIN and there is none" in refusal(lambda: open_signer(None))


def test_two_tokens_or_keys_with_one_label_are_told_apart_only_by_more(open_signer: Open, tokens: Tokens) -> None:
    tokens.make_key("t", CKA_ID=b"\2")
    line = refusal(open_signer)
    assert f'private key with label "{LABEL}" is not one but 2' in line
    assert "(id 01)" in line
    assert "(id 02)" in line
    sign(open_signer(key_id=b"\2"), "block")
    (first,) = (path.name.replace("-", "")[-16:] for path in tokens.directory.iterdir())
    second = tokens.add("t")
    line = refusal(open_signer)
    assert 'token with label "t" is not one but 2' in line
    assert first in line
    assert second in line
    assert "it has none" in refusal(lambda: open_signer(serial=second))
    sign(open_signer(serial=first, key_id=b"\1"), "block")


def test_a_key_on_another_curve_is_refused_by_the_curves_name(open_signer: Open, tokens: Tokens) -> None:
    tokens.make_key("t", "p256", curve=P256_OID, CKA_ID=b"\2")
    assert "is on the curve P-256, not on secp256k1" in refusal(lambda: open_signer(label="p256"))


def test_a_key_that_could_leave_the_token_is_refused_unless_allowed(open_signer: Open, tokens: Tokens) -> None:
    tokens.make_key("t", "loose", CKA_EXTRACTABLE=True, CKA_ID=b"\2")
    tokens.make_key("t", "plain", CKA_SENSITIVE=False, CKA_ID=b"\3")
    assert "CKA_EXTRACTABLE is true" in refusal(lambda: open_signer(label="loose"))
    assert "CKA_SENSITIVE is false" in refusal(lambda: open_signer(label="plain"))
    for label in ("loose", "plain"):
        sign(open_signer(label=label, allow_extractable=True), "block")


def test_the_public_key_comes_from_the_private_object_where_there_is_no_public_one(
    open_signer: Open, shim: Shim
) -> None:
    key = open_signer().public_key
    shim.tell("private-point")
    assert open_signer(module=shim.module).public_key == key


# --- the PIN


def test_a_wrong_pin_is_tried_once_and_never_again(open_signer: Open, shim: Shim) -> None:
    with pytest.raises(PinError, match="the PIN is wrong"):
        open_signer("9999", module=shim.module)
    assert shim.calls("C_Login") == 1


def test_a_pin_that_is_changed_meanwhile_is_tried_once_and_never_again(
    open_signer: Open, tokens: Tokens, shim: Shim, clock: Clock
) -> None:
    signer = open_signer(module=shim.module)
    with tokens._at_work("t") as session:
        session.setPin(PIN, "4321")
    shim.tell("sign-error=0x101")
    with capture_logs() as lines:
        for _ in range(5):
            with pytest.raises(PinError):
                sign(signer, "block")
            clock.now_s += 60
    assert shim.calls("C_Login") == 2, "once at the start, once after the loss"
    assert [line["event"] for line in lines] == ["hsm_lost", "hsm_pin_refused"]


@pytest.mark.parametrize(
    ("word", "why"), [("final-try", "locked by one more wrong PIN"), ("locked", "is locked: unlock it")]
)
def test_a_token_that_is_locked_or_about_to_be_is_left_to_the_operator(
    open_signer: Open, shim: Shim, word: str, why: str
) -> None:
    shim.tell(word)
    with pytest.raises(PinError, match=why):
        open_signer(module=shim.module)
    assert shim.calls("C_Login") == 0


# --- faults


@pytest.mark.parametrize("fault", ["sign-error=0x30", "sign-error=0x101", "sign-crash"])
def test_after_a_fault_of_the_session_it_logs_in_again(
    open_signer: Open, shim: Shim, clock: Clock, fault: str
) -> None:
    signer = open_signer(module=shim.module)
    shim.tell(fault)
    with capture_logs() as lines:
        refusal(lambda: sign(signer, "block"), "unavailable")
        assert (shim.calls("C_Login"), shim.calls("C_Sign")) == (2, 2), "a second attempt was made at once"
        shim.tell()
        clock.now_s += 0.5
        sign(signer, "block")
    assert [line["event"] for line in lines] == ["hsm_lost", "hsm_back"]


def test_pauses_between_attempts_grow_and_nothing_is_asked_meanwhile(
    open_signer: Open, shim: Shim, clock: Clock
) -> None:
    signer = open_signer(module=shim.module)
    shim.tell("sign-error=0x30")
    pauses = []
    for _ in range(7):
        refusal(lambda: sign(signer, "block"), "unavailable")
        calls = shim.calls("C_Login") + shim.calls("C_Sign")
        assert "tried again in" in refusal(lambda: sign(signer, "block"), "unavailable")
        assert shim.calls("C_Login") + shim.calls("C_Sign") == calls
        pauses.append(signer._next_try_s - clock.now_s)
        clock.now_s += pauses[-1]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


def test_one_failed_call_costs_no_signature(open_signer: Open, shim: Shim) -> None:
    signer = open_signer(module=shim.module)
    os.kill(signer._process._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
    sign(signer, "block")
    assert shim.calls("C_Login") == 2


def test_a_real_token_that_is_pulled_out_and_put_back_signs_again(
    open_signer: Open, tokens: Tokens, clock: Clock
) -> None:
    signer = open_signer()
    (serial,) = (path.name.replace("-", "")[-16:] for path in tokens.directory.iterdir())
    with tokens.pulled_out(serial):
        refusal(lambda: sign(signer, "block"), "unavailable")
    clock.now_s += 10
    sign(signer, "block")


def test_another_key_in_its_place_is_not_signed_with(open_signer: Open, tokens: Tokens, clock: Clock) -> None:
    signer = open_signer()
    (serial,) = (path.name.replace("-", "")[-16:] for path in tokens.directory.iterdir())
    with tokens.pulled_out(serial):
        tokens.add("t")
        tokens.make_key("t")
        refusal(lambda: sign(signer, "block"), "unavailable")
        clock.now_s += 10
        assert "is another one now" in refusal(lambda: sign(signer, "block"), "unavailable")


def test_a_token_that_hangs_is_given_up(open_signer: Open, shim: Shim, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_signer(module=shim.module)
    monkeypatch.setattr(pkcs11_child, "SIGN_LIMIT_S", 0.3)
    monkeypatch.setattr(pkcs11_child, "_END_LIMIT_S", 0.1)
    shim.tell("sign-delay-ms=600000")
    assert "gave no answer to a signature for 0.3 s" in refusal(lambda: sign(signer, "block"), "unavailable")


def test_a_closed_signer_signs_nothing_and_a_call_under_way_ends(open_signer: Open, shim: Shim) -> None:
    signer = open_signer(module=shim.module)
    shim.tell("sign-delay-ms=600000")
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(refusal(lambda: sign(signer, "block"), "unavailable")))
    caller.start()
    while not shim.calls("C_Sign"):
        time.sleep(0.01)
    signer.close()
    signer.close()
    caller.join(20)
    assert said == ["the signer is closed"]
    assert refusal(lambda: sign(signer, "block"), "unavailable") == "the signer is closed"
    assert shim.calls("C_Login") == 1


def test_the_tokens_process_ends_with_the_daemon_and_knows_none_of_its_secrets(
    open_signer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSM_PIN", PIN)
    monkeypatch.setenv("USER_PIN", PIN)
    signer = open_signer()
    process = signer._process._process  # type: ignore[union-attr]
    for place in ("environ", "cmdline"):
        assert PIN.encode() not in Path(f"/proc/{process.pid}/{place}").read_bytes()
    signer._process._socket.close()  # type: ignore[union-attr]
    assert process.wait(20) == 0
