"""Every machine's states and transitions, as data. Tests, diagrams and the machines themselves read this file.

Theory of operation
-------------------
There are three kinds of flat machines. The *round* machine follows one height after another through
Idle > Propose > CollectSigs > Combine > Submit (> Reissue). While no block is decided it feeds what it hears
to the *agreement* machine, which is Tendermint's (Buchman, Kwon, Milosevic, "The latest gossip on BFT
consensus", algorithm 1) with N - Q + 1 in place of f + 1 and Q in place of 2f + 1. Beside them, for each asset
that is reissued on a schedule, a *reissuance* machine goes through Due > Draft > Collect > Broadcast > Confirm >
Done or Deferred once in each period, over as many heights as it takes.

Each event is one trigger of the round machine. What an event makes true may allow further steps; these are
internal triggers (``begin``, ``decide``, ``fail``, ``combine`` and the agreement's ``review``), fired from the
machine's own queue until nothing more moves. A row is tried in the order in which it stands here; the first
row of its trigger and state whose guards all hold is taken. ``dest=None`` is an internal transition: the action
runs, the state stays.

Guards and actions are named methods of the machine. Guards only look. Actions only compute: they change the
machine's memory and append effects; nothing here knows a socket, a clock or a disk. No edge exists outside this
file, and every (state, trigger) pair without an edge stands in the machine's IGNORED table with the reason why
such an event may be dropped there.
"""

from __future__ import annotations

from typing import NamedTuple


class Edge(NamedTuple):
    """One row: on ``trigger`` in ``source``, if all ``guards`` hold, do ``action`` and go to ``dest``.

    ``dest`` None stays in the source state.
    """

    trigger: str
    source: str
    dest: str | None
    action: str
    guards: tuple[str, ...] = ()


def _rows(trigger: str, sources: tuple[str, ...], dest: str | None, action: str, *guards: str) -> tuple[Edge, ...]:
    return tuple(Edge(trigger, source, dest, action, guards) for source in sources)


# --- the round machine

ROUND_STATES = ("Idle", "Propose", "CollectSigs", "Combine", "Submit", "Reissue")
_UNDECIDED = ("Idle", "Propose", "Reissue")
_DECIDED = ("CollectSigs", "Combine", "Submit")

ROUND_EDGES: tuple[Edge, ...] = (
    # A new tip closes the height in every state, whoever brought it about.
    *_rows("tip_changed", ROUND_STATES, "Reissue", "open_height_and_reissue", "tip_is_new", "reissue_is_due"),
    *_rows("tip_changed", ROUND_STATES, "Idle", "open_height", "tip_is_new"),
    *_rows("tip_changed", ROUND_STATES, None, "keep_height"),
    # Round 0 waits for its slot; a later round follows at once.
    *_rows("slot_timer", ("Idle", "Reissue"), "Propose", "begin_round", "slot_is_open"),
    *_rows("slot_timer", ("Idle", "Reissue"), None, "wait_for_slot"),
    *_rows("begin", ("Idle", "Reissue"), "Propose", "begin_round"),
    # Agreement: fed in every state, because votes are evidence even when the height is decided.
    *_rows("proposal", ROUND_STATES, None, "feed_agreement"),
    *_rows("vote", ROUND_STATES, None, "feed_agreement"),
    *_rows("block_built", ("Propose",), None, "feed_agreement"),
    *_rows("block_judged", ROUND_STATES, None, "feed_agreement"),
    *_rows("agreement_timer", ("Propose",), None, "feed_agreement"),
    *_rows("fail", ("Propose",), "Idle", "close_round"),
    *_rows("decide", _UNDECIDED, "CollectSigs", "sign_decided"),
    # Signatures: each carries the certificate, so one informed member informs all.
    *_rows("signature", ROUND_STATES, None, "note_signature"),
    *_rows("digest_signed", _DECIDED, None, "publish_signature"),
    *_rows("combine", ("CollectSigs",), "Combine", "request_combination", "signatures_suffice", "may_try_again"),
    *_rows("block_combined", ("Combine",), "Submit", "submit_block", "combination_succeeded"),
    *_rows("block_combined", ("Combine",), "CollectSigs", "drop_combination"),
    *_rows("block_submitted", ("Submit",), "CollectSigs", "drop_combination", "submission_was_refused"),
    *_rows("block_submitted", ("Submit",), None, "note_submission"),
    # What was lost is sent again; what failed is tried again.
    *_rows("resend_timer", _UNDECIDED, None, "resend_votes"),
    *_rows("resend_timer", ("CollectSigs",), None, "resend_signature"),
    *_rows("resend_timer", ("Combine", "Submit"), None, "retry_last_step"),
    # Others need our help, or tell us where they stand.
    *_rows("block_request", ROUND_STATES, None, "answer_request"),
    *_rows("late_message", ROUND_STATES, None, "answer_late"),
    *_rows("early_message", ROUND_STATES, None, "keep_for_later"),
    *_rows("heartbeat", ROUND_STATES, None, "note_heartbeat"),
    *_rows("persist_failed", ROUND_STATES, None, "recover_dropped_effects"),
    # Reissuance never holds up blocks: a slot or a round begins over it, and it goes on beside them.
    *_rows("reissuance", ROUND_STATES, None, "feed_reissuances"),
    *_rows("reissue_finished", ("Reissue",), "Idle", "end_reissue"),
    *_rows("reissue_timer", ("Reissue",), "Idle", "end_reissue"),
)

