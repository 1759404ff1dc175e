"""What docs/objectives.md has of an ablation, after the objectives themselves."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from comparison.table import MAIN, in_words

from .table import Entry, in_points, line, main_rows, title

OPENING = """
## Which to take when

Measured on one student, a quarter of the embedded teacher's encoder, inherited in
closed form, that has 150 steps to learn:

- **Not sure**: `{mimic: 1, feature: 4}`, as the stages `rebase` and `distil` have it.
  Nothing was better beyond noise.
- **Few pictures**: `feature`, or `dist`, by themselves or in a sum. Both say where the
  teacher is without its sharp softmax. What compares that softmax at the teacher's
  own temperature (`mimic`, `affinity`, `crd`, `gd`) learns 1,000 pictures by heart:
  alone it leaves the student worse than it was inherited.
- **Many pictures**: softened similarities beside features, `{kd: {temperature: 4},
  feature: 4}`, were the best on dev; on the held-out designer the gain is within noise.
- **`mimic` alone, for some reason**: with `strategies: {ctkd: {}}`, which softens it,
  or beside `intra`. `hsakd` adds as much, and takes five times as long.
- **An inherited student knows more than labels say**: `icl` and `asl` alone take from
  it, and with few pictures `contrastive`; so does `mfd`, whose student sees a quarter
  of a picture. A student of random weights may need them.
- **Labels all the same**: `{contrastive: 1, feature: 4}` is as good as the first line
  with many pictures. Beside `contrastive` CLIP-KD's order holds in the main: `feature`
  first, then `mfd`, `crd`, `gd`, `icl`. `negclip` is 2 to 3 points above plain
  `contrastive`, at two and a half times the time.
- **`afd` is nothing alone**: its fusion finds captions by the teacher's half.
- `layerwise` and `tat` double the time, because the teacher runs at every step; what
  they add to `mimic`, `feature` adds for nothing.
- **`bingo`**, a bag of near pictures, takes from a student with few: near drawings have
  other names.

Differences under a point and a half on the designer, and under two on dev with all
pictures, say nothing. One small teacher on drawings; not on photographs.
"""
TIMED = "mimic"  # beside which times are told


def page(report: Mapping[str, Any], name: str) -> str:
    """The section, with its table.

    Args:
        name: of the report's file, without its ending.
    """
    return OPENING + "\n" + _table(report) + "\n\n" + _origin(report, name) + "\n"


def _origin(report: Mapping[str, Any], name: str) -> str:
    return (
        f"{report['steps']} steps of {report['batch']} pairs from a student of 25 % of "
        "the encoder, inherited in closed form; top-1, %, mean ± standard deviation "
        "over seeds where there are several. Time is a whole run's, as a multiple of "
        f"`{TIMED}`'s. All figures: "
        f"[{name}](../benchmarks/results/{name}.md)."
    )


def _table(report: Mapping[str, Any]) -> str:
    entries = main_rows(report["summary"], report)
    data = list(dict.fromkeys(entry["data"] for entry in report["summary"]))
    found = {(entry["method"], entry["data"]): entry for entry in entries}
    heads = ["losses", "seeds"]
    for one in data:
        heads += [f"{in_words(one)}: dev", "designer"]
    lines = [line([*heads, "time"]), "|---" * (len(heads) + 1) + "|"]
    for method in _by_dev(entries):
        own = [found.get((method, one)) for one in data]
        cells = [title(method), _seeds(own)]
        for entry in own:
            cells += ["", ""] if entry is None else _values(entry)
        lines.append(line([*cells, _time(method, data, found)]))
    return "\n".join(lines)


def _by_dev(entries: Sequence[Entry]) -> list[str]:
    """The methods, the best mean over data first."""
    values: dict[str, list[float]] = {}
    for entry in entries:
        values.setdefault(entry["method"], []).append(entry["tasks"]["dev"]["mean"])
    return sorted(values, key=lambda method: -statistics.fmean(values[method]))


def _values(entry: Entry) -> list[str]:
    return [in_points(entry["tasks"][task]) for task in ("dev", MAIN)]


def _seeds(entries: Sequence[Entry | None]) -> str:
    counts = dict.fromkeys(len(entry["seeds"]) for entry in entries if entry)
    return ", ".join(map(str, counts))


def _time(
    method: str, data: Sequence[str], found: Mapping[tuple[str, str], Entry]
) -> str:
    """How long a run takes beside the one that times are told beside; an untrained
    student's is a cut's, and is not."""
    ratios = [
        found[method, one]["cpu_seconds"] / found[TIMED, one]["cpu_seconds"]
        for one in data
        if (method, one) in found and (TIMED, one) in found
    ]
    trained = any(found[method, d]["rate"] for d in data if (method, d) in found)
    return f"{statistics.fmean(ratios):.1f}" if ratios and trained else ""
