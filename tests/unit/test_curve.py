"""CURVE keys: what is accepted as one, and the file that holds a secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq

from transports.base import TransportError
from transports.curve import CurveKeys, CurvePair, check_public_key, load_key_file, make_pair, write_key_file

PAIRS = [make_pair() for _ in range(3)]
TEXTS = {member: pair.public_text for member, pair in enumerate(PAIRS)}


def test_a_pair_is_one_of_libzmq_and_every_pair_is_new() -> None:
    pair = make_pair()
    assert (len(pair.secret), len(pair.public), len(pair.public_text)) == (32, 32, 40)
    assert check_public_key(pair.public_text) == pair.public
    assert make_pair() != pair


def test_a_pair_never_shows_its_secret() -> None:
    pair = make_pair()
    assert repr(pair.secret) not in repr(pair)
    assert repr(pair.secret) not in repr(CurveKeys(pair, {}))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "40 characters of Z85, this one has 0"),
        ("a" * 39, "40 characters of Z85, this one has 39"),
        ("a" * 41, "40 characters of Z85, this one has 41"),
        ("a" * 64, "this one has 64"),  # a key in hex
        ("~" * 40, "written in Z85, this one is not"),  # not of the alphabet
        ("#" * 40, "written in Z85, this one is not"),  # beyond 32 bits in five characters
        ("é" * 40, "written in Z85, this one is not"),
        (" " * 40, "written in Z85, this one is not"),
    ],
)
def test_what_is_no_public_key_is_named(text: str, complaint: str) -> None:
    with pytest.raises(TransportError, match=complaint):
        check_public_key(text)


# Pinning


def test_pinned_keys_are_those_of_the_others() -> None:
    keys = CurveKeys.pinned(PAIRS[1], 1, TEXTS)
    assert keys == CurveKeys(PAIRS[1], {0: PAIRS[0].public, 2: PAIRS[2].public})


def test_a_malformed_key_is_named_with_its_member() -> None:
    with pytest.raises(TransportError, match=r"^member 2: a CURVE public key has 40 characters"):
        CurveKeys.pinned(PAIRS[0], 0, TEXTS | {2: "short"})


def test_two_members_with_one_key_are_named() -> None:
    with pytest.raises(TransportError, match=r"^members 0 and 2 have one CURVE key$"):
        CurveKeys.pinned(PAIRS[0], 0, TEXTS | {2: TEXTS[0]})


def test_a_key_file_of_another_member_is_refused_naming_both_keys() -> None:
    with pytest.raises(TransportError, match="pinned for member 1") as caught:
        CurveKeys.pinned(PAIRS[0], 1, {1: TEXTS[1], 2: TEXTS[2]})
    assert TEXTS[0] in str(caught.value)
    assert TEXTS[1] in str(caught.value)


def test_a_member_for_whom_nothing_is_pinned_is_refused() -> None:
    with pytest.raises(TransportError, match="pinned for member 5 is none"):
        CurveKeys.pinned(PAIRS[0], 5, {1: TEXTS[1]})


# The file


def test_a_written_key_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "curve.key"
    pair = make_pair()
    write_key_file(path, pair)
    assert load_key_file(path) == pair
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_holds_what_other_tools_of_zeromq_call_a_secret_key(tmp_path: Path) -> None:
    path = tmp_path / "curve.key"
    public, secret = zmq.curve_keypair()
    path.write_bytes(b"  " + secret + b"\n\n")
    path.chmod(0o600)
    assert load_key_file(path).public_text == public.decode()


def test_an_existing_file_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "curve.key"
    path.write_text("precious")
    with pytest.raises(TransportError, match=f"{path} exists already and is not overwritten"):
        write_key_file(path, make_pair())
    assert path.read_text() == "precious"


def test_a_dangling_link_is_not_followed_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "curve.key"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TransportError, match="exists already"):
        write_key_file(path, make_pair())
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"cannot write CURVE key file .*nowhere/curve.key: No such file"):
        write_key_file(tmp_path / "nowhere" / "curve.key", make_pair())


def test_a_write_that_fails_leaves_no_half_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TransportError, match="No space left on device"):
        write_key_file(tmp_path / "curve.key", make_pair())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_touch_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "curve.key"
    write_key_file(path, make_pair())
    path.chmod(mode)
    with pytest.raises(TransportError, match=f"has mode {mode:04o}, others may touch it; run: chmod 600 {path}"):
        load_key_file(path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curve.key"
    write_key_file(path, make_pair())
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(TransportError, match="belongs to user"):
        load_key_file(path)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("fifo", "."):
        with pytest.raises(TransportError, match="is not a regular file"):
            load_key_file(tmp_path / name)
    with pytest.raises(TransportError, match=r"cannot read CURVE key file .*nothing: No such file"):
        load_key_file(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has 40 characters of Z85, this one has 0"),
        (b"a" * 39, "this one has 39"),
        (b"a" * 100_000, "this one has 160"),
        (b"~" * 40, "is written in Z85, this one is not"),
        (b"\xff" * 40, "holds bytes that are no text"),
    ],
)
def test_a_damaged_file_is_named_and_its_content_is_not(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "curve.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(TransportError, match=complaint) as caught:
        load_key_file(path)
    assert str(path) in str(caught.value)
    assert content[:5].decode("latin-1") not in str(caught.value) or not content


def test_pairs_compare_by_their_keys() -> None:
    pair = make_pair()
    assert pair == CurvePair(pair.secret, pair.public)
