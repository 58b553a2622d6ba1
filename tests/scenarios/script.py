"""The commands of a scenario. README.md tells what each of them does; the methods are named after them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fedsm.simulator.disk import Disk
from fedsm.simulator.member import Member
from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import seal
from states.messages import Message, Precommit, Prevote, Proposal
from tests.scenarios.stage import EFFECTS, SLOW, Rule, Stage
from tests.scenarios.wording import KINDS, members, state

INDENT = "    "
LIMIT_MS = 120_000
GROUPS = {"votes": ("prevote", "precommit"), "everything": tuple(KINDS)}


class ScriptError(Exception):
    """A line that cannot be played, or whose expectation is not met."""


def play(path: Path) -> str:
    """The script with its transcript: each command followed by what came of it, indented."""
    script = Script()
    lines: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith(INDENT):
            continue
        lines.append(line)
        try:
            lines += [f"{INDENT}{said}" for said in script.obey(line)]
        except (ScriptError, Violation, ValueError, KeyError) as error:
            played = "\n".join([*lines, *(f"{INDENT}{said}" for said in script.so_far())])
            raise ScriptError(f"{path.name}:{number}: {error}\n{played}") from error
    if not script.foreign_tips:
        script.stage.check_agreement()
    return "\n".join(lines) + "\n"


class Script:
    """Plays one scenario."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._copies = 1_000_000
        self.foreign_tips = False

    @property
    def stage(self) -> Stage:
        if self._stage is None:
            raise ScriptError("the first command must be members")
        return self._stage

    def so_far(self) -> list[str]:
        """What happened since the last command that was carried out."""
        return [] if self._stage is None else self._stage.transcript()

    def obey(self, line: str) -> list[str]:
        """Carry out one line; returns what happened."""
        words = line.split("#", maxsplit=1)[0].split()
        if not words:
            return []
        command: Callable[..., list[str] | None] | None = getattr(self, f"do_{words[0]}", None)
        if command is None:
            raise ScriptError(f"no command {words[0]}")
        said = command(*words[1:]) or []
        return [*self.so_far(), *said]

    # --- reading words

    def who(self, words: str) -> list[int]:
        """all, or 0,2-4"""
        if words == "all":
            return list(range(len(self.stage.members)))
        spans = [re.fullmatch(r"(\d+)(?:-(\d+))?", part) for part in words.split(",")]
        return [n for span in spans if span for n in range(int(span[1]), int(span[2] or span[1]) + 1)]

    def one(self, words: str) -> Member:
        return self.stage.members[int(words)]

    def block(self, name: str) -> str | None:
        if name == "nil":
            return None
        found = self.stage.names.block(name)
        if found is None:
            found = self.stage.new_hash(self.stage.members[0].height + 1, 99)
            self.stage.names.give(name, found)
        return found

    # --- the federation and its time

    def do_members(self, size: str, *options: str) -> None:
        """M-of-N [votes Q] [history BLOCKS] [interval MS] [reissue PERIOD]"""
        m, n = (int(number) for number in size.split("-of-"))
        given = dict(zip(options[::2], map(int, options[1::2]), strict=True))
        self._stage = Stage(
            n,
            m,
            given.get("votes"),
            reissue_period=given.get("reissue", 0),
            history=given.get("history", 0),
            interval_ms=given.get("interval", 1000),
        )

    def do_start(self, who: str = "all") -> None:
        for index, member in enumerate(self.stage.members):
            member.alive = index in self.who(who) or (member.alive and member.round.height > 0)
        for index in self.who(who):
            self.stage.members[index].tell_tip()

    def do_run(self, *words: str) -> None:
        """MS ms, or until: CONDITION"""
        if words[0] != "until":
            self.stage.run_for(int(words[0].removesuffix("ms")))
            return
        end = self.stage.now_ms + LIMIT_MS
        while not self.holds(*words[1:]):
            if self.stage.now_ms >= end:
                raise ScriptError(f"not within {LIMIT_MS} ms: {self.stage.describe()}")
            self.stage.run_for(1)

    def holds(self, who: str, what: str, value: str = "") -> bool:
        """WHO tip HEIGHT, WHO round R, WHO in STATE, WHO up"""
        stands = [self.stage.members[n] for n in self.who(who)]
        stands = [member for member in stands if member.alive] if who == "all" else stands
        if what == "tip":
            return all(member.height >= int(value) for member in stands)
        if what == "round":
            return all(member.round.round >= int(value) for member in stands)
        if what == "in":
            return all(value in (member.round.state, member.round.agreement.state) for member in stands)
        if what == "down":
            return not any(member.alive for member in stands)
        raise ScriptError(f"no condition {what}")

    # --- messages

    def do_drop(self, *words: str) -> None:
        self._rule("drop", words)

    def do_hold(self, *words: str) -> None:
        self._rule("hold", words)

    def do_delay(self, *words: str) -> None:
        self._rule("delay", words)

    def do_double(self, *words: str) -> None:
        self._rule("double", words)

    def do_pass(self, *words: str) -> None:
        self._rule("pass", words)

    def _rule(self, verb: str, words: tuple[str, ...]) -> None:
        """KIND,KIND [from WHO] [to WHO] [round R] [by MS]"""
        given = dict(zip(words[1::2], words[2::2], strict=True))
        kinds = [kind for word in words[0].split(",") for kind in GROUPS.get(word, (word,))]
        if not set(kinds) <= set(KINDS) or not set(given) <= {"from", "to", "round", "by"}:
            raise ScriptError(f"not understood: {words}")
        self.stage.rules.append(
            Rule(
                verb,
                frozenset(kinds),
                frozenset(self.who(given.get("from", "all"))),
                frozenset(self.who(given.get("to", "all"))),
                int(given["round"]) if "round" in given else None,
                int(given.get("by", "1").removesuffix("ms")),
            )
        )

    def do_partition(self, *sides: str) -> None:
        """WHO | WHO | ..."""
        parts = [frozenset(self.who(side)) for side in sides if side != "|"]
        for part in parts:
            others = frozenset().union(*(other for other in parts if other is not part))
            self.stage.rules.append(Rule("drop", frozenset(KINDS), part, others))

    def do_heal(self) -> None:
        self.stage.rules.clear()

    def do_release(self) -> None:
        self.stage.release()

    def do_show(self, what: str) -> None:
        """repeats"""
        self.stage.show_repeats = {"repeats": True, "originals": False}[what]

    # --- members, nodes, signers, disks

    def do_crash(self, who: str, when: str = "", effect: str = "") -> None:
        """WHO, or WHO before|after EFFECT"""
        if effect and effect not in (*EFFECTS, *KINDS):
            raise ScriptError(f"no effect {effect}")
        for index in self.who(who):
            if when:
                setattr(self.stage.habits[index], f"crash_{when}", effect)
            else:
                self.stage.crash(index)

    def do_restart(self, who: str) -> None:
        for index in self.who(who):
            self.stage.restart(index)

    def do_wipe(self, who: str) -> None:
        """The disk is lost: an empty guard from the next start on."""
        for index in self.who(who):
            self.stage.members[index].store = Disk(index)

    def do_node(self, who: str, what: str, value: str = "", delay: str = "0") -> None:
        """WHO rejects BLOCK|all, accepts, down, up, refuses-submission, slow STEP MS"""
        for index in self.who(who):
            member, habits = self.stage.members[index], self.stage.habits[index]
            if what == "rejects" and value == "all":
                member.rejects_all = True
            elif what == "rejects":
                member.rejects.add(str(self.block(value)))
            elif what == "accepts":
                member.rejects_all = member.refuses_submission = False
                member.rejects.clear()
            elif what == "refuses-submission":
                member.refuses_submission = True
            elif what in ("up", "down"):
                member.node_down = what == "down"
            elif what == "slow" and value in SLOW:
                habits.slow_ms[value] = int(delay.removesuffix("ms"))
            else:
                raise ScriptError(f"a node cannot {what} {value}")

    def do_signer(self, who: str, what: str) -> None:
        """WHO down|up"""
        for index in self.who(who):
            self.stage.members[index].signer_down = {"down": True, "up": False}[what]

    def do_disk(self, who: str, what: str) -> None:
        """WHO full|free"""
        for index in self.who(who):
            self.stage.members[index].disk_full = {"full": True, "free": False}[what]

    def do_clock(self, who: str, offset: str) -> None:
        """WHO MS ahead of the true time"""
        for index in self.who(who):
            self.stage.members[index].offset_ms = int(offset.removesuffix("ms"))

    def do_tip(self, who: str, name: str) -> None:
        """The nodes of WHO learn of this block from elsewhere, and it is their new tip."""
        for index in self.who(who):
            member = self.stage.members[index]
            self.foreign_tips = True
            member.chain.append(str(self.block(name)))
            member.tell_tip()

    def do_sync(self, who: str) -> None:
        for index in self.who(who):
            self.stage.sync(index)

    # --- liars

    def do_liar(self, who: str) -> None:
        """WHO does not run our machines; what it says is said by say."""
        self.stage.watch.liars = frozenset(self.who(who))
        for index in self.who(who):
            self.stage.members[index].crash()

    def do_say(self, liar: str, kind: str, name: str, round_: str, *words: str) -> None:
        """LIAR proposal|prevote|precommit BLOCK rR [to WHO] [spoiled yes]"""
        given = dict(zip(words[::2], words[1::2], strict=True))
        index, receivers = int(liar), self.who(given.get("to", "all"))
        height = next(member.round.height for member in self.stage.members if member.alive)
        message = self._lie(kind, height, int(round_.removeprefix("r")), self.block(name), "spoiled" in given)
        self.stage.watch.lied(index, message)
        self.stage.note(index, f"{self.stage.names.message(message)} to {members(receivers)} (a lie)")
        envelope = seal(index, message, self._copy())
        for receiver in receivers:
            if receiver != index:
                self.stage.deliver_to(self.stage.members[receiver], envelope, index)

    def _lie(self, kind: str, height: int, round_: int, block_hash: str | None, spoiled: bool) -> Message:
        if kind == "prevote":
            return Prevote(height, round_, block_hash)
        if kind == "precommit":
            return Precommit(height, round_, block_hash)
        if kind != "proposal" or block_hash is None:
            raise ScriptError(f"a liar cannot say {kind}")
        return Proposal(height, round_, block_hash, block_hash.encode() + (b"spoiled" if spoiled else b""))

    def _copy(self) -> int:
        self._copies += 1
        return self._copies

    # --- looking

    def do_status(self) -> list[str]:
        return [
            f"{member.index}: tip {member.height}, {state(member.round)}, {self.stage.names.lock(member.round)}"
            if member.alive
            else f"{member.index}: down"
            for member in self.stage.members
        ]

    def do_expect(self, who: str, what: str, *words: str) -> None:
        """WHO tip BLOCK | in STATE | lock BLOCK | said|silent KIND BLOCK rR | reports CODE"""
        for index in self.who(who):
            if not self._expected(index, what, words):
                raise ScriptError(f"not so of member {index}: {self.do_status()[index]}")

    def _expected(self, index: int, what: str, words: tuple[str, ...]) -> bool:
        member, stage = self.stage.members[index], self.stage
        if what == "tip":
            return stage.names.of(member.chain[-1]) == words[0]
        if what == "in":
            return words[0] in (member.round.state, member.round.agreement.state)
        if what == "lock":
            lock = member.round.agreement.lock
            return (stage.names.of(lock.block_hash) if lock else "none") == words[0]
        if what in ("said", "silent"):
            kind, name, round_ = words
            found = [
                key
                for key, block_hash in stage.watch.votes.items()
                if (key[0], key[1], key[3]) == (index, kind, int(round_[1:])) and stage.names.of(block_hash) == name
            ]
            return bool(found) == (what == "said")
        if what == "reports":
            return any(report.code == words[0] for report in member.reports)
        raise ScriptError(f"no expectation {what}")
