"""fedsm hsm on a real token (SoftHSM2): from an empty module to a key that is known to be fit."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fedsm.errors import PinRefusedError
from tests.hsm import LABEL, P256_OID, PIN, SO_PIN, Shim, Tokens
from tests.unit.cli_runner import CommandLine

TOKEN = ("--pkcs11-token", "t", "--pkcs11-key", LABEL)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tokens: Tokens) -> CommandLine:
    """The command with the module and the PIN in its environment."""
    line = CommandLine(monkeypatch)
    monkeypatch.delenv("KEY_LABEL", raising=False)
    monkeypatch.delenv("USER_PIN", raising=False)
    monkeypatch.setenv("PKCS11_LIB", tokens.module)
    monkeypatch.setenv("FEDSM_PIN", PIN)
    return line


def said(command: CommandLine, *arguments: str) -> str:
    """What a command that succeeds prints to standard output."""
    result = command.invoke("hsm", *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


def checks(command: CommandLine, *arguments: str) -> dict[str, dict[str, object]]:
    """The table of ``hsm check``, whatever it says."""
    rows: dict[str, dict[str, object]] = json.loads(command.invoke("hsm", "check", "--json", *arguments).stdout)
    return rows


def test_init_makes_token_and_key_that_list_pubkey_and_check_agree_about(
    command: CommandLine, tmp_path: Path
) -> None:
    so_pin = tmp_path / "so-pin"
    so_pin.write_text(SO_PIN + "\n", encoding="ascii")
    so_pin.chmod(0o600)
    key = said(command, "init", *TOKEN, "--pkcs11-key-id", "0a0b", "--so-pin-file", str(so_pin))
    assert len(bytes.fromhex(key)) == 33
    assert said(command, "pubkey") == key
    assert f'key "{LABEL}", id 0a0b: {key}' in said(command, "list", "--pkcs11-token", "t")
    listed = json.loads(said(command, "list", "--json"))
    made, empty = listed["tokens"]
    assert (made["label"], empty["initialised"]) == ("t", False)
    assert made["keys"] == [{"label": LABEL, "id": "0a0b", "public_key": key, "fault": None}]
    assert made["mechanisms"] == {
        "CKM_ECDSA": ["sign", "verify"],
        "CKM_ECDSA_SHA256": None,
        "CKM_EC_KEY_PAIR_GEN": ["generate key pairs"],
    }
    table = said(command, "check").splitlines()
    assert [line[:20].strip() for line in table] == [
        "module loads", "token present", "PIN accepted", "key found", "secp256k1", "sensitive", "not extractable",
        "sign and verify", "low-S", "signatures a second",
    ]  # fmt: skip
    assert all(line[21:23] == "ok" for line in table)
    assert "enough for blocks every 60 s" in table[-1]


def test_init_overwrites_nothing_and_adds_a_key_to_a_token_that_is_there(
    command: CommandLine, tokens: Tokens
) -> None:
    serial = tokens.add("t")
    first = said(command, "init", *TOKEN)
    line = command.refusal("hsm", "init", *TOKEN)
    assert f'has the key "{LABEL}"' in line
    assert "nothing is overwritten" in line
    second = said(command, "init", "--pkcs11-serial", serial, "--pkcs11-key", "second", "--pkcs11-key-id", "02")
    assert "already" in command.refusal("hsm", "init", *TOKEN[:2], "--pkcs11-key", "third", "--pkcs11-key-id", "02")
    assert {first, second} == {said(command, "pubkey", "--pkcs11-key", label) for label in (LABEL, "second")}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (TOKEN, "a new token needs a PIN for its security officer"),
        (TOKEN[2:], "name the token that is to be used or made"),
        (("--pkcs11-serial", "1", *TOKEN[2:]), "name the token that is to be used or made"),
    ],
)
def test_init_says_what_it_lacks_and_makes_nothing(
    command: CommandLine, tokens: Tokens, arguments: tuple[str, ...], why: str
) -> None:
    assert why in command.refusal("hsm", "init", *arguments)
    assert list(tokens.directory.iterdir()) == []


def test_init_without_a_pin_or_a_name_for_the_key_is_refused(command: CommandLine, tokens: Tokens) -> None:
    tokens.add("t")
    assert "name the new key" in command.refusal("hsm", "init", "--pkcs11-token", "t")
    command.invoke("hsm", "init", *TOKEN)
    assert "variable FEDSM_PIN is empty" in command.refusal("hsm", "init", *TOKEN, FEDSM_PIN="")


def test_check_names_what_fails_and_does_not_try_what_builds_on_it(command: CommandLine, tokens: Tokens) -> None:
    missing = checks(command, *TOKEN)
    assert [name for name, row in missing.items() if row["ok"]] == ["module loads"]
    assert 'no token with label "t"' in str(missing["token present"]["detail"])
    assert missing["PIN accepted"] == {"ok": None, "detail": "not tried"}

    tokens.add("t")
    assert checks(command, *TOKEN)["key found"]["ok"] is False
    tokens.make_key("t", "p256", curve=P256_OID, CKA_ID=b"\2")
    curve = checks(command, "--pkcs11-key", "p256")["secp256k1"]
    assert curve["ok"] is False
    assert "P-256" in str(curve["detail"])

    tokens.make_key("t", "loose", CKA_EXTRACTABLE=True, CKA_ID=b"\3")
    loose = checks(command, "--pkcs11-key", "loose")
    assert [name for name, row in loose.items() if not row["ok"]] == ["not extractable"]
    allowed = checks(command, "--pkcs11-key", "loose", "--allow-extractable")
    assert all(row["ok"] for row in allowed.values())
    assert "not fit for fedsm: not extractable" in command.refusal("hsm", "check", "--pkcs11-key", "loose")


def test_check_tells_whether_the_token_keeps_up_with_the_block_interval(
    command: CommandLine, tokens: Tokens, shim: Shim
) -> None:
    tokens.add("t")
    tokens.make_key("t")
    shim.tell("sign-delay-ms=30")
    slow = checks(command, "--pkcs11-module", shim.module, "--blocktime", "0.05")
    assert [name for name, row in slow.items() if not row["ok"]] == ["signatures a second"]
    assert "too slow for blocks every 0.05 s" in str(slow["signatures a second"]["detail"])


@pytest.mark.parametrize("name", ["check", "pubkey", "list"])
def test_a_wrong_pin_is_tried_once_and_has_its_own_status(
    command: CommandLine, tokens: Tokens, shim: Shim, name: str
) -> None:
    tokens.add("t")
    result = command.invoke("hsm", name, "--pkcs11-module", shim.module, FEDSM_PIN="wrong")
    assert isinstance(result.exception, PinRefusedError)
    assert result.exception.status == 3
    assert shim.calls("C_Login") == 1


def test_list_tries_the_pin_on_no_token_but_the_one_that_is_meant(
    command: CommandLine, tokens: Tokens, shim: Shim
) -> None:
    tokens.add("one")
    tokens.add("two")
    assert "shown if this token is named" in said(command, "list", "--pkcs11-module", shim.module)
    assert shim.calls("C_Login") == 0


def test_without_a_pin_anywhere_a_terminal_is_asked_and_does_not_show_it(
    command: CommandLine, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens.add("t")
    key = said(command, "init", *TOKEN)
    monkeypatch.delenv("FEDSM_PIN")
    assert "asks for a PIN and there is none" in command.refusal("hsm", "pubkey")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "fedsm", "hsm", "pubkey"],
        stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"PIN of the token: " not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, PIN.encode() + b"\n")
    answer, _ = child.communicate(timeout=60)
    assert answer.decode().strip() == key
    with contextlib.suppress(OSError):  # the end of a terminal
        while more := os.read(ours, 1000):
            shown += more
    os.close(ours)
    assert PIN.encode() not in shown


def test_multisig_makes_the_script_of_the_members_keys(command: CommandLine, tokens: Tokens) -> None:
    tokens.add("t")
    keys = [said(command, "init", *TOKEN[:3], f"key {number}") for number in range(3)]
    script = json.loads(said(command, "multisig", "2", *keys, "--json"))["script"]
    assert script == "52" + "".join("21" + key for key in keys) + "53ae"