ROUND_IGNORED: dict[str, tuple[tuple[str, ...], str]] = {
    "slot_timer": (("Propose", *_DECIDED), "the round began before its slot; the timer is stale"),
    "begin": (("Propose", *_DECIDED), "a round is under way or the height is decided"),
    "block_built": (("Idle", "Reissue", *_DECIDED), "the round that asked for the block is over"),
    "agreement_timer": (("Idle", "Reissue", *_DECIDED), "the round that set the timer is over"),
    "fail": (("Idle", "Reissue", *_DECIDED), "no round is under way"),
    "decide": (_DECIDED, "the height is decided already"),
    "digest_signed": (_UNDECIDED, "the height that asked for the signature is over"),
    "combine": ((*_UNDECIDED, "Combine", "Submit"), "nothing is decided yet, or it is combined already"),
    "block_combined": ((*_UNDECIDED, "CollectSigs", "Submit"), "the answer to an earlier attempt"),
    "block_submitted": ((*_UNDECIDED, "CollectSigs", "Combine"), "the tip moved before the node answered"),
    "reissue_finished": (("Idle", "Propose", *_DECIDED), "the next block took precedence"),
    "reissue_timer": (("Idle", "Propose", *_DECIDED), "the next block took precedence"),
}

# The timer by which each waiting state of the round machine is left or its work renewed.
ROUND_TIMEOUTS = {
    "Idle": "slot_timer",
    "Propose": "agreement_timer",
    "CollectSigs": "resend_timer",
    "Combine": "resend_timer",
    "Submit": "resend_timer",
    "Reissue": "reissue_timer",
}

# --- the agreement machine

AGREEMENT_STATES = (
    "Waiting",  # the height is open, no round of it is under way
    "Building",  # we are the proposer and our node builds the block
    "AwaitProposal",  # the proposer's block has not come yet
    "Judging",  # our node judges the proposal
    "Prevoted",
    "Precommitted",
    "RoundOver",  # no decision in this round; the next one is known
    "Decided",
)
_VOTING = ("Building", "AwaitProposal", "Judging", "Prevoted", "Precommitted")
_BEFORE_PREVOTE = ("Building", "AwaitProposal", "Judging")
_OPEN = ("Waiting", "RoundOver", *_VOTING)

