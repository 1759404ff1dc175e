"""The CPUs that this process may use, and how its threads wait for work.

torch computes with OpenMP, whose threads spin for a while after every operation instead
of sleeping. On a machine that has other work, the spinning takes the CPU from whoever
they wait for; a training step then takes up to ten times as long. Not to spin at all
costs an idle machine an eighth of its speed, to spin a hundredth as long a few percent
(docs/decisions.md). OpenMP counts the CPUs of the affinity mask by itself; it does not
know a container's quota.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
SPINS = "3000"  # of GNU's OpenMP, which comes with torch; its own default is 300,000
COUNTING = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
GROUPS, MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def prepare(environment: MutableMapping[str, str] | None = None) -> None:
    """Say to OpenMP what the user has not said; in vain once torch is loaded, so that
    nothing is said then.

    Args:
        environment: the process's variables, which are changed; its own if None.
    """
    if "torch" in sys.modules:
        return
    environment = os.environ if environment is None else environment
    if not any(name in environment for name in WAITING):
        environment["GOMP_SPINCOUNT"] = SPINS
    if not any(name in environment for name in COUNTING):
        count = usable()
        if count < in_mask():  # else OpenMP counts better: it knows cores from threads
            environment["OMP_NUM_THREADS"] = str(count)


def usable() -> int:
    """CPUs that this process may use: its affinity mask, and the quota of its group.

    A quota of 2.5 CPUs is 2: a third thread would be stopped for half of the time, and
    the others would wait for it.
    """
    allowed = quota()
    return in_mask() if allowed is None else max(1, min(in_mask(), int(allowed)))


def in_mask() -> int:
    """CPUs in the affinity mask; all, where the system knows no masks."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(groups: Path = GROUPS, mount: Path = MOUNT) -> float | None:
    """CPUs that control groups (v1 or v2) leave to this process; None: no limit.

    Args:
        groups: the file that names the process's groups.
        mount: where groups are mounted.
    """
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return None
    limits = [
        limit
        for line in lines
        for folder in _folders(line, mount)
        if (limit := _limit(folder)) is not None
    ]
    return min(limits, default=None)


def _folders(line: str, mount: Path) -> Iterator[Path]:
    """The folders of a group and of all groups above it.

    A container may name its group as the host sees it, and find it mounted at the top:
    what is not there limits nothing, and the top is always looked at.
    """
    number, _, rest = line.partition(":")
    controllers, _, group = rest.partition(":")
    if number == "0":
        homes = [mount, mount / "unified"]
    elif "cpu" in controllers.split(","):
        homes = [mount / controllers, mount / "cpu"]
    else:
        return
    names = [name for name in group.split("/") if name not in ("", "..")]
    for home in homes:
        for depth in range(len(names) + 1):
            yield home.joinpath(*names[:depth])


def _limit(folder: Path) -> float | None:
    """CPUs that one group allows, if it says so."""
    try:
        if (folder / "cpu.max").exists():
            words = (folder / "cpu.max").read_text().split()
        else:
            words = [
                (folder / f"cpu.cfs_{name}_us").read_text().strip()
                for name in ("quota", "period")
            ]
        allowed, period = int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):  # absent, or "max"
        return None
    return allowed / period if allowed > 0 and period > 0 else None
