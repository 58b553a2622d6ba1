"""The container images' files: the scripts in them, and what the three Dockerfiles must have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hsm import PIN, Shim, Tokens

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "Dockerfile.hsm", "Dockerfile.hsm.init")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    return directory


def put(directory: Path, name: str, content: str) -> None:
    (directory / name).write_text(content + "\n", encoding="ascii")
    (directory / name).chmod(0o400)


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the images with the fedsm of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    inherited = {name: os.environ[name] for name in ("SOFTHSM2_CONF", "HSM_SHIM") if name in os.environ}
    return subprocess.run(
        [str(ROOT / "docker" / script), *arguments],
        env={"PATH": path} | inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_hsm_init_makes_the_key_once_and_prints_it_and_the_script(tokens: Tokens, secrets: Path) -> None:
    put(secrets, "user_pin", PIN)
    tokens.directory.rmdir()  # a volume that is mounted for the first time
    environment = {
        "SECRETS": str(secrets),
        "PKCS11_LIB": tokens.module,
        "FEDSM_PKCS11_TOKEN": "fedsm",
        "KEY_LABEL": "k",
    }
    made = run("hsm-init.sh", **environment)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert len(bytes.fromhex(key)) == 33
    others = [
        "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    ]
    again = run("hsm-init.sh", "2", others[0], "-", others[1], **environment).stdout.splitlines()
    assert again[0] == key
    assert again[2] == f"5221{others[0]}21{key}21{others[1]}53ae"


def test_hsm_init_takes_the_build_arguments_pin_and_tries_a_wrong_one_once(
    tokens: Tokens, shim: Shim, secrets: Path
) -> None:
    tokens.add("fedsm")
    environment = {"SECRETS": str(secrets), "PKCS11_LIB": shim.module, "KEY_LABEL": "k"}
    refused = run("hsm-init.sh", USER_PIN="wrong", **environment)
    assert refused.returncode == 3
    assert "the PIN is wrong" in refused.stderr
    assert refused.stdout == ""
    assert shim.calls("C_Login") == 1
    assert run("hsm-init.sh", USER_PIN=PIN, **environment).returncode == 0


def test_the_entry_hands_mounted_secrets_to_the_daemon_and_none_to_its_command_line(
    tmp_path: Path, secrets: Path
) -> None:
    for name, content in (("ocean_user", "alice"), ("ocean_pass", "hunter2"), ("user_pin", PIN)):
        put(secrets, name, content)
    fake = tmp_path / "bin" / "fedsm"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "$FEDSM_RPCUSER $FEDSM_RPCPASSWORD $FEDSM_PIN_FILE; $*"\n', encoding="ascii")
    fake.chmod(0o755)
    path = f"{fake.parent}:{os.environ['PATH']}"
    said = run("entrypoint.sh", "--id", "1", PATH=path, SECRETS=str(secrets), SOFTHSM2_CONF="")
    assert said.stdout == f"alice hunter2 {secrets}/user_pin; --id 1\n"


def test_the_three_dockerfiles_build_fedsm_alike() -> None:
    contents = [(ROOT / name).read_text(encoding="utf-8") for name in FILES]
    stages = {text[text.index("ARG DEBIAN=") : text.rindex("\nFROM ")] for text in contents}
    assert len(stages) == 1


@pytest.mark.parametrize("name", FILES)
def test_what_a_dockerfile_copies_is_there_and_let_through(name: str) -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.replace("${hsm_files}/", "docker/softhsm").split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source.split('/')[0]}" in ignore
