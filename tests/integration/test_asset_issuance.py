"""AssetIssuance on chains that a federation signs: the payments arrive in blocks of all kinds of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedsm import AssetIssuance, BlockSigning
from fedsm.demo.cast import demo_secrets, multisig_of
from fedsm.demo.nodes import ElementsNodes, find_elementsd
from fedsm.demo.treasury import Treasury
from fedsm.reissue.report import LedgerEntry
from signers.software import SoftwareSigner
from tests.integration.federation import Federation, wait_until


def test_an_issued_asset_is_paid_to_and_fro_in_blocks(federation: Callable[..., Federation]) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        fed.cast.start()
        node = fed.nodes.addresses[1]
        issuance = AssetIssuance({"rpcport": node.port, "rpccookiefile": node.cookie_file}, 0.2)
        issuance.start()
        wait_until(lambda: len(issuance.payments) >= 5, 30, lambda: issuance.trouble)
        issuance.stop()
        issuance.join()
        paid = {payment.txid for payment in issuance.payments}
        assert {payment.asset for payment in issuance.payments} == {issuance.asset}
        assert all(10**8 <= payment.satoshi <= 10**9 for payment in issuance.payments)

        def confirmed() -> set[str]:
            rpc = fed.rpcs[2]
            blocks = [rpc.call("getblockhash", [height]) for height in range(1, fed.height(2) + 1)]
            return {txid for block in blocks for txid in rpc.call("getblock", [block])["tx"]}

        wait_until(lambda: paid <= confirmed(), 30, lambda: f"not in blocks: {paid - confirmed()}")


def test_members_of_a_program_reissue_by_the_old_arguments(federation: Callable[..., Federation]) -> None:
    period = 4
    with federation(members=3, threshold=2, interval_s=0.5) as fed:  # its own daemons stay away
        treasury = Treasury.open(fed.nodes.addresses[0], fed.multisig, period, fed.interval_s)
        address, script = treasury.config.address, fed.multisig.script.hex()
        members = []
        for i, (node, secret) in enumerate(zip(fed.nodes.addresses, fed.secrets, strict=True)):
            conf = {"id": i, "rpcport": node.port, "rpccookiefile": node.cookie_file, "blocktime": fed.interval_s}
            conf["datadir"] = fed.directory / f"thread-{i}"
            signer = SoftwareSigner(secret)
            members.append(BlockSigning(conf, fed.links.addresses, 0.05, period, address, script, signer))
        for member in members:
            member.start()
        try:

            def reissued() -> list[LedgerEntry]:
                entries = treasury.ledger(fed.nodes.addresses[1]).entries
                return [entry for found in entries.values() for entry in found if entry.height is not None]

            wait_until(lambda: len(reissued()) >= 2, 40, lambda: f"{[member.error for member in members]}")
            assert {entry.asset for entry in reissued()} == set(treasury.issued)
            assert not [entry.note for entry in reissued() if entry.note]
        finally:
            for member in members:
                member.stop()
                member.join()


@pytest.fixture
def wallet_node(tmp_path: Path) -> Iterator[ElementsNodes]:
    if find_elementsd() is None:
        pytest.skip("no real node: put elementsd on PATH or name it in $ELEMENTSD")
    multisig = multisig_of(demo_secrets(1, "issuing wallet"), 1)
    nodes = ElementsNodes(multisig, tmp_path / "nodes", dynafed=True, wallet_options=())
    nodes.start()
    yield nodes
    nodes.close()


@pytest.mark.elementsd
def test_a_wallet_with_money_issues_and_pays(wallet_node: ElementsNodes) -> None:
    node = wallet_node.addresses[0]
    node.rpc().call("createwallet", ["issuer"])
    node.rpc().call("rescanblockchain")
    conf = {"rpcport": node.port, "rpccookiefile": node.cookie_file, "rpcwallet": "issuer"}
    issuance = AssetIssuance(conf, 0.1)
    issuance.start()
    wait_until(lambda: len(issuance.payments) >= 2, 30, lambda: issuance.trouble)
    issuance.stop()
    issuance.join()
    assert node.rpc().call("getbalance")[issuance.asset] == 10_000_000
