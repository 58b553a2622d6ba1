"""The right key for the right member: what is refused at start, and with which advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.config import DaemonConfig
from fedsm.errors import FedsmError
from fedsm.keys import check_member, open_signer
from signers.software import KEY_VARIABLE, SoftwareSigner, encode_wif, write_key_file
from signers.wallet import WalletSigner
from tests.elements_stand_in import StandIn
from tests.unit.engine_harness import FEDERATION, MEMBERS, MULTISIG

SECRETS = [member.block_secret for member in MEMBERS.members]
STRANGER = bytes([9]) * 32


@pytest.fixture(autouse=True)
def _no_key_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def config(member: int, key_file: Path | None = None) -> DaemonConfig:
    return DaemonConfig(member=member, nodes="a:1,b:2,c:3", key_file=key_file)


def key_file(directory: Path, secret: bytes) -> Path:
    path = directory / "member.key"
    write_key_file(path, secret, 239)
    return path


def wallet(*held: int, **answers: Any) -> StandIn:
    """A node whose wallet holds the keys of these members."""
    usual: dict[str, Any] = {
        "getwalletinfo": {"descriptors": False},
        "getdescriptorinfo": lambda descriptor: {"descriptor": descriptor + "#checksum"},
        "deriveaddresses": lambda descriptor: ["address of " + descriptor[4:-10]],
        "getaddressinfo": lambda address: {
            "ismine": address in {f"address of {MULTISIG.public_keys[i].hex()}" for i in held}
        },
    }
    return StandIn(**(usual | answers))


def refusal(member: int, node: StandIn, path: Path | None = None) -> str:
    with pytest.raises(FedsmError) as refused:
        open_signer(config(member, path), node, FEDERATION)
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_a_key_file_with_the_members_key_is_used_and_no_node_is_asked(tmp_path: Path) -> None:
    node = StandIn()
    signer = open_signer(config(1, key_file(tmp_path, SECRETS[1])), node, FEDERATION)
    assert isinstance(signer, SoftwareSigner)
    assert signer.public_key == MULTISIG.public_keys[1]
    assert node.calls == []


def test_the_variable_serves_where_no_file_is_named_and_the_file_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, encode_wif(SECRETS[2], 239))
    assert open_signer(config(2), StandIn(), FEDERATION).public_key == MULTISIG.public_keys[2]
    path = key_file(tmp_path, SECRETS[0])
    assert open_signer(config(0, path), StandIn(), FEDERATION).public_key == MULTISIG.public_keys[0]


def test_a_wrong_id_is_refused_and_the_right_one_is_named(tmp_path: Path) -> None:
    line = refusal(0, StandIn(), key_file(tmp_path, SECRETS[2]))
    assert "--id 0 is wrong" in line
    assert "use --id 2" in line
    assert SECRETS[2].hex() not in line


def test_a_key_that_is_not_in_the_script_is_refused(tmp_path: Path) -> None:
    line = refusal(0, StandIn(), key_file(tmp_path, STRANGER))
    assert "of no member of this chain's federation" in line
    assert SoftwareSigner(STRANGER).public_key.hex() in line


def test_a_key_file_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "missing.key"
    assert str(path) in refusal(0, StandIn(), path)


def test_check_member_accepts_only_the_members_own_key() -> None:
    check_member(1, MULTISIG.public_keys[1], MULTISIG)
    with pytest.raises(FedsmError, match="use --id 1"):
        check_member(2, MULTISIG.public_keys[1], MULTISIG)


def test_without_a_key_the_nodes_wallet_signs_if_it_holds_the_members_key() -> None:
    signer = open_signer(config(1), wallet(1), FEDERATION)
    assert isinstance(signer, WalletSigner)
    assert signer.public_key == MULTISIG.public_keys[1]


def test_an_ocean_wallet_is_asked_by_the_rpcs_that_ocean_has() -> None:
    missing = RpcError(-32601, "Method not found")
    node = wallet(
        1,
        getdescriptorinfo=missing,
        decodescript=lambda script: {"type": "pubkey", "addresses": [f"address of {script[2:-2]}"]},
        validateaddress=lambda address: {"ismine": address == f"address of {MULTISIG.public_keys[1].hex()}"},
    )
    assert open_signer(config(1), node, FEDERATION).public_key == MULTISIG.public_keys[1]
    assert "use --id 1" in refusal(0, node)


def test_a_wallet_with_keys_of_several_members_signs_for_the_one_configured() -> None:
    assert open_signer(config(2), wallet(1, 2), FEDERATION).public_key == MULTISIG.public_keys[2]


def test_a_wallet_with_another_members_key_names_the_right_id() -> None:
    assert "use --id 2" in refusal(0, wallet(2))


def test_a_wallet_without_any_members_key_points_to_the_key_file() -> None:
    assert "use --key-file" in refusal(0, wallet())


def test_a_descriptor_wallet_is_told_that_it_cannot_sign_blocks() -> None:
    line = refusal(0, wallet(0, getwalletinfo={"walletname": "", "descriptors": True}))
    assert "a descriptor wallet cannot sign blocks" in line
    assert "--key-file" in line


def test_a_node_without_a_wallet_is_told_with_the_nodes_own_words() -> None:
    line = refusal(0, wallet(getwalletinfo=RpcError(-32601, "Method not found")))
    assert "no --key-file and no FEDSM_KEY" in line
    assert "Method not found" in line


def test_a_node_that_goes_away_while_it_is_asked_is_told() -> None:
    away = RpcUnavailable("refused", "node at 127.0.0.1:7041: no connection")
    assert "no connection" in refusal(0, wallet(getaddressinfo=away))


def test_a_descriptor_wallet_is_refused_at_start_though_it_holds_the_key() -> None:
    line = refusal(0, wallet(0, getwalletinfo={"descriptors": True}))
    assert "descriptor wallet cannot sign blocks" in line
    assert "--key-file" in line
