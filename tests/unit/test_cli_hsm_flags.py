"""The HSM of a daemon as flags, variables and the old daemon's variables describe it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from fedsm.cli import hsm_options
from fedsm.hsm import HsmAccess
from signers.pkcs11_place import KeyPlace
from tests.unit.cli_runner import NODES, CommandLine

MINIMAL = ("--id", "1", "--nodes", NODES)
NAMES = ["pkcs11_uri", "pkcs11_module", "pkcs11_token", "pkcs11_serial", "pkcs11_key", "pkcs11_key_id", "pin_file"]
OLD = {"PKCS11_LIB": "/usr/lib/p11.so", "USER_PIN": "1234", "KEY_LABEL": "block"}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    for name in OLD:
        monkeypatch.delenv(name, raising=False)
    return CommandLine(monkeypatch)


@pytest.fixture
def pin_file(tmp_path: Path) -> Path:
    path = tmp_path / "pin"
    path.write_text("5678\n", encoding="ascii")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("flag", [("--hsm", "1"), ("--hsm=1",), ("--hsm",), ("--hsm", "true")])
def test_the_old_daemons_way(command: CommandLine, flag: tuple[str, ...]) -> None:
    wanted = HsmAccess(KeyPlace(module="/usr/lib/p11.so", label="block"), "1234")
    assert command.config(*flag, *MINIMAL, **OLD).hsm == wanted
    assert command.config(*MINIMAL, *flag, **OLD).hsm == wanted


@pytest.mark.parametrize("flag", [("--hsm", "0"), ("--hsm=0",), ("--hsm", "false"), ()])
def test_hsm_0_means_no_hsm_and_so_do_the_old_variables_alone(command: CommandLine, flag: tuple[str, ...]) -> None:
    assert command.config(*MINIMAL, *flag, **OLD).hsm is None
    assert command.config(*MINIMAL, "--pkcs11-module", "/p11.so", "--hsm", "0", **OLD).hsm is None


def test_flags_uri_and_variables_say_the_same(command: CommandLine, pin_file: Path) -> None:
    flags = (
        "--pkcs11-module", "/p11.so", "--pkcs11-token", "t", "--pkcs11-serial", "s",
        "--pkcs11-key", "k", "--pkcs11-key-id", "00ff", "--pin-file", str(pin_file),
    )  # fmt: skip
    uri = f"pkcs11:token=t;serial=s;object=k;id=%00%FF?module-path=/p11.so&pin-source=file:{pin_file}"
    variables = {
        "FEDSM_PKCS11_MODULE": "/p11.so", "FEDSM_PKCS11_TOKEN": "t", "FEDSM_PKCS11_SERIAL": "s",
        "FEDSM_PKCS11_KEY": "k", "FEDSM_PKCS11_KEY_ID": "00FF", "FEDSM_PIN": "5678",
    }  # fmt: skip
    place = KeyPlace(module="/p11.so", token="t", serial="s", label="k", key_id=b"\0\xff")
    wanted = HsmAccess(place, "5678")
    assert command.config(*MINIMAL, *flags).hsm == wanted
    assert command.config(*MINIMAL, *flags, **OLD).hsm == wanted
    assert command.config(*MINIMAL, "--pkcs11-uri", uri, **OLD).hsm == wanted
    assert command.config(*MINIMAL, "--pkcs11-uri", uri, *flags).hsm == wanted
    assert command.config(*MINIMAL, **variables, **OLD).hsm == wanted


def test_what_is_left_open_is_filled_by_the_old_variables(command: CommandLine) -> None:
    hsm = command.config(*MINIMAL, "--pkcs11-uri", "pkcs11:token=t", **OLD).hsm
    assert hsm == HsmAccess(KeyPlace(module="/usr/lib/p11.so", token="t", label="block"), "1234")
    named = command.config(*MINIMAL, "--hsm", "--pkcs11-key-id", "07", "--allow-extractable", **OLD).hsm
    assert named == HsmAccess(KeyPlace(module="/usr/lib/p11.so", key_id=b"\7"), "1234", allow_extractable=True)


def test_no_pin_is_needed_yet_and_none_is_shown(command: CommandLine) -> None:
    assert command.config(*MINIMAL, "--pkcs11-module", "/p11.so").hsm == HsmAccess(KeyPlace(module="/p11.so"))
    assert "1234" not in repr(command.config(*MINIMAL, "--hsm", **OLD))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--hsm",), "no PKCS#11 module: name its file with --pkcs11-module"),
        (("--pkcs11-uri", "pkcs11:token=t"), "no PKCS#11 module"),
        (("--pkcs11-module", "/a", "--key-file", "k"), "--key-file and an HSM exclude each other"),
        (("--pkcs11-uri", "pkcs11:?module-path=/a", "--pkcs11-module", "/b"), "--pkcs11-module contradicts"),
        (("--pkcs11-uri", "pkcs11:object=a", "--pkcs11-key", "b"), "--pkcs11-key contradicts --pkcs11-uri"),
        (("--pkcs11-uri", "pkcs11:?pin-value=1234"), "--pkcs11-uri: the attribute pin-value is not understood"),
        (("--pkcs11-module", "/a", "--pkcs11-key-id", "xyz"), "--pkcs11-key-id xyz is not hex"),
        (("--pkcs11-module", "/a", "--pin-file", "/nowhere/pin"), "cannot read PIN file /nowhere/pin"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(command: CommandLine, arguments: tuple[str, ...], why: str) -> None:
    assert why in command.refusal(*MINIMAL, *arguments)


def test_no_option_takes_a_pin(command: CommandLine) -> None:
    assert "No such option" in command.usage(*MINIMAL, "--pin", "1234")


def test_a_typed_pin_is_asked_for_once_though_the_configuration_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = iter(["typed"])
    monkeypatch.setattr(hsm_options, "ask_pin", lambda: next(asked))
    monkeypatch.setattr(hsm_options.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.delenv("FEDSM_PIN", raising=False)
    monkeypatch.delenv("USER_PIN", raising=False)
    given = dict.fromkeys(NAMES) | {"pkcs11_module": "/p11.so", "allow_extractable": False}
    with click.Context(click.Command("group")) as group:
        for _ in range(2):
            with click.Context(click.Command("run"), parent=group):
                assert hsm_options.hsm_access(given).pin == "typed"
