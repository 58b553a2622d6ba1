"""Checks of the machine that the daemon runs on."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator

from fedsm.config import DaemonConfig
from fedsm.observe.status import Check, Status

LEAST_DISK_MB = 1_000
LEAST_OPEN_FILES = 512


def machine_checks(config: DaemonConfig, running: Status | None) -> Iterator[Check]:
    """Whether there is room on the disk and for open files, and whether the daemon runs."""
    directory = config.data_directory.expanduser()
    place = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    free_mb = shutil.disk_usage(place).free // 1_000_000
    enough = free_mb >= LEAST_DISK_MB
    advice = "" if enough else f"; make room, {LEAST_DISK_MB} MB at least"
    yield Check("disk", enough, f"{free_mb} MB free at {place}{advice}")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft == resource.RLIM_INFINITY or soft >= LEAST_OPEN_FILES
    advice = "" if enough else f"; raise it to {LEAST_OPEN_FILES} or more (ulimit -n, LimitNOFILE=)"
    yield Check("open files", enough, f"the limit is {soft}{advice}")
    if config.http is None:
        yield Check("daemon", ok=True, detail="not asked, for its web server is off")
    elif running is None:
        yield Check("daemon", ok=True, detail="does not run, or serves elsewhere")
    else:
        failed = ", ".join(check.name for check in running.checks if not check.ok)
        yield Check("daemon", running.ready, f"runs, {'ready' if running.ready else f'not ready: {failed}'}")