AGREEMENT_EDGES: tuple[Edge, ...] = (
    *_rows("open", AGREEMENT_STATES, "Decided", "reset", "decision_is_remembered"),
    *_rows("open", AGREEMENT_STATES, "Waiting", "reset"),
    # A round begins; after a restart it is taken up where our recorded votes left it.
    *_rows("begin", ("Waiting", "RoundOver"), "Precommitted", "resume_round", "precommit_is_cast"),
    *_rows("begin", ("Waiting", "RoundOver"), "Prevoted", "resume_round", "prevote_is_cast"),
    *_rows("begin", ("Waiting", "RoundOver"), "AwaitProposal", "propose_again", "may_propose", "has_valid_block"),
    *_rows("begin", ("Waiting", "RoundOver"), "Building", "request_block", "may_propose"),
    *_rows("begin", ("Waiting", "RoundOver"), "AwaitProposal", "await_proposal"),
    # What is heard is recorded, in every state; what follows from it is decided by "review" below.
    *_rows("built", ("Building",), "AwaitProposal", "propose_block"),
    *_rows("proposal", AGREEMENT_STATES, None, "record_proposal"),
    *_rows("prevote", AGREEMENT_STATES, None, "record_vote"),
    *_rows("precommit", AGREEMENT_STATES, None, "record_vote"),
    *_rows("certificate", AGREEMENT_STATES, None, "record_certificate"),
    *_rows("judged", AGREEMENT_STATES, None, "record_verdict"),
    # A certificate decides in any state, but only a block that our own node found valid.
    *_rows("review", _OPEN, "Decided", "decide", "certified_block_is_valid"),
    *_rows("review", _OPEN, None, "judge_certified", "certified_block_is_unjudged"),
    # Tendermint's round skip: N - Q + 1 others are ahead of us.
    *_rows("review", _VOTING, "RoundOver", "join_later_round", "others_are_ahead"),
    # Prevote: for the proposal if our node and our lock allow it, else nil.
    *_rows("review", ("AwaitProposal", "Judging"), "Judging", "judge_proposal", "proposal_is_unjudged"),
    *_rows("review", ("AwaitProposal", "Judging"), "Prevoted", "prevote_proposal", "proposal_is_acceptable"),
    *_rows("review", ("AwaitProposal", "Judging"), "Prevoted", "prevote_nil", "proposal_is_refused"),
    # Precommit: lock on what Q members prevoted; nil if Q prevoted nil.
    *_rows("review", ("Prevoted",), "Precommitted", "lock_and_precommit", "prevotes_agree_on_valid_block"),
    *_rows("review", ("Prevoted",), "Precommitted", "precommit_nil", "prevotes_agree_on_nil"),
    *_rows("review", ("Prevoted",), None, "judge_favourite", "favourite_is_unjudged"),
    *_rows("review", ("Prevoted",), None, "start_prevote_timer", "prevotes_are_split"),
    *_rows("review", ("Precommitted",), None, "note_valid_block", "favourite_is_newly_valid"),
    # The round is over when Q precommits are nil, or some time after Q precommits that disagree. When everybody's
    # proposal was refused there is no more haste: rounds would follow each other as fast as messages travel.
    *_rows("review", _VOTING, "RoundOver", "end_round", "precommits_agree_on_nil", "some_have_not_proposed"),
    *_rows("review", _VOTING, None, "start_precommit_timer", "precommits_are_split"),
    # Time.
    *_rows("propose_timer", _BEFORE_PREVOTE, "Prevoted", "prevote_nil"),
    *_rows("prevote_timer", ("Prevoted",), "Precommitted", "precommit_nil"),
    *_rows("precommit_timer", _VOTING, "RoundOver", "end_round"),
    # What was lost is sent again. Members that cannot form a quorum because they are spread over several rounds,
    # and too few for a round skip, come together after a while.
    *_rows("resend", _VOTING, "RoundOver", "join_nearest_round", "round_is_deserted"),
    *_rows("resend", _OPEN, None, "resend"),
    # A record could not be written, and what followed it in the list of effects was dropped with it.
    *_rows("interrupted", ("Building",), None, "renew_block_request"),
    *_rows("interrupted", ("AwaitProposal", "Judging"), None, "renew_proposal_time"),
    *_rows("interrupted", ("Waiting", "Prevoted", "Precommitted", "RoundOver"), None, "renew"),
    *_rows("abstention_ended", _VOTING, None, "cast_withheld"),
)

