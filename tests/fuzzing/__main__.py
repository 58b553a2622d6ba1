"""Fuzzes the decoders with atheris, guided by coverage, for as long as one likes: ``make fuzz``.

    python -m tests.fuzzing [TARGET] [libFuzzer options, such as -max_total_time=600]

Without a target they take turns, SECONDS each. An input that is neither read nor refused ends the run with a status
of libFuzzer's, which is not 0, and stays in a file crash-...; that file's name as an option tries it again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 60
LIMITS = ("-timeout=5", "-rss_limit_mb=1024", "-max_len=4096")


def main(arguments: list[str]) -> int:
    """Run one target in this process, or every target in a process of its own."""
    if arguments and not arguments[0].startswith("-"):
        return fuzz(arguments[0], arguments[1:])
    from tests.fuzzing.targets import TARGETS  # noqa: PLC0415

    return next((status for status in (_start(name, arguments) for name in TARGETS) if status), 0)


def _start(name: str, options: list[str]) -> int:
    print(f"fuzzing {name}", flush=True)  # noqa: T201
    return subprocess.run([sys.executable, "-m", "tests.fuzzing", name, *options], check=False).returncode


def fuzz(name: str, options: list[str]) -> int:
    """Fuzz one target; libFuzzer ends the process."""
    try:
        import atheris  # noqa: PLC0415
    except ImportError:
        sys.exit("fedsm: atheris is not installed; make fuzz installs it where it can be")
    with atheris.instrument_imports(include=["fedsm", "transports", "states"]):
        from tests.fuzzing.targets import TARGETS  # noqa: PLC0415
    if name not in TARGETS:
        sys.exit(f"fedsm: no decoder is called {name}: {', '.join(TARGETS)}")
    target = TARGETS[name]()
    with tempfile.TemporaryDirectory(prefix="fedsm-fuzz-") as directory:
        for number, data in enumerate(target.corpus):
            (Path(directory) / f"seed-{number}").write_bytes(data)
        named = [option.partition("=")[0] for option in options]
        time = [] if "-max_total_time" in named or "-runs" in named else [f"-max_total_time={SECONDS}"]
        atheris.Setup([sys.argv[0], *LIMITS, *time, *options, directory], lambda data: target.check(data) and None)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
