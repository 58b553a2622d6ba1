"""The list of runs that ever failed: the commands that do them again, a line each; ``#`` begins a comment."""

from __future__ import annotations

import shlex
from pathlib import Path

from fedsm.errors import FedsmError
from fedsm.simulator.plan import Plan, faults_of, federation_of

_OPTIONS = {"--seed", "--members", "--quorum", "--rounds", "--faults", "--hostile", "--assets"}


def read_seeds(path: Path) -> list[Plan]:
    """The plans of a list. FedsmError names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FedsmError(f"cannot read {path}: {error}") from None
    plans = []
    for number, line in enumerate(lines, 1):
        command = line.split("#", maxsplit=1)[0]
        if command.strip():
            try:
                plans.append(plan_of(command))
            except ValueError as error:
                raise FedsmError(f"{path}:{number}: {error}") from None
    return plans


def keep_seed(path: Path, plan: Plan, reason: str) -> bool:
    """Add a plan to a list unless it is there. FedsmError when it cannot be written."""
    if path.exists() and plan in read_seeds(path):
        return False
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{plan.command}  # {reason}\n")
    except OSError as error:
        raise FedsmError(f"cannot write {path}: {error.strerror}") from None
    return True


def plan_of(command: str) -> Plan:
    """The plan of a command as Plan.command gives it. ValueError."""
    words = shlex.split(command)
    given = dict(zip(words[2::2], words[3::2], strict=False))
    if words[:2] != ["fedsm", "sim"] or len(words) % 2 or not {"--seed", "--members"} <= set(given) <= _OPTIONS:
        raise ValueError(f"not a command of a run: {command.strip()}")
    quorum = federation_of(given["--members"], int(given["--quorum"]) if "--quorum" in given else None)
    return Plan(
        quorum=quorum,
        seed=int(given["--seed"]),
        rounds=int(given.get("--rounds", "1000")),
        faults=faults_of(given.get("--faults", "all")),
        hostile=int(given["--hostile"]) if "--hostile" in given else None,
        assets=int(given["--assets"]) if "--assets" in given else None,
    )
