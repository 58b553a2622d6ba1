"""Where a PIN is looked for, in which order, and what is wrong with the places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from signers.base import SignerError
from signers.pin import find_pin


def pin_file(directory: Path, content: bytes, mode: int = 0o600, name: str = "pin") -> Path:
    path = directory / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_file_then_variables_then_credential_then_prompt(tmp_path: Path) -> None:
    file = pin_file(tmp_path, b"of file \n")
    pin_file(tmp_path, b"of credential\r\n", 0o400, "fedsm-pin")
    environ = {"FEDSM_PIN": "new", "USER_PIN": "old", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    found = [find_pin(file, environ, prompt=lambda: "typed")]
    for name in list(environ):
        found.append(find_pin(None, environ, prompt=lambda: "typed"))
        del environ[name]
    found.append(find_pin(None, environ, prompt=lambda: "typed"))
    assert found == ["of file ", "new", "old", "of credential", "typed"]
    assert find_pin(None, {}) is None
    assert find_pin(None, {"CREDENTIALS_DIRECTORY": str(tmp_path / "other")}, prompt=lambda: "") is None


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_a_pin_file_may_have_a_group_as_secret_stores_mount_it(tmp_path: Path, mode: int) -> None:
    assert find_pin(pin_file(tmp_path, b"123456", mode), {}) == "123456"


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b"123456", 0o644, "chmod o="),
        (b"123456", 0o606, "chmod o="),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"123456\n789", 0o600, "more than one line"),
        (b"12\xff3456", 0o600, "is not UTF-8 text"),
        (b"123456" * 1000, 0o600, "is larger than 4096 bytes"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_and_not_shown(
    tmp_path: Path, content: bytes, mode: int, why: str
) -> None:
    with pytest.raises(SignerError) as refused:
        find_pin(pin_file(tmp_path, content, mode), {})
    assert why in refused.value.message
    assert str(tmp_path / "pin") in refused.value.message
    assert "123456" not in refused.value.message


def test_a_missing_file_and_an_empty_variable_are_refused_and_nothing_else_is_tried(tmp_path: Path) -> None:
    with pytest.raises(SignerError, match=f"cannot read PIN file {tmp_path}/none: No such file"):
        find_pin(tmp_path / "none", {"FEDSM_PIN": "1"})
    with pytest.raises(SignerError, match="variable FEDSM_PIN is empty"):
        find_pin(None, {"FEDSM_PIN": "", "USER_PIN": "1"})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = pin_file(tmp_path, b"1")
    os.chown(path, 4242, 4242)
    with pytest.raises(SignerError, match="belongs to user 4242"):
        find_pin(path, {})
