"""The software key: recorded signatures to the byte, key files and variables with exact refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import wallycore as wally
from hypothesis import given
from hypothesis import strategies as st

from signers.base import SignerError
from signers.ecdsa import bitcoin_message_digest, verify_compact, verify_der
from signers.private_file import MAX_BYTES
from signers.software import (
    KEY_VARIABLE,
    SoftwareSigner,
    encode_wif,
    generate_key,
    key_credential,
    load_key,
    write_key_file,
)
from tests.elements_vectors import blocks, federation_of

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
SECRET = bytes.fromhex("7770dd14e240f8bca2c30de11f21c29f57d0d6be64a4f953709353d3bd23b8fe")
WIF = "cRaswWmTCX8pBH2XM1XNftAUSiUeWWuRK3u4gxos8kgwKGgJSQdA"
OCEAN_KEYS = next(
    row
    for row in map(json.loads, (Path(__file__).parents[1] / "vectors/ocean/blocks_2of3.jsonl").open())
    if row.get("kind") == "keys"
)
# two recorded blocks were signed without grinding, to measure the size limit
GROUND = [case for case in blocks() if "low-R ground" not in case.values[1].get("note", "")]
keys = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "member.key"
    path.write_text(WIF + "\n", encoding="ascii")
    path.chmod(0o600)
    return path


def refusal(path: Path | None = None, environ: dict[str, str] | None = None) -> str:
    """The one-line message of a key that cannot be loaded."""
    with pytest.raises(SignerError) as caught:
        load_key(path, environ or {})
    assert caught.value.kind == "misconfigured"
    assert "\n" not in caught.value.message
    return caught.value.message


# --- signing


@pytest.mark.parametrize(("chain", "block"), GROUND)
def test_block_signatures_are_byte_identical_to_the_recorded_ones(
    chain: dict[str, Any], block: dict[str, Any]
) -> None:
    members = {member["pubkey"]: member for member in federation_of(chain, block)["members"]}
    assert block["signatures"]
    for recorded in block["signatures"]:
        signer = SoftwareSigner(bytes.fromhex(members[recorded["pubkey"]]["privkey"]))
        assert signer.public_key.hex() == recorded["pubkey"]
        signature = signer.sign_block(bytes.fromhex(block["digest"]), bytes.fromhex(block["signed_header_hex"]))
        assert signature.hex() == recorded["der"]


@given(keys, st.binary(min_size=32, max_size=32))
def test_block_signatures_are_valid_and_at_most_70_bytes(secret: bytes, digest: bytes) -> None:
    signer = SoftwareSigner(secret)
    signature = signer.sign_block(digest, b"")
    assert verify_der(signer.public_key, digest, signature)
    assert len(signature) <= 70
    assert signature[4] < 0x80


@given(keys, st.text(min_size=1, max_size=200))
def test_text_signatures_are_compact_and_valid(secret: bytes, text: str) -> None:
    signer = SoftwareSigner(secret)
    assert verify_compact(signer.public_key, bitcoin_message_digest(text), signer.sign_text(text))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_that_is_not_32_bytes_is_refused(length: int) -> None:
    with pytest.raises(SignerError, match=rf"^a digest to sign has 32 bytes, this one has {length}$") as caught:
        SoftwareSigner(SECRET).sign_block(bytes(length), b"")
    assert caught.value.kind == "refused"


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(SignerError, match=r"^a message to sign has 1 to 65472 UTF-8 bytes$") as caught:
        SoftwareSigner(SECRET).sign_text("")
    assert caught.value.kind == "refused"


def test_a_closed_signer_signs_nothing() -> None:
    signer = SoftwareSigner(SECRET)
    signer.close()
    signer.close()
    for call in (lambda: signer.sign_block(bytes(32), b""), lambda: signer.sign_text("x")):
        with pytest.raises(SignerError, match=r"^the signer is closed$") as caught:
            call()
        assert caught.value.kind == "unavailable"


@pytest.mark.parametrize("secret", [b"", bytes(32), b"\xff" * 32, bytes(31) + b"\x01\x00"])
def test_an_impossible_secret_is_refused_without_being_shown(secret: bytes) -> None:
    with pytest.raises(SignerError, match=r"^the secret is not a valid secp256k1 private key$"):
        SoftwareSigner(secret)


def test_the_secret_is_not_shown() -> None:
    signer = SoftwareSigner(SECRET)
    assert repr(signer) == str(signer) == f"SoftwareSigner(public_key={signer.public_key.hex()})"


# --- loading


@pytest.mark.parametrize("content", [WIF, f"  {WIF}\n\n", SECRET.hex(), SECRET.hex().upper() + "\n"])
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_file_with_wif_or_hex_is_loaded(key_file: Path, content: str, mode: int) -> None:
    key_file.write_text(content, encoding="ascii")
    key_file.chmod(mode)
    assert load_key(key_file) == SECRET


def test_the_recorded_node_keys_are_read() -> None:
    for wif, secret, public_key in zip(*(OCEAN_KEYS[k] for k in ("wif", "privhex", "pubkeys")), strict=True):
        loaded = load_key(environ={KEY_VARIABLE: wif})
        assert loaded.hex() == secret
        assert SoftwareSigner(loaded).public_key.hex() == public_key


@given(keys, st.integers(0, 255))
def test_wif_of_any_version_prefix_is_read_back(secret: bytes, prefix: int) -> None:
    assert load_key(environ={KEY_VARIABLE: encode_wif(secret, prefix)}) == secret


def test_a_link_to_a_private_file_is_followed(key_file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(key_file)
    assert load_key(link) == SECRET


def test_a_key_file_comes_before_the_variable(key_file: Path) -> None:
    assert load_key(key_file, {KEY_VARIABLE: "rubbish"}) == SECRET


def test_a_credential_of_systemd_is_found_and_may_have_a_group(tmp_path: Path) -> None:
    credential = tmp_path / "fedsm-key"
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert key_credential(environment) is key_credential({}) is None
    credential.write_text(WIF, encoding="ascii")
    credential.chmod(0o440)  # as systemd gives it, where the user of the service is let in by an access list
    assert key_credential(environment) == credential
    assert load_key(credential, environment) == SECRET
    assert "chmod 600" in refusal(credential)
    credential.chmod(0o444)
    assert "others may touch it" in refusal(credential, environment)


def test_without_file_and_variable_both_are_named() -> None:
    assert refusal() == "no signing key: give a key file or set FEDSM_KEY"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o644])
def test_a_file_others_may_touch_is_refused_with_the_cure(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    assert refusal(key_file) == (
        f"key file {key_file} has mode {mode:04o}, others may touch it; run: chmod 600 {key_file}"
    )


def test_the_cure_is_quoted_for_the_shell(tmp_path: Path) -> None:
    path = tmp_path / "my key"
    path.write_text(WIF, encoding="ascii")
    path.chmod(0o644)
    assert refusal(path).endswith(f"run: chmod 600 '{path}'")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none"
    assert refusal(path) == f"cannot read key file {path}: No such file or directory"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"key file {tmp_path} is not a regular file"


def test_a_fifo_is_refused_without_hanging(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)
    assert refusal(path) == f"key file {path} is not a regular file"


def test_a_file_of_another_user_is_refused(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = key_file.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert refusal(key_file) == (
        f"key file {key_file} belongs to user {owner}, not to user {owner + 1} who runs this"
    )


def test_a_huge_file_is_refused(key_file: Path) -> None:
    key_file.write_bytes(b"0" * (MAX_BYTES + 1))
    assert refusal(key_file) == f"key file {key_file} is larger than 4096 bytes"


UNCOMPRESSED = str(wally.base58check_from_bytes(b"\xef" + SECRET))
NOT_WIF = ": base58 is sound but it is not a WIF private key"
BAD_KEYS = {
    "": "is empty",
    "  \n": "is empty",
    WIF[:-1] + "B": ": neither WIF (bad base58 or checksum) nor 64 hex digits",
    SECRET.hex()[:-1]: ": neither WIF (bad base58 or checksum) nor 64 hex digits",
    SECRET.hex() + "0": ": neither WIF (bad base58 or checksum) nor 64 hex digits",
    f"{WIF} {WIF}": ": neither WIF (bad base58 or checksum) nor 64 hex digits",
    "k\u00e9y": ": neither WIF (bad base58 or checksum) nor 64 hex digits",
    UNCOMPRESSED: (": WIF is for an uncompressed public key; block-signing scripts here hold compressed keys only"),
    str(wally.base58check_from_bytes(b"\xef" + SECRET + b"\x02")): NOT_WIF,
    str(wally.base58check_from_bytes(b"\x6f" + bytes(20))): NOT_WIF,
    "00" * 32: ": the secret is not a valid secp256k1 private key",
    f"{ORDER:064x}": ": the secret is not a valid secp256k1 private key",
    str(wally.base58check_from_bytes(b"\xef" + bytes(32) + b"\x01")): (
        ": the secret is not a valid secp256k1 private key"
    ),
}


@pytest.mark.parametrize(("text", "reason"), BAD_KEYS.items())
def test_bad_keys_are_refused_with_the_reason_and_never_shown(key_file: Path, text: str, reason: str) -> None:
    reason = reason if reason.startswith(":") else f" {reason}"
    key_file.write_text(text, encoding="utf-8")
    for source, message in (
        (f"key file {key_file}", refusal(key_file)),
        ("variable FEDSM_KEY", refusal(None, {KEY_VARIABLE: text})),
    ):
        assert message == source + reason
        assert not text.strip() or text.strip() not in message


def test_no_exception_behind_a_refusal_holds_the_text(key_file: Path) -> None:
    key_file.write_bytes(WIF.encode()[:-1] + b"\xff")
    with pytest.raises(SignerError) as caught:
        load_key(key_file)
    error: BaseException | None = caught.value
    while error is not None:
        assert WIF[:20] not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# --- making


def test_new_keys_are_valid_and_differ() -> None:
    made = {generate_key() for _ in range(50)}
    assert len(made) == 50
    for secret in made:
        assert SoftwareSigner(secret).public_key[0] in (2, 3)


def test_random_bytes_that_are_no_key_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([bytes(32), b"\xff" * 32, SECRET])
    monkeypatch.setattr("secrets.token_bytes", lambda _length: next(draws))
    assert generate_key() == SECRET


def test_a_written_key_file_is_private_whatever_the_umask_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    umask = os.umask(0)
    try:
        write_key_file(path, SECRET, prefix=0xEF)
    finally:
        os.umask(umask)
    assert path.read_text(encoding="ascii") == WIF + "\n"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert load_key(path) == SECRET


def test_an_existing_file_is_never_overwritten(key_file: Path, tmp_path: Path) -> None:
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "elsewhere")
    for path in (key_file, dangling):
        with pytest.raises(SignerError) as caught:
            write_key_file(path, generate_key(), prefix=0xEF)
        assert caught.value.message == f"key file {path} exists already and is not overwritten"
    assert key_file.read_text(encoding="ascii") == WIF + "\n"
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_file_in_no_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none" / "new.key"
    with pytest.raises(SignerError) as caught:
        write_key_file(path, SECRET, prefix=0xEF)
    assert caught.value.message == f"cannot write key file {path}: No such file or directory"


def test_a_key_file_that_cannot_be_made_durable_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "new.key"
    with pytest.raises(SignerError) as caught:
        write_key_file(path, SECRET, prefix=0xEF)
    assert caught.value.message == f"cannot write key file {path}: No space left on device"
    assert not path.exists()