AGREEMENT_IGNORED: dict[str, tuple[tuple[str, ...], str]] = {
    "begin": ((*_VOTING, "Decided"), "a round is under way or the height is decided"),
    "built": (
        tuple(s for s in AGREEMENT_STATES if s != "Building"),
        "the proposal's time ran out, or another round began, before our node answered",
    ),
    "review": (("Decided",), "a decision is final"),
    "propose_timer": (
        ("Waiting", "Prevoted", "Precommitted", "RoundOver", "Decided"),
        "we prevoted before the time was up",
    ),
    "prevote_timer": (
        ("Waiting", *_BEFORE_PREVOTE, "Precommitted", "RoundOver", "Decided"),
        "we precommitted before the time was up",
    ),
    "precommit_timer": (("Waiting", "RoundOver", "Decided"), "the round ended before the time was up"),
    "resend": (("Decided",), "signatures carry the certificate from here on"),
    "interrupted": (("Decided",), "nothing is under way here any more"),
    "abstention_ended": (("Waiting", "RoundOver", "Decided"), "no vote is held back"),
}

# The timer by which each waiting state of the agreement machine is left; while fewer than Q members are heard
# there is nothing to leave it for, and "resend" keeps asking.
AGREEMENT_TIMEOUTS = {
    "Building": "propose_timer",
    "AwaitProposal": "propose_timer",
    "Judging": "propose_timer",
    "Prevoted": "prevote_timer",
    "Precommitted": "precommit_timer",
}

# --- the reissue machine: one asset, period after period

REISSUANCE_STATES = (
    "Due",  # no draft is at hand: ours is made when our turn comes, another one is judged when it arrives
    "Draft",  # our node makes the draft or judges it
    "Collect",  # the draft is locked and signed; M members' signatures are collected
    "Broadcast",  # the complete transaction is on its way to our node
    "Confirm",  # our node has it; a block must bring it
    "Done",
    "Deferred",  # not done in its time: the next period begins anew, and an operator looks
)
_REISSUING = ("Due", "Draft", "Collect", "Broadcast", "Confirm")
_CHOSEN = ("Collect", "Broadcast", "Confirm")
_SETTLED = ("Done", "Deferred")

