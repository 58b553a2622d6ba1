"""Whole federations: one block a slot when all is well, and no standstill with exactly Q members up."""

from __future__ import annotations

import pytest

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.member import Member
from states.effects import Effect
from states.messages import BlockSignature, Message, Precommit, Prevote, Proposal

FEDERATIONS = [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (7, 5), (15, 11)]


def started(n: int, m: int, votes: int | None = None, *, history: int = 0) -> Cluster:
    cluster = Cluster(n, m, votes, history=history)
    cluster.start()
    return cluster


def run_on(cluster: Cluster, blocks: int, *, limit_ms: int = 120_000) -> None:
    """That many more blocks; members that lag get them from their nodes."""
    end = cluster.now_ms + limit_ms
    alive = [m for m in cluster.members if m.alive]
    goal = max(m.height for m in alive) + blocks
    while min(m.height for m in alive) < goal:
        assert cluster.now_ms < end, cluster.describe()
        cluster.run_for(100)
        for member in alive:
            cluster.sync(member.index)
    cluster.check_agreement()


# --- all is well


@pytest.mark.parametrize(("n", "m"), FEDERATIONS)
def test_every_slot_has_its_block_in_round_0_and_every_member_proposes(n: int, m: int) -> None:
    cluster = started(n, m)
    cluster.run_for(1000 * (n + 2) + 500)
    assert {member.height for member in cluster.members} in ({n + 2}, {n + 3})
    cluster.check_agreement()
    assert not cluster.reports("round-failed")
    proposers = {int(block_hash[8:16], 16) for block_hash in cluster.members[0].chain[1:]}
    assert proposers == set(range(n))


def test_a_larger_vote_quorum_works_alike() -> None:
    cluster = started(5, 3, 5)
    cluster.run_for(4500)
    assert cluster.members[0].height >= 4
    assert not cluster.reports("round-failed")


def test_a_chain_that_stood_still_catches_up_at_twice_the_speed_and_then_keeps_its_schedule() -> None:
    cluster = started(5, 3)
    run_on(cluster, 3)
    for member in cluster.members:
        member.crash()
    cluster.run_for(20_000)
    for member in cluster.members:
        cluster.restart(member.index)
    before = cluster.members[0].height
    cluster.run_for(10_000)
    assert cluster.members[0].height - before >= 18
    cluster.run_for(20_000)
    before = cluster.members[0].height
    cluster.run_for(5_000)
    assert cluster.members[0].height - before == 5


@pytest.mark.parametrize("seed", range(3))
def test_clocks_that_differ_make_neither_more_blocks_than_slots_nor_fewer(seed: int) -> None:
    cluster = Cluster(5, 3, seed=seed)
    for member in cluster.members:
        member.offset_ms = cluster.random.randint(-45, 45)  # early_ms is 100
    cluster.run_for(300)  # not at the very edge of a slot
    cluster.start()
    cluster.run_for(30_200)
    assert 29 <= cluster.members[0].height <= 31
    assert not cluster.reports("round-failed")


@pytest.mark.parametrize("jump_ms", [-3_600_000, -700, 700, 3_600_000])
def test_a_clock_that_jumps_costs_its_member_no_more_than_a_while(jump_ms: int) -> None:
    cluster = started(5, 3)
    run_on(cluster, 2)
    cluster.members[1].offset_ms = jump_ms
    cluster.run_for(20_000)
    cluster.members[1].offset_ms = 0
    before = cluster.members[1].height
    cluster.run_for(10_000)
    assert cluster.members[1].height - before >= 9
    cluster.check_agreement()


def test_all_members_with_empty_guards_on_a_chain_with_history_go_on_once_they_know() -> None:
    cluster = Cluster(3, 2, history=10, heartbeats=False)
    cluster.start()
    cluster.run_for(3000)
    assert cluster.members[0].height == 10
    assert len(cluster.reports("abstaining")) == 3
    cluster.beat()
    run_on(cluster, 3)
    assert len(cluster.reports("abstaining")) == 3


