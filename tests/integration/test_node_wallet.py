"""Signing with the node's own wallet, where the node allows it, on real nodes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsm.chains.facts import facts_of
from fedsm.chains.header import parse_header
from fedsm.chains.rpc import NodeRpc
from fedsm.demo.cast import demo_secrets, multisig_of
from fedsm.demo.nodes import ElementsNodes, find_elementsd
from fedsm.demo.ports import free_ports
from signers.software import encode_wif
from tests.integration.federation import wait_until

pytestmark = [
    pytest.mark.elementsd,
    pytest.mark.skipif(
        find_elementsd() is None, reason="no real node: put elementsd on PATH or name it in $ELEMENTSD"
    ),
]
SECRETS = demo_secrets(1, "wallet")


@pytest.fixture(params=[False, True], ids=["legacy", "dynafed"])
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ElementsNodes]:
    nodes = ElementsNodes(
        multisig_of(SECRETS, 1),
        tmp_path / "nodes",
        dynafed=request.param,
        wallet_options=("-deprecatedrpc=create_bdb",),
    )
    nodes.start()
    yield nodes
    nodes.close()


def arguments(node: ElementsNodes, datadir: Path) -> list[str]:
    address = node.addresses[0]
    return [
        *(sys.executable, "-m", "fedsm", "--id", "0", "--nodes", f"127.0.0.1:{free_ports(1)[0]}"),
        *("--rpcport", str(address.port), "--rpccookiefile", str(address.cookie_file)),
        *("--datadir", str(datadir), "--blocktime", "0.5", "--http", "off"),
    ]


def wallet_of(node: ElementsNodes, *, descriptors: bool) -> NodeRpc:
    rpc = node.addresses[0].rpc()
    rpc.call("createwallet", ["signing", False, False, "", False, descriptors])
    return rpc


def test_a_bdb_wallet_with_the_key_signs_certificate_and_blocks(node: ElementsNodes, tmp_path: Path) -> None:
    rpc = wallet_of(node, descriptors=False)
    rpc.call("importprivkey", [encode_wif(SECRETS[0], 239)])
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(arguments(node, tmp_path / "state"), stderr=log)
        try:
            wait_until(lambda: rpc.call("getblockcount") >= 3, 30, (tmp_path / "log").read_text)
        finally:
            daemon.terminate()
            assert daemon.wait(10) == 0
    header = bytes.fromhex(rpc.call("getblockheader", [rpc.call("getbestblockhash"), False]))
    assert facts_of(parse_header(header)[0]).complete


def test_a_wallet_without_the_key_or_of_the_wrong_kind_is_refused_with_the_way_out(
    node: ElementsNodes, tmp_path: Path
) -> None:
    def refusal() -> str:
        result = subprocess.run(
            arguments(node, tmp_path / "state"), capture_output=True, text=True, timeout=30, check=False
        )
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        return result.stderr.splitlines()[-1]

    assert "No wallet is loaded" in refusal()
    rpc = wallet_of(node, descriptors=True)
    assert "descriptor wallet cannot sign blocks" in refusal()
    rpc.call("unloadwallet", ["signing"])
    rpc.call("createwallet", ["legacy", False, False, "", False, False])
    assert "does not hold the block-signing key of member 0" in refusal()
