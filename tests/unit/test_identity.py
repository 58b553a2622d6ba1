"""The identity key on disk, and the certificate that ties it to the block-signing key."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
import wallycore as wally

from states.messages import IdentityCertificate
from tests.members import CHAIN, Member
from transports.identity import (
    CERTIFICATE_FILE,
    KEY_FILE,
    Identity,
    IdentityError,
    certificate_text,
    certify,
    load_identity,
    load_or_certify,
    load_or_make_identity,
    make_identity,
    signed_message_digest,
    verify_certificate,
)

ALICE = Member(0)
GROUP_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


def test_a_made_identity_is_what_loads_again(tmp_path: Path) -> None:
    made = make_identity(tmp_path)
    assert load_identity(tmp_path) == made
    assert load_or_make_identity(tmp_path) == made
    assert len(made.secret) == len(made.public_key) == 32
    assert (tmp_path / KEY_FILE).read_bytes() == made.secret


def test_the_secret_never_shows_in_a_repr(tmp_path: Path) -> None:
    made = make_identity(tmp_path)
    assert made.secret.hex() not in repr(made)
    assert repr(made.secret) not in repr(made)


def test_the_key_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_identity(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    made = make_identity(tmp_path)
    with pytest.raises(IdentityError, match="exists already"):
        make_identity(tmp_path)
    assert load_identity(tmp_path) == made


def test_each_data_directory_has_its_own_identity(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load_or_make_identity(tmp_path / "a") != load_or_make_identity(tmp_path / "b")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_reach_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    make_identity(tmp_path)
    path = tmp_path / KEY_FILE
    path.chmod(mode)
    with pytest.raises(IdentityError, match=f"mode {mode:04o}.*chmod 600 {path}"):
        load_or_make_identity(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", bytes(31), bytes(32), b"\xff" * 32, GROUP_ORDER.to_bytes(32, "big"), b"\x01" * 33]
)
def test_a_corrupt_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    make_identity(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(IdentityError, match="holds no identity key"):
        load_or_make_identity(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_only_a_regular_file_is_read_as_a_key(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    make_identity(tmp_path / "elsewhere")
    (tmp_path / KEY_FILE).symlink_to(tmp_path / "elsewhere" / KEY_FILE)
    with pytest.raises(IdentityError, match="cannot read"):
        load_or_make_identity(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    os.mkfifo(tmp_path / KEY_FILE, 0o600)
    with pytest.raises(IdentityError, match="not a regular file"):
        load_or_make_identity(tmp_path)


def test_missing_keys_and_directories_are_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="there is no"):
        load_identity(tmp_path)
    with pytest.raises(IdentityError, match="cannot create"):
        make_identity(tmp_path / "nowhere")


# The certificate


def test_the_text_names_chain_in_display_order_member_key_and_serial() -> None:
    assert certificate_text(CHAIN, 3, b"\xab" * 32, 17).splitlines() == [
        "fedsm identity certificate",
        "chain: " + CHAIN[::-1].hex(),
        "member: 3",
        "identity key: " + "ab" * 32,
        "serial: 17",
    ]


@pytest.mark.parametrize("length", [1, 252, 253, 1000])
def test_the_digest_is_that_of_signmessage(length: int) -> None:
    size = bytes([length]) if length < 253 else b"\xfd" + length.to_bytes(2, "little")
    preimage = b"\x18Bitcoin Signed Message:\n" + size + b"t" * length
    assert signed_message_digest("t" * length) == hashlib.sha256(hashlib.sha256(preimage).digest()).digest()


def test_a_certificate_verifies_for_its_member_chain_and_key_alone() -> None:
    certificate = ALICE.certificate()
    assert verify_certificate(certificate, CHAIN, ALICE.public_key)
    assert not verify_certificate(certificate, bytes(32), ALICE.public_key)
    assert not verify_certificate(certificate, CHAIN, Member(1).public_key)
    changes: list[dict[str, Any]] = [
        {"member": 1},
        {"serial": 2},
        {"identity_key": Member(1).identity.public_key},
        {"identity_key": b"\xff" * 32},
        {"identity_key": b""},
        {"signature": bytes(64)},
        {"signature": b""},
    ]
    for change in changes:
        assert not verify_certificate(msgspec.structs.replace(certificate, **change), CHAIN, ALICE.public_key)


def test_a_high_s_signature_is_no_certificate() -> None:
    certificate = ALICE.certificate()
    high_s = GROUP_ORDER - int.from_bytes(certificate.signature[32:], "big")
    twisted = certificate.signature[:32] + high_s.to_bytes(32, "big")
    assert bytes(wally.ec_sig_normalize(twisted)) == certificate.signature
    assert not verify_certificate(msgspec.structs.replace(certificate, signature=twisted), CHAIN, ALICE.public_key)


def test_a_signers_wrong_answer_is_caught_when_certifying() -> None:
    for sign_text in (Member(1).sign_text, lambda _text: b"", lambda _text: bytes(65)):
        with pytest.raises(IdentityError, match="does not verify"):
            certify(
                sign_text,
                chain=CHAIN,
                member=0,
                public_key=ALICE.public_key,
                identity_key=ALICE.identity.public_key,
                serial=1,
            )


class Signer:
    """Counts what the block-signing key is asked for."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.texts: list[str] = []

    def sign_text(self, text: str) -> bytes:
        self.texts.append(text)
        return self.member.sign_text(text)


