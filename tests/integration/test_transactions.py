"""Blocks carry what the nodes' mempools take, whatever testproposedblock thinks of it by default."""

from __future__ import annotations

from collections.abc import Callable

import wallycore as wally

from tests.integration.federation import Federation, wait_until

FEE = 1000


def data_transaction(free_coin: str, satoshi: int, asset: str) -> str:
    """Spends the chain's anyone-can-spend coin and carries four bytes of data in an OP_RETURN output (hex)."""
    handle = wally.tx_init(2, 0, 1, 3)
    nothing = (None,) * 9
    wally.tx_add_elements_raw_input(handle, bytes.fromhex(free_coin)[::-1], 0, 0xFFFF_FFFF, *nothing, 0)
    pays_key_hash = b"\x00\x14" + bytes(20)
    tag = b"\x01" + bytes.fromhex(asset)[::-1]
    for script, amount in ((pays_key_hash, satoshi - FEE), (b"\x6a\x04data", 0), (None, FEE)):
        value = b"\x01" + amount.to_bytes(8, "big")
        wally.tx_add_elements_raw_output(handle, script, tag, value, None, None, None, 0)
    return bytes(wally.tx_to_bytes(handle, wally.WALLY_TX_FLAG_USE_WITNESS)).hex()


def test_a_transaction_with_op_return_data_is_confirmed_and_does_not_stop_the_chain(
    federation: Callable[..., Federation],
) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        rpc = fed.rpcs[0]
        genesis = rpc.call("getblock", [rpc.call("getblockhash", [0]), 2])
        free = genesis["tx"][1]
        asset, satoshi = free["vout"][0]["asset"], int(free["vout"][0]["value"] * 100_000_000)
        txid = rpc.call("sendrawtransaction", [data_transaction(free["txid"], satoshi, asset)])
        fed.cast.start()
        wait_until(
            lambda: fed.height(0) > 0 and not rpc.call("getrawmempool"),
            30,
            lambda: "the transaction is not confirmed",
        )
        blocks = [rpc.call("getblock", [rpc.call("getblockhash", [h]), 1]) for h in range(1, fed.height(0) + 1)]
        assert any(txid in block["tx"] for block in blocks)
        fed.wait_more(2)
        fed.check_chain()
