"""Several nodes: gossip, cut links, forks and reorganisations, restarts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fedsm.chains.script import Multisig
from fedsm.chains.transaction import parse_transaction
from fedsm.devnet import Devnet, federation_params
from fedsm.devnet.block import ParsedBlock
from fedsm.devnet.store import StoreError
from tests.elements_vectors import load
from tests.unit.devnet_support import (
    FUNDS_SCRIPT,
    RpcClient,
    eventually,
    free_coins,
    make_block,
    mine,
    running,
    secrets_of,
    sign_block,
)

if TYPE_CHECKING:
    from pathlib import Path

    from fedsm.devnet.node import Node

SECRETS = secrets_of(load("rpc_errors")["chains"][0]["members"][:3])
FEDERATION = Multisig(2, tuple(SECRETS))
PARAMS = federation_params(FEDERATION)
OTHER = Multisig(1, FEDERATION.public_keys)


def _tips(devnet: Devnet) -> list[str]:
    return [service.node.chain.tip.hash for service in devnet.services]


def _together(devnet: Devnet) -> bool:
    return len(set(_tips(devnet))) == 1


def _nodes(devnet: Devnet) -> list[Node]:
    return [service.node for service in devnet.services]


def test_a_block_reaches_every_node() -> None:
    with Devnet(4, FEDERATION) as devnet:
        block = mine(_nodes(devnet)[2], SECRETS)
        eventually(lambda: _tips(devnet) == [block.hash] * 4)


def test_a_transaction_reaches_every_mempool_and_leaves_it_with_the_block() -> None:
    with Devnet(3, FEDERATION) as devnet:
        nodes = _nodes(devnet)
        transaction = free_coins(PARAMS, [(FUNDS_SCRIPT, 1000)], 100)
        nodes[0].add_transaction(transaction)
        eventually(lambda: all(transaction.txid in node.mempool.entries for node in nodes))
        block = mine(nodes[1], SECRETS)
        assert transaction.txid in [tx.txid for tx in block.transactions]
        eventually(lambda: not any(node.mempool.entries for node in nodes))


def test_transactions_may_be_slowed_down_while_blocks_are_not() -> None:
    with Devnet(2, FEDERATION, transaction_delay_s=3600) as devnet:
        first, second = _nodes(devnet)
        first.add_transaction(free_coins(PARAMS, [(FUNDS_SCRIPT, 1000)], 100))
        block = mine(first, SECRETS)
        eventually(lambda: second.chain.tip.hash == block.hash)
        assert not second.mempool.entries


def test_equal_mempools_make_the_same_block_in_the_same_second() -> None:
    with Devnet(2, FEDERATION) as devnet:
        nodes = _nodes(devnet)
        nodes[0].add_transaction(free_coins(PARAMS, [(FUNDS_SCRIPT, 1000)] * 3, 100))
        eventually(lambda: len(nodes[1].mempool.entries) == 1)
        devnet.set_clock(2_000_000_000)
        clients = [RpcClient(service) for service in devnet.services]
        blocks = {client.call("getnewblockhex") for client in clients}
        assert len(blocks) == 1
        assert clients[1].call("getnewblockhex", 0, None, ["c0ffee"]) not in blocks


def test_separated_groups_go_their_own_ways_and_the_longer_branch_wins() -> None:
    with Devnet(5, FEDERATION) as devnet:
        nodes = _nodes(devnet)
        mine(nodes[0], SECRETS)
        eventually(lambda: _together(devnet))
        devnet.partition([0, 1], [2, 3, 4])
        devnet.set_clock(2_000_000_000)
        shorter = mine(nodes[0], SECRETS)
        devnet.set_clock(2_000_000_001)  # in the same second both sides would make the same block
        longer = mine(nodes[2], SECRETS, 2)
        eventually(lambda: _tips(devnet) == [shorter.hash] * 2 + [longer.hash] * 3)
        devnet.heal()
        eventually(lambda: _tips(devnet) == [longer.hash] * 5)
        tips = RpcClient(devnet.services[0]).call("getchaintips")
        assert [(tip["hash"], tip["branchlen"], tip["status"]) for tip in tips] == [
            (longer.hash, 0, "active"),
            (shorter.hash, 1, "valid-fork"),
        ]


def test_of_branches_of_equal_length_each_node_keeps_the_one_it_saw_first() -> None:
    with Devnet(2, FEDERATION) as devnet:
        first, second = _nodes(devnet)
        devnet.cut(0, 1)
        devnet.set_clock(2_000_000_000)
        one = mine(first, SECRETS)
        devnet.set_clock(2_000_000_001)
        other = mine(second, SECRETS)
        devnet.heal(0, 1)
        eventually(lambda: other.hash in first.chain.entries and one.hash in second.chain.entries)
        assert _tips(devnet) == [one.hash, other.hash]
        assert [status for _, status in first.chain.tips()] == ["active", "valid-headers"]
        after = mine(second, SECRETS)
        eventually(lambda: _tips(devnet) == [after.hash] * 2)


def test_transactions_of_a_lost_branch_wait_again_unless_the_new_branch_spends_their_coins() -> None:
    with running(PARAMS) as devnet:
        node = _nodes(devnet)[0]
        start = mine(node, SECRETS)
        payment = free_coins(PARAMS, [(FUNDS_SCRIPT, 1000)], 100)
        rival = free_coins(PARAMS, [(FUNDS_SCRIPT, 2000)], 100)
        node.add_transaction(payment)
        mine(node, SECRETS)
        branch = _branch(devnet, start.hash, 2)
        assert [node.submit(block) for block in branch] == ["inconclusive", None]
        assert list(node.mempool.entries) == [payment.txid]
        assert node.chain.coins.get(payment.outpoint(0)) is None
        node.mempool.block_connected([rival])
        assert not node.mempool.entries


def _branch(devnet: Devnet, start: str, length: int) -> list[Any]:
    """Empty blocks on an earlier block of the first node."""
    node = devnet.services[0].node
    with Devnet(1, devnet.params) as other:
        twin = other.services[0].node
        for entry in node.chain.active[1:]:
            twin.submit(entry.block)
            if entry.hash == start:
                break
        twin.clock.set(node.chain.tip.header.time + 60)
        return [mine(twin, SECRETS) for _ in range(length)]


def test_a_branch_with_a_bad_block_is_left_again_and_its_children_are_refused() -> None:
    with running(PARAMS) as devnet:
        node = _nodes(devnet)[0]
        start = mine(node, SECRETS)
        own = mine(node, SECRETS)
        good, bad, child = _branch(devnet, start.hash, 3)
        greedy = _claim_more(bad)
        assert node.submit(good) == "inconclusive"
        assert node.submit(greedy) == "bad-cb-amount"
        assert node.chain.tip.hash == own.hash
        assert node.submit(greedy) == "duplicate-invalid"
        assert node.submit(_resign(child, previous=greedy.hash)) == "bad-prevblk"
        assert node.submit(child) == "prev-blk-not-found"
        assert {(entry.hash, status) for entry, status in node.chain.tips()} == {
            (own.hash, "active"),
            (greedy.hash, "invalid"),
        }


def _claim_more(block: Any) -> Any:
    """The block with a coinbase that pays one satoshi nobody paid as a fee."""
    coinbase = block.transactions[0]
    raw = coinbase.raw.replace(bytes(8) + b"\x00\x01\x6a", bytes(7) + b"\x01\x00\x01\x51", 1)
    changed = parse_transaction(raw)
    header = replace(block.header, merkle_root=changed.txid[::-1].hex(), witness=())
    return sign_block(ParsedBlock(header, (changed,)), FEDERATION.script, SECRETS)


def _resign(block: Any, **fields: Any) -> Any:
    header = replace(block.header, witness=(), **fields)
    return sign_block(ParsedBlock(header, block.transactions), FEDERATION.script, SECRETS)


def test_links_are_cut_and_mended_by_the_nodes_own_rpcs() -> None:
    with Devnet(3, FEDERATION) as devnet:
        clients = [RpcClient(service) for service in devnet.services]
        address = f"127.0.0.1:{devnet.services[1].port}"
        assert {peer["addr"] for peer in clients[0].call("getpeerinfo")} > {address}
        clients[0].call("disconnectnode", address)
        assert clients[0].call("getconnectioncount") == 1
        assert clients[1].call("getconnectioncount") == 1
        assert clients[0].error("disconnectnode", address) == (-29, "Node not found in connected nodes")
        clients[0].call("addnode", address, "onetry")
        assert clients[0].call("getconnectioncount") == 2
        assert clients[0].call("setnetworkactive", False) is False
        assert [client.call("getconnectioncount") for client in clients] == [0, 1, 1]
        assert clients[0].call("getnetworkinfo")["networkactive"] is False
        block = mine(devnet.services[1].node, SECRETS)
        eventually(lambda: devnet.services[2].node.chain.tip.hash == block.hash)
        assert devnet.services[0].node.chain.tip.height == 0
        clients[0].call("setnetworkactive", True)
        eventually(lambda: _tips(devnet) == [block.hash] * 3)


def test_added_nodes_are_listed_until_they_are_removed() -> None:
    with Devnet(2, FEDERATION) as devnet:
        client = RpcClient(devnet.services[0])
        address = f"127.0.0.1:{devnet.services[1].port}"
        client.call("addnode", address, "add")
        assert client.error("addnode", address, "add") == (-23, "Error: Node already added")
        assert client.call("getaddednodeinfo")[0]["connected"] is True
        client.call("addnode", address, "remove")
        assert client.call("getaddednodeinfo") == []
        assert client.error("getaddednodeinfo", address) == (-24, "Error: Node has not been added.")


def test_a_restarted_node_goes_on_with_its_blocks_and_mempool_and_catches_up() -> None:
    with Devnet(2, FEDERATION) as devnet:
        mine(_nodes(devnet)[0], SECRETS, 3)
        transaction = free_coins(PARAMS, [(FUNDS_SCRIPT, 1000)], 100)
        _nodes(devnet)[1].add_transaction(transaction)
        eventually(lambda: _together(devnet))
        port, old = devnet.services[1].port, devnet.services[1].credentials
        service = devnet.restart(1)
        assert service.port == port
        assert service.credentials != old
        assert service.node.chain.tip.height == 3
        assert list(service.node.mempool.entries) == [transaction.txid]
        block = mine(_nodes(devnet)[0], SECRETS)
        eventually(lambda: service.node.chain.tip.hash == block.hash)


def test_a_stopped_network_goes_on_from_its_data_directory(tmp_path: Path) -> None:
    transaction = free_coins(PARAMS, [(FUNDS_SCRIPT, 1000)], 100)
    with Devnet(2, FEDERATION, datadir=tmp_path) as devnet:
        mine(_nodes(devnet)[0], SECRETS, 12)
        eventually(lambda: _together(devnet))
        _nodes(devnet)[0].add_transaction(transaction)
        tip = _tips(devnet)[0]
    with Devnet(2, FEDERATION, datadir=tmp_path) as devnet:
        assert _tips(devnet) == [tip] * 2
        assert list(_nodes(devnet)[0].mempool.entries) == [transaction.txid]
        mine(_nodes(devnet)[1], SECRETS)


def test_a_block_cut_short_by_a_crash_is_dropped_from_the_data_directory(tmp_path: Path) -> None:
    with Devnet(1, FEDERATION, datadir=tmp_path) as devnet:
        tip = mine(_nodes(devnet)[0], SECRETS, 2)
        mine(_nodes(devnet)[0], SECRETS)
    file = tmp_path / "node-0" / PARAMS.chain / "blocks.dat"
    file.write_bytes(file.read_bytes()[:-5])
    for _ in range(2):
        with Devnet(1, FEDERATION, datadir=tmp_path) as devnet:
            assert _tips(devnet) == [tip.hash]
            block = mine(_nodes(devnet)[0], SECRETS)
        tip = block


def test_the_data_directory_of_another_chain_is_refused(tmp_path: Path) -> None:
    with Devnet(1, FEDERATION, datadir=tmp_path):
        pass
    with (
        pytest.raises(StoreError, match="another genesis block"),
        Devnet(1, OTHER, datadir=tmp_path) as _,
    ):
        pass


def test_a_node_with_a_recent_tip_no_longer_says_that_it_downloads() -> None:
    with running(PARAMS) as devnet:
        client, node = RpcClient(devnet.services[0]), _nodes(devnet)[0]
        assert client.call("getblockchaininfo")["initialblockdownload"] is True
        mine(node, SECRETS)
        assert client.call("getblockchaininfo")["initialblockdownload"] is False
        node.clock.set(make_block(node, SECRETS).header.time + 10 * 24 * 3600)
        assert client.call("getblockchaininfo")["initialblockdownload"] is False


def test_the_version_bits_of_the_test_deployment_follow_the_windows() -> None:
    params = replace(PARAMS, confirmation_window=4, activation_threshold=3)
    with running(params) as devnet:
        node = _nodes(devnet)[0]
        mine(node, SECRETS, 13)
        versions = [entry.header.version for entry in node.chain.active[1:]]
        busy, quiet = 0x3000_0000, 0x2000_0000
        assert versions == [quiet] * 3 + [busy] * 8 + [quiet] * 2
