"""Nothing that a running federation writes, serves or says holds a secret, whatever happens to it."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fedsm.demo.cast import WIF_PREFIX
from fedsm.demo.links import Links
from signers.software import encode_wif
from tests.integration.federation import Federation

TOKEN = "token-correct-horse-battery"
PASSWORD = "password-hunter2"


def spellings(secret: bytes) -> Iterator[bytes]:
    """The ways in which a key of 32 bytes may be written."""
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield repr(secret)[2:-1].encode()


def secrets_of(fed: Federation) -> dict[str, bytes]:
    found = {}
    for member, secret in enumerate(fed.secrets):
        found |= {f"block-signing key {member} {n}": text for n, text in enumerate(spellings(secret))}
        found[f"WIF {member}"] = encode_wif(secret, WIF_PREFIX).encode()
    for path in fed.directory.rglob("identity.key"):
        found |= {f"{path} {n}": text for n, text in enumerate(spellings(path.read_bytes()))}
    for path in fed.directory.glob("*.curve"):
        found[str(path)] = path.read_bytes().strip()
    for path in fed.directory.rglob(".cookie"):
        found[str(path)] = path.read_bytes().partition(b":")[2]
    return found | {"token": TOKEN.encode(), "password": PASSWORD.encode()}


def holders(path: Path) -> Iterator[Path]:
    """Every file below but those that are there to keep secrets, and the nodes'."""
    for file in path.rglob("*"):
        kept = file.name in ("identity.key", "token") or file.suffix in (".key", ".curve")
        if file.is_file() and not kept and "nodes" not in file.parts:
            yield file


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def test_no_file_log_trace_or_answer_holds_a_secret(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    extra = ("--http-token-file", str(token), "--log-level", "debug", "--kafka-password", PASSWORD)
    with Federation(
        tmp_path, "devnet", members=3, threshold=2, interval_s=0.5, links=Links("curve", 3), http=True, extra=extra
    ) as fed:
        fed.cast.start()
        fed.wait_height(2)
        fed.nodes.stop_node(1)
        fed.wait_event(1, "node_unavailable")
        fed.nodes.start_node(1)
        fed.cast.daemons[2].kill()
        fed.cast.daemons[2].start()
        fed.wait_event(2, "started", count=2)
        said = {path: fed.ask(0, path, TOKEN)[1] for path in ("/status.json", "/metrics", "/ready")}
        secrets = secrets_of(fed)
    # What cannot work is said without what was given.
    command = [sys.executable, "-m", "fedsm", "--id", "0", "--nodes", "a:1", "--rpcport", "1"]
    for wrong in (
        ["--rpcuser", "u", "--rpcpassword", PASSWORD, "--key-file", str(token)],
        ["--rpcuser", "u", "--rpcpassword", PASSWORD, "--http", "0.0.0.0:1", "--http-token-file", "/dev/null"],
    ):
        done = subprocess.run([*command, "--quorum", "0", *wrong], capture_output=True, timeout=30, check=False)
        said[str(wrong)] = done.stdout + done.stderr
    said |= {str(path): content(path) for path in holders(tmp_path)}
    assert any("trace" in name for name in said)
    assert any(name.endswith(".log") for name in said)
    leaks = [(kind, name) for name, data in said.items() for kind, secret in secrets.items() if secret in data]
    assert leaks == []