def kept_certificate(directory: Path, signer: Signer, **changes: Any) -> IdentityCertificate:
    fields: dict[str, Any] = {
        "chain": CHAIN,
        "member": 0,
        "public_key": ALICE.public_key,
        "identity_key": ALICE.identity.public_key,
        "serial": 100,
    }
    return load_or_certify(directory, signer.sign_text, **(fields | changes))


def test_the_signer_is_asked_once(tmp_path: Path) -> None:
    signer = Signer(ALICE)
    first = kept_certificate(tmp_path, signer)
    assert kept_certificate(tmp_path, signer, serial=200) == first
    assert first.serial == 100
    assert len(signer.texts) == 1
    assert json.loads((tmp_path / CERTIFICATE_FILE).read_text())["identity_key"] == first.identity_key.hex()
    assert [path.name for path in tmp_path.iterdir()] == [CERTIFICATE_FILE]


@pytest.mark.parametrize(
    "change", [{"chain": bytes(32)}, {"identity_key": Identity.from_secret(b"\x07" * 32).public_key}]
)
def test_what_the_kept_certificate_does_not_cover_is_certified_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    signer = Signer(ALICE)
    kept_certificate(tmp_path, signer)
    renewed = kept_certificate(tmp_path, signer, **change, serial=50)
    assert renewed.serial == 101  # a clock that was set back does not make the new key lose
    assert kept_certificate(tmp_path, signer, **change, serial=50) == renewed
    assert len(signer.texts) == 2


def test_a_certificate_of_another_signing_key_or_member_is_certified_anew(tmp_path: Path) -> None:
    kept_certificate(tmp_path, Signer(ALICE))
    bob = Member(1)
    renewed = kept_certificate(tmp_path, Signer(bob), member=1, public_key=bob.public_key)
    assert verify_certificate(renewed, CHAIN, bob.public_key)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"member":0,"identity_key":"zz","serial":1,"signature":""}', '{"member":"0"}'],
)
def test_a_damaged_certificate_file_costs_one_signature(tmp_path: Path, content: str) -> None:
    signer = Signer(ALICE)
    first = kept_certificate(tmp_path, signer)
    (tmp_path / CERTIFICATE_FILE).write_text(content)
    assert kept_certificate(tmp_path, signer) == first
    (tmp_path / CERTIFICATE_FILE).write_bytes(b"\xff\xfe")
    assert kept_certificate(tmp_path, signer) == first
    assert len(signer.texts) == 3


def test_a_certificate_that_cannot_be_read_or_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / CERTIFICATE_FILE).mkdir()
    with pytest.raises(IdentityError, match="cannot read"):
        kept_certificate(tmp_path, Signer(ALICE))
    with pytest.raises(IdentityError, match="cannot write"):
        kept_certificate(tmp_path / "nowhere", Signer(ALICE))


def test_what_the_signer_raises_passes_through_and_nothing_is_kept(tmp_path: Path) -> None:
    class LockedError(Exception):
        pass

    def locked(_text: str) -> bytes:
        raise LockedError

    with pytest.raises(LockedError):
        load_or_certify(
            tmp_path,
            locked,
            chain=CHAIN,
            member=0,
            public_key=ALICE.public_key,
            identity_key=ALICE.identity.public_key,
            serial=1,
        )
    assert list(tmp_path.iterdir()) == []
