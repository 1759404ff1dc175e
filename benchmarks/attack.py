"""Hostile files and names against what reads them: held, refused clearly, or wrong.

    python benchmarks/attack.py --quick
    python benchmarks/attack.py --family tar --family yaml
    python benchmarks/attack.py --table benchmarks/results/DATE-attack.md

Each attack is read in a process of its own, whose time and memory are limited. It is
*held* where what was read is right, or what is broken of it is counted; *refused* where
one message says where and what; everything else is *wrong*: a traceback, a hang, memory
that ends, a file that should not have been read and was, without a word, or one that is
left behind. A family is a function that is registered in `attacks.families`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import logging
import os
import platform
import resource
import select
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from attacks import (  # noqa: F401 (they register)
    configurations,
    data,
    names,
    places,
    sources,
    state,
    strangers,
    teachers,
    texts,
    weights,
)
from attacks.families import FAMILIES, Attack, forked

from tinyclip.errors import UserError

SECONDS = 20  # of the processor, for one attack
PATIENCE = 400.0  # seconds for one that does not even work, on a machine that is busy
QUICK = 5  # about so many attacks of each family
MEMORY = 3 * 2**30  # bytes beyond what the process has when it begins
LONGEST = 4_000  # characters of a message that is still one
HELD, REFUSED, WRONG = "held", "refused", "wrong"


def outcome(attack: Attack) -> tuple[str, str]:
    """What became of an attack, and what was said."""
    with tempfile.TemporaryDirectory() as name:
        folder, scratch = Path(name) / "attack", Path(name) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        attack.write(folder)
        before = _inside(folder)
        tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
        what, said = _read(attack, folder)
        left = _inside(scratch)
        left += [] if attack.writes else sorted({*_inside(folder)} - {*before})
        left += [each for each in _inside(folder) if ".part" in each]
        if left and what != WRONG:
            return WRONG, f"left behind: {', '.join(left[:3])}"
        return what, said


def _inside(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _read(attack: Attack, folder: Path) -> tuple[str, str]:
    limit = _address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        said = attack.read(folder)
    except UserError as error:
        clear = error.where and error.what and len(str(error)) <= LONGEST
        return (REFUSED if clear else WRONG), str(error)[:200]
    except BaseException as error:
        return WRONG, f"{type(error).__name__}: {str(error)[:200]}"
    if said or attack.harmless:
        return HELD, said
    return WRONG, "it was read without a word"


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def in_child(attack: Attack) -> tuple[str, str]:
    """As `outcome`, in a process that may hang or die."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        with contextlib.suppress(BaseException):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            forked()
            os.write(writer, json.dumps(outcome(attack)).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], PATIENCE)
    content = os.read(reader, 65_536) if ready else b""
    os.close(reader)
    if not ready:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if not ready:
        return WRONG, f"waits for ever: {PATIENCE:g} s"
    if not content and os.WIFSIGNALED(status):
        return WRONG, f"ended by signal {os.WTERMSIG(status)}, as after {SECONDS} s"
    if not content:
        return WRONG, f"the process died ({status})"
    what, said = json.loads(content)
    return what, said


def run(families: list[str], quick: bool) -> dict[str, Any]:
    """Every attack of these families; where it is quick, some of each."""
    counts: dict[str, dict[str, int]] = {}
    wrong: list[dict[str, str]] = []
    slowest = ("", 0.0)
    for family in families:
        attacks = list(FAMILIES[family]())
        step = max(1, len(attacks) // QUICK) if quick else 1
        counter: Counter[str] = Counter()
        for attack in attacks[::step]:
            start = time.monotonic()
            what, said = in_child(attack)
            slowest = max(
                slowest,
                (f"{family}: {attack.name}", time.monotonic() - start),
                key=lambda entry: entry[1],
            )
            counter[what] += 1
            if what == WRONG:
                wrong.append({"family": family, "attack": attack.name, "said": said})
        counts[family] = {kind: counter[kind] for kind in (HELD, REFUSED, WRONG)}
    return {
        "date": str(datetime.datetime.now(tz=datetime.UTC).date()),
        "python": platform.python_version(),
        "attacks": sum(sum(each.values()) for each in counts.values()),
        "families": counts,
        "wrong": wrong,
        "slowest": {"attack": slowest[0], "seconds": round(slowest[1], 2)},
    }


def table(report: dict[str, Any]) -> str:
    """The counts in Markdown."""
    lines = [
        f"# Hostile files and names, {report['date']}",
        "",
        f"`benchmarks/attack.py`: {report['attacks']} attacks, each in a process of "
        f"its own, {SECONDS} s and {MEMORY // 2**30} GiB at most.",
        "",
        "| family | held | refused clearly | wrong |",
        "|---|---|---|---|",
    ]
    for family, counts in report["families"].items():
        lines.append(f"| {family} | {' | '.join(str(n) for n in counts.values())} |")
    lines += ["", "Wrong:", ""] if report["wrong"] else []
    lines += [
        f"- {entry['family']}, {entry['attack']}: {entry['said']}"
        for entry in report["wrong"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", action="append", choices=sorted(FAMILIES))
    parser.add_argument("--quick", action="store_true", help="some of each family")
    parser.add_argument("--table", type=Path, help="write it, and the JSON beside it")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    report = run(arguments.family or sorted(FAMILIES), arguments.quick)
    if arguments.table:
        arguments.table.write_text(table(report))
        text = json.dumps(report, indent=2) + "\n"
        arguments.table.with_suffix(".json").write_text(text)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