REISSUANCE_EDGES: tuple[Edge, ...] = (
    # A period begins, whatever has become of the one before.
    *_rows("open", ("Draft", *_CHOSEN), "Due", "abandon_period"),
    *_rows("open", ("Due", *_SETTLED), "Due", "open_period"),
    *_rows("planned", ("Due",), "Done", "note_confirmed", "chain_shows_it"),
    *_rows("planned", ("Due",), "Collect", "resume_draft", "draft_is_locked"),
    *_rows("planned", ("Due",), "Draft", "request_draft", "turn_is_ours"),
    *_rows("planned", ("Due",), None, "await_draft"),
    # What is heard is recorded, in every state; what follows from it is decided by "review".
    *_rows("draft", REISSUANCE_STATES, None, "record_draft"),
    *_rows("signature", REISSUANCE_STATES, None, "record_signature"),
    *_rows("review", ("Due",), "Draft", "judge_draft", "draft_is_unjudged"),
    *_rows("review", ("Draft",), "Collect", "choose_draft", "draft_is_good"),
    *_rows("review", ("Draft",), "Due", "give_up_draft", "draft_is_refused"),
    *_rows("review", ("Collect",), "Broadcast", "combine", "signatures_suffice", "may_try_again"),
    # The outcome of our orders.
    *_rows("made", ("Draft",), None, "keep_own_draft", "draft_was_made"),
    *_rows("made", ("Draft",), "Due", "report_no_draft"),
    *_rows("judged", ("Draft",), None, "record_verdict"),
    *_rows("signed", _CHOSEN, None, "publish_signature"),
    *_rows("combined", ("Broadcast",), None, "send", "combination_succeeded"),
    *_rows("combined", ("Broadcast",), "Collect", "drop_invalid_signatures"),
    *_rows("sent", ("Broadcast",), "Confirm", "note_sent", "node_has_it"),
    *_rows("sent", ("Broadcast",), None, "note_refusal"),
    # What the chain shows is believed over everything else.
    *_rows("tip", REISSUANCE_STATES, None, "ask_chain"),
    *_rows("seen", (*_REISSUING, "Deferred"), "Done", "note_confirmed", "chain_shows_it"),
    *_rows("seen", ("Done",), None, "note_still_confirmed", "chain_shows_it"),
    *_rows("seen", ("Done",), "Confirm", "note_undone", "is_unconfirmed"),
    *_rows("seen", _REISSUING, "Deferred", "defer", "time_is_over"),
    *_rows("seen", ("Confirm",), "Broadcast", "send_again", "is_absent", "transaction_is_known"),
    *_rows("seen", REISSUANCE_STATES, None, "go_on"),
    # Time: the next member takes over, what was lost is sent again, what failed is tried again.
    *_rows("turn_timer", ("Due",), "Draft", "take_turn", "next_turn_is_ours"),
    *_rows("turn_timer", ("Due",), None, "pass_turn"),
    *_rows("turn_timer", ("Draft",), "Due", "give_up_draft"),
    *_rows("turn_timer", ("Collect",), None, "repeat_signature"),
    *_rows("turn_timer", ("Broadcast",), None, "send_again", "transaction_is_known"),
    *_rows("turn_timer", ("Broadcast",), "Collect", "repeat_signature"),
    *_rows("turn_timer", ("Confirm",), None, "repeat_signature"),
)

REISSUANCE_IGNORED: dict[str, tuple[tuple[str, ...], str]] = {
    "planned": (("Draft", *_CHOSEN, *_SETTLED), "the period is under way or settled"),
    "review": (("Broadcast", "Confirm", *_SETTLED), "the draft is chosen and complete, or nothing is to be done"),
    "made": (("Due", *_CHOSEN, *_SETTLED), "another member's draft was chosen meanwhile, or the turn is over"),
    "judged": (("Due", *_CHOSEN, *_SETTLED), "the turn in which the draft was judged is over"),
    "signed": (("Due", "Draft", *_SETTLED), "the period for which it was signed is over or settled"),
    "combined": (("Due", "Draft", "Collect", "Confirm", *_SETTLED), "the answer to an earlier attempt"),
    "sent": (("Due", "Draft", "Collect", "Confirm", *_SETTLED), "the answer to an earlier attempt"),
    "turn_timer": (_SETTLED, "nothing is waited for"),
}

REISSUANCE_TIMEOUTS = dict.fromkeys(_REISSUING, "turn_timer")


class MachineTable(NamedTuple):
    """A machine as data: its name, states (the first is the initial one), edges and ignored pairs."""

    name: str
    states: tuple[str, ...]
    edges: tuple[Edge, ...]
    ignored: dict[str, tuple[tuple[str, ...], str]]
    timeouts: dict[str, str]

    @property
    def triggers(self) -> tuple[str, ...]:
        """All triggers in order of first appearance."""
        return tuple(dict.fromkeys(edge.trigger for edge in self.edges))


ROUND = MachineTable("round", ROUND_STATES, ROUND_EDGES, ROUND_IGNORED, ROUND_TIMEOUTS)
AGREEMENT = MachineTable("agreement", AGREEMENT_STATES, AGREEMENT_EDGES, AGREEMENT_IGNORED, AGREEMENT_TIMEOUTS)
REISSUANCE = MachineTable(
    "reissuance", REISSUANCE_STATES, REISSUANCE_EDGES, REISSUANCE_IGNORED, REISSUANCE_TIMEOUTS
)
TABLES = (ROUND, AGREEMENT, REISSUANCE)