def test_one_member_with_an_empty_guard_sits_out_one_height() -> None:
    cluster = started(5, 3)
    run_on(cluster, 3)
    member = cluster.members[2]
    member.crash()
    member.store = type(member.store)(2)  # type: ignore[call-arg]
    cluster.restart(2)
    height = member.round.height
    run_on(cluster, 3)
    assert len(cluster.reports("abstaining")) == 1
    votes = {key[2] for key in cluster.watch.votes if key[0] == 2}
    assert height not in votes
    assert height + 1 in votes


# --- the proposer dies


class DiesAt(Member):
    """Crashes for good just before or after its first effect of a kind."""

    fatal: tuple[type, type | None, bool] | None = None

    def carry_out(self, effect: Effect) -> None:
        if self.fatal is not None:
            kind, of, before = self.fatal
            said = getattr(effect, "message", None)
            if isinstance(effect, kind) and (of is None or isinstance(said, of)):
                if not before:
                    super().carry_out(effect)
                self.crash()
                return
        super().carry_out(effect)


def points() -> list[tuple[type, type | None, bool]]:
    from states import effects  # noqa: PLC0415

    return [
        (kind, message, before)
        for before in (True, False)
        for kind, message in (
            (effects.RequestBlock, None),
            (effects.Persist, None),
            (effects.Broadcast, Proposal),
            (effects.ValidateBlock, None),
            (effects.Broadcast, Prevote),
            (effects.Broadcast, Precommit),
            (effects.SignDigest, None),
            (effects.Broadcast, BlockSignature),
            (effects.CombineBlock, None),
            (effects.SubmitBlock, None),
        )
    ]


@pytest.mark.parametrize("point", points(), ids=lambda p: f"{p[0].__name__}-{p[1] and p[1].__name__}-{p[2]}")
@pytest.mark.parametrize("others_down", [0, 1])
def test_the_proposer_may_die_at_any_point_and_come_back(
    point: tuple[type, type | None, bool], others_down: int
) -> None:
    cluster = Cluster(5, 3, member_class=DiesAt)
    cluster.start()
    proposer = cluster.quorum.proposer(1, 0)
    dying = cluster.members[proposer]
    assert isinstance(dying, DiesAt)
    dying.fatal = point
    for index in range(others_down):
        cluster.members[(proposer + 2 + index) % 5].crash()
    cluster.run_for(2500)
    assert not dying.alive
    run_on(cluster, 2)
    dying.fatal = None
    cluster.restart(proposer)
    run_on(cluster, 2)


# --- exactly Q members


@pytest.mark.parametrize("down", [(0, 1), (1, 2), (3, 4), (0, 2)])
def test_q_members_suffice(down: tuple[int, int]) -> None:
    cluster = started(5, 3)
    run_on(cluster, 2)
    for index in down:
        cluster.members[index].crash()
    run_on(cluster, 8)


def test_q_members_in_different_rounds_after_a_power_cut_come_together() -> None:
    """Nobody remembers why the others went on, and they are too few for a round skip."""
    cluster = started(5, 3)
    run_on(cluster, 1)
    cut = {2}
    cluster.deliver = lambda a, b, _: () if (a in cut) != (b in cut) else (1,)
    for member in cluster.members:
        member.node_down = True  # no block is built, rounds fail
    cluster.run_for(8_000)
    rounds = [member.round.round for member in cluster.members]
    assert rounds[2] < min(rounds[0], rounds[1])
    for member in cluster.members:
        member.node_down = False
    cluster.members[3].crash()
    cluster.members[4].crash()
    cluster.deliver = lambda *_: (1,)
    for index in (0, 1, 2):
        cluster.restart(index)
    run_on(cluster, 3)


