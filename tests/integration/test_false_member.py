"""What one member says can neither stop the others nor make them sign what they should not."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from dataclasses import replace

from fedsm.chains.header import parse_block
from states.messages import BlockSignature, Precommit, Prevote, Proposal, QuorumProof
from tests.false_member import FalseMember
from tests.integration.federation import Federation

Make = Callable[..., Federation]
HONEST = [0, 1, 2, 3]
LIAR = 4

# The 17 payloads that were tried on the daemon before fedsm; 12 of them stopped it.
OLD_PAYLOADS = [
    b"10 {bad json",
    b"10",
    b"10 ",
    b"\xff\xfe\xfd",
    b'10 {"height":HEIGHT,"block":"text"}',
    b'10 {"height":HEIGHT,"block":{}}',
    b'10 {"height":HEIGHT}',
    b'10 {"height":HEIGHT,"block":{"blockhex":"zz"}}',
    b'10 {"height":HEIGHT,"block":{"blockhex":"00"}}',
    b'20 {"height":HEIGHT,"sig":null}',
    b'20 {"height":HEIGHT,"sig":{}}',
    b'20 {"height":HEIGHT,"sig":{"blocksig":5}}',
    b'20 {"height":HEIGHT,"sig":{"blocksig":null}}',
    b'20 {"height":HEIGHT,"sig":{"blocksig":"zz"}}',
    b'20 {"height":HEIGHT,"sig":{"blocksig":"00"}}',
    b"20 " + b"x" * 10_000_000,
    b'10 {"height":1e400,"block":{"blockhex":""}}',
]


def start_honest(fed: Federation) -> None:
    for member in HONEST:
        fed.cast.daemons[member].start()
    fed.wait_height(2, HONEST)


def check_honest(fed: Federation) -> None:
    assert all(fed.cast.daemons[member].running for member in HONEST)
    hashes = {fed.rpcs[i].call("getblockhash", [fed.height(0) - 1]) for i in HONEST}
    assert len(hashes) == 1
    for rpc in fed.rpcs:
        assert [tip["status"] for tip in rpc.call("getchaintips")] == ["active"]


def test_garbage_from_the_network_is_counted_and_the_chain_goes_on(federation: Make) -> None:
    with federation(interval_s=0.5) as fed:
        start_honest(fed)
        noise = random.Random(1)
        with FalseMember(fed, LIAR) as liar:
            genuine = liar.say(liar.heartbeat())
            for _ in range(3):
                height = fed.height(0) + 1
                for payload in OLD_PAYLOADS:
                    liar.throw(payload.replace(b"HEIGHT", str(height).encode()))
                for _ in range(200):
                    liar.throw(noise.randbytes(noise.randrange(2000)))
                    damaged = bytearray(genuine)
                    damaged[noise.randrange(len(damaged))] ^= 1 << noise.randrange(8)
                    liar.throw(bytes(damaged))
                liar.throw(b"", genuine, b"")
                fed.wait_more(1, HONEST)
        for address in fed.cast.addresses.split(",")[:LIAR]:
            host, port = address.split(":")
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(noise.randbytes(5000))
        fed.wait_more(3, HONEST)
        check_honest(fed)
        assert any(line["reason"] == "malformed" for line in fed.cast.lines(0, "message_refused"))


def test_proposals_by_the_wrong_member_or_for_the_wrong_height_or_unsound_are_not_voted_for(
    federation: Make,
) -> None:
    with federation(interval_s=0.5) as fed:
        start_honest(fed)
        false_hashes = set()
        with FalseMember(fed, LIAR) as liar:
            end = fed.height(0) + 12
            while fed.height(0) < end:
                height = fed.height(0) + 1
                block = parse_block(bytes.fromhex(fed.rpcs[LIAR].call("getnewblockhex", [0])))
                header = replace(block.header, version=block.header.version | 2)  # no honest node's block
                block = replace(block, header=header)
                unsound = bytearray(block.serialize())
                unsound[40] ^= 1  # the merkle root
                for data in (block.serialize(), bytes(unsound)):
                    block_hash = parse_block(data).header.hash
                    wrong_turn = fed.quorum.proposer(height, 0) != LIAR
                    if wrong_turn or data == bytes(unsound):
                        false_hashes.add(block_hash)
                        liar.say(Proposal(height, 0, block_hash, data))
                    liar.say(Proposal(height + 1, (LIAR - height - 1) % 5, block_hash, data))
                    liar.say(Prevote(height, 0, block_hash))
                time.sleep(0.2)
            check_honest(fed)
        chain = {fed.rpcs[0].call("getblockhash", [h]) for h in range(1, fed.height(0) + 1)}
        assert not chain & false_hashes
        blamed = [line for line in fed.cast.lines(0, "wrong_proposer") if line["peer"] == LIAR]
        refused = [line for member in HONEST for line in fed.cast.lines(member, "block_refused")]
        assert blamed
        assert refused


def test_false_signatures_and_double_votes_are_named_and_do_not_count(federation: Make) -> None:
    with federation(interval_s=0.5) as fed:
        start_honest(fed)
        with FalseMember(fed, LIAR) as liar:
            end = fed.height(0) + 8
            while fed.height(0) < end:
                height = fed.height(0) + 1
                for block_hash in ("11" * 32, "22" * 32, None):
                    liar.say(Prevote(height, 0, block_hash))
                    liar.say(Precommit(height, 0, block_hash))
                own = liar.sealer.seal(Precommit(height, 0, "11" * 32))
                certificate = QuorumProof("precommit", height, 0, "11" * 32, (LIAR,), (own,))
                good = liar.signer.sign_block(bytes([0x11]) * 32, b"")
                liar.say(BlockSignature(height, 0, "11" * 32, good, certificate))
                liar.say(
                    BlockSignature(
                        height,
                        0,
                        "22" * 32,
                        good,
                        certificate.__class__(
                            "precommit",
                            height,
                            0,
                            "22" * 32,
                            (LIAR,),
                            (liar.sealer.seal(Precommit(height, 0, "22" * 32)),),
                        ),
                    )
                )
                time.sleep(0.1)
            check_honest(fed)
        named = {line["peer"] for member in HONEST for line in fed.cast.lines(member, "equivocation")}
        assert named == {LIAR}
        reasons = {line["reason"] for member in HONEST for line in fed.cast.lines(member, "message_refused")}
        assert {"bad-proof", "bad-block-signature"} <= reasons
        evidence = list((fed.directory / "member-0").glob("*/*/evidence.jsonl"))
        assert evidence
        assert evidence[0].read_text().count("equivocation") >= 1
