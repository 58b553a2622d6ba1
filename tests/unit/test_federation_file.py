"""The federation file: read, digested, and refused with the member or setting named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import zmq

from fedsm.demo.cast import demo_secrets
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile, dump, load
from signers.software import SoftwareSigner

KEYS = [SoftwareSigner(secret).public_key.hex() for secret in demo_secrets(3, "file")]
CURVE = [zmq.curve_keypair()[0].decode() for _ in range(3)]
CHAIN = "ab" * 32


def member(number: int, **settings: object) -> dict[str, object]:
    return {"id": number, "public_key": KEYS[number], "address": f"10.0.0.{number}:7000", **settings}


def write(path: Path, members: list[dict[str, object]], **settings: object) -> Path:
    top = {"chain": CHAIN, "threshold": 2, "interval": 60.0, **settings}
    lines = [f"{name} = {_toml(value)}" for name, value in top.items()]
    for entry in members:
        lines += ["[[member]]", *(f"{name} = {_toml(value)}" for name, value in entry.items())]
    file = path / "federation.toml"
    file.write_text("\n".join(lines))
    return file


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def three(path: Path, *entries: dict[str, object], **settings: object) -> FederationFile:
    members = [member(i, **(entries[i] if i < len(entries) else {})) for i in range(3)]
    return load(write(path, members, **settings))


def refusal(path: Path, *entries: dict[str, object], **settings: object) -> str:
    with pytest.raises(FedsmError) as refused:
        three(path, *entries, **settings)
    assert "\n" not in str(refused.value)
    assert "federation.toml" in str(refused.value)
    return str(refused.value)


def test_a_file_gives_addresses_script_and_keys(tmp_path: Path) -> None:
    file = three(tmp_path, *({"curve": key, "identity": f"{i:02x}" * 32} for i, key in enumerate(CURVE)))
    assert file.nodes == "10.0.0.0:7000,10.0.0.1:7000,10.0.0.2:7000"
    assert (file.multisig.m, file.multisig.n) == (2, 3)
    assert file.curve_keys == dict(enumerate(CURVE))
    assert file.identities[2] == bytes([2]) * 32


def test_the_digest_follows_the_values_and_not_the_layout(tmp_path: Path) -> None:
    file = three(tmp_path)
    shuffled = tmp_path / "shuffled.toml"
    entries = [f'[[member]]\naddress = "10.0.0.{i}:7000"\npublic_key = "{KEYS[i]}"\nid = {i}\n' for i in range(3)]
    shuffled.write_text(f'# comment\ninterval = 60.0\nthreshold = 2\nchain = "{CHAIN}"\n' + "\n".join(entries))
    assert load(shuffled).digest == file.digest
    assert three(tmp_path, interval=61.0).digest != file.digest
    assert three(tmp_path, {"address": "10.0.0.9:7000"}).digest != file.digest


def test_the_digest_is_that_of_the_documented_canonical_form(tmp_path: Path) -> None:
    file = three(tmp_path)
    values = {
        "chain": CHAIN,
        "threshold": 2,
        "interval": 60.0,
        "quorum": None,
        "name": None,
        "free_coins": None,
        "member": [{**member(i), "identity": None, "curve": None} for i in range(3)],
    }
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert file.digest == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_written_file_reads_as_the_same(tmp_path: Path) -> None:
    file = three(tmp_path, *({"curve": key} for key in CURVE), name="mychain", free_coins=7, quorum=3)
    (tmp_path / "copy.toml").write_text(dump(file))
    assert load(tmp_path / "copy.toml") == file
    assert file.spoken.replace(" ", "") == file.digest[:24]


@pytest.mark.parametrize(
    ("entries", "settings", "named"),
    [
        (({"public_key": KEYS[1]},), {}, "key"),
        (({}, {"id": 7}), {}, "member 7 stands where member 1 belongs"),
        (({"colour": "red"},), {}, "colour"),
        (({"public_key": "zz"},), {}, "public_key of member 0"),
        (({"curve": CURVE[0][:-1]}, {"curve": CURVE[1]}, {"curve": CURVE[2]}), {}, "curve of member 0"),
        (({"curve": CURVE[0]}, {"curve": CURVE[0]}, {"curve": CURVE[2]}), {}, "members 0 and 1 have one curve"),
        (({"curve": CURVE[0]},), {}, "only members [0] have a CURVE key"),
        (({"identity": "ab"},), {}, "identity of member 0"),
        (({"identity": "ab" * 32}, {"identity": "ab" * 32}), {}, "members 0 and 1 have one identity"),
        (({"address": "nowhere"},), {}, "nowhere"),
        ((), {"threshold": 4}, "4"),
        ((), {"quorum": 1}, "quorum is 1"),
        ((), {"free_coins": -1}, "free_coins is -1"),
        ((), {"chain": "AB" * 32}, "chain"),
        ((), {"colour": "red"}, "colour"),
        ((), {"interval": "fast"}, "interval"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, entries: tuple[dict[str, object], ...], settings: dict[str, object], named: str
) -> None:
    assert named in refusal(tmp_path, *entries, **settings)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedsmError, match=r"nothing\.toml: No such file"):
        load(tmp_path / "nothing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("chain = ")
    with pytest.raises(FedsmError, match=r"broken.toml: Invalid value"):
        load(broken)