def test_a_straggler_gets_the_decided_block_from_members_that_were_restarted_since() -> None:
    """The one that proposed it is gone, and no envelope of its is left; nodes are not connected."""
    cluster = started(3, 2)
    run_on(cluster, 1)
    height = cluster.members[0].height + 1
    proposer = cluster.quorum.proposer(height, 0)
    decider, straggler = (proposer + 1) % 3, (proposer + 2) % 3
    cluster.deliver = lambda a, b, _: () if straggler in (a, b) else (1,)
    for member in cluster.members:
        member.signer_down = True  # decided, but not closed
    while cluster.members[decider].round.state != "CollectSigs":
        cluster.run_for(10)
    cluster.members[proposer].crash()
    cluster.restart(decider)
    for member in cluster.members:
        member.signer_down = False
    cluster.deliver = lambda *_: (1,)
    cluster.run_for(20_000)
    assert cluster.members[decider].height >= height
    assert cluster.members[straggler].height >= height
    cluster.check_agreement()


@pytest.mark.parametrize("kind", [Proposal, Prevote, Precommit, BlockSignature])
def test_messages_of_one_kind_that_are_lost_for_a_while_hold_up_the_chain_only_so_long(kind: type) -> None:
    cluster = started(5, 3)
    run_on(cluster, 1)
    cluster.deliver = lambda _a, _b, message: () if isinstance(message, kind) else (1,)
    cluster.run_for(3_000)
    cluster.deliver = lambda *_: (1,)
    run_on(cluster, 2)


@pytest.mark.parametrize("dead", [(0, 1), (1, 0), (1, 2), (2, 1)])
def test_a_link_that_works_in_one_direction_only_is_got_round_with_exactly_q_members(dead: tuple[int, int]) -> None:
    cluster = started(5, 3)
    run_on(cluster, 1)
    cluster.members[3].crash()
    cluster.members[4].crash()
    cluster.deliver = lambda a, b, _: () if (a, b) == dead else (1,)
    run_on(cluster, 5, limit_ms=240_000)


def test_slow_links_only_slow_rounds_down() -> None:
    cluster = started(5, 3)

    def deliver(_a: int, _b: int, _message: Message) -> tuple[int, ...]:
        return (cluster.random.randint(100, 400),)

    cluster.deliver = deliver
    run_on(cluster, 4, limit_ms=240_000)


def test_everything_delivered_three_times_and_out_of_order_changes_nothing() -> None:
    cluster = started(5, 3)

    def deliver(_a: int, _b: int, _message: Message) -> tuple[int, ...]:
        return tuple(cluster.random.randint(1, 60) for _ in range(3))

    cluster.deliver = deliver
    run_on(cluster, 5)


# --- nodes and signers


def test_members_whose_node_is_away_catch_up_when_it_is_back() -> None:
    cluster = started(5, 3)
    run_on(cluster, 1)
    cluster.members[0].node_down = cluster.members[1].node_down = True
    run_for_some = cluster.members[2].height
    cluster.run_for(6_000)
    assert cluster.members[2].height > run_for_some
    cluster.members[0].node_down = cluster.members[1].node_down = False
    run_on(cluster, 2)


def test_a_node_that_refuses_the_complete_block_is_not_asked_without_pause() -> None:
    cluster = started(1, 1)
    member = cluster.members[0]
    member.refuses_submission = True
    cluster.run_for(3_000)
    assert 5 <= len(member.submissions) <= 30
    member.refuses_submission = False
    run_on(cluster, 1)


def test_signers_that_fail_for_a_while_delay_the_block_and_no_other_is_signed() -> None:
    cluster = started(5, 3)
    run_on(cluster, 1)
    for member in cluster.members:
        member.signer_down = True
    cluster.run_for(5_000)
    assert cluster.members[0].round.state == "CollectSigs"
    for member in cluster.members:
        member.signer_down = False
    run_on(cluster, 1)


def test_disks_that_are_full_for_a_while_delay_the_block() -> None:
    cluster = started(5, 3)
    run_on(cluster, 1)
    for member in cluster.members:
        member.disk_full = True
    cluster.run_for(5_000)
    before = cluster.members[0].height
    for member in cluster.members:
        member.disk_full = False
    run_on(cluster, 1)
    assert cluster.members[0].height > before


def test_a_minority_of_nodes_that_refuses_a_block_follows_by_its_node() -> None:
    cluster = started(5, 3)
    run_on(cluster, 1)
    for index in (1, 2):
        cluster.members[index].rejects_all = True
    run_on(cluster, 4, limit_ms=240_000)
