"""Health, status and metrics of real daemons: true while members and nodes fail, and no burden to rounds."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.federation import Federation, wait_until

Make = Callable[..., Federation]


def test_health_status_and_metrics_tell_what_happens(federation: Make) -> None:
    with federation(members=3, threshold=2, interval_s=0.5, http=True) as fed:

        def readiness() -> str:
            return fed.ask(0, "/ready")[1].decode()

        fed.cast.start()
        fed.wait_height(1)
        # A member that is not heard yet, as its certificate has not come, may have signed the first blocks.
        wait_until(lambda: all(peer.up for peer in fed.status(0).peers), 60, readiness)
        first = fed.status(0).height + 1
        fed.wait_height(first + 3)
        wait_until(lambda: fed.ask(0, "/ready")[0] == 200, 60, readiness)
        assert fed.ask(0, "/live") == (200, b"live\n")
        status = fed.status(0)
        assert status.public_key == fed.multisig.public_keys[0].hex()
        blocks = [block for block in status.blocks[:-1] if block.height >= first]
        assert blocks
        for block in blocks:  # but the last: a signature of it may be on its way
            facts = fed.block(0, block.height)
            keys = [fed.multisig.public_keys[member].hex() for member in block.signers]
            assert facts.hash == block.hash
            assert set(facts.signers) <= set(keys)
        metrics = fed.ask(0, "/metrics")[1].decode()
        assert 'fedsm_rpc_seconds_count{method="testproposedblock",outcome="ok"}' in metrics
        assert "waitforblockheight" not in metrics, "a long poll says nothing of the node's speed"

        fed.cast.daemons[2].kill()
        wait_until(lambda: not fed.status(0).peers[2].up, 60, lambda: str(fed.status(0).peers))
        fed.nodes.stop_node(0)
        wait_until(lambda: fed.ask(0, "/ready")[0] == 503, 60, readiness)
        assert b"FAIL node: " in fed.ask(0, "/ready")[1]
        assert fed.ask(0, "/live")[0] == 200
        fed.nodes.start_node(0)
        fed.rpcs[0] = fed.nodes.addresses[0].rpc()
        wait_until(lambda: fed.ask(0, "/ready")[0] == 200, 60, readiness)
        assert not fed.cast.lines(0, "observation_failed")
