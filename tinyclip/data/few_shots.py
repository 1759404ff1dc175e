"""Which pictures are the shots of a few-shot task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..config.schema import Data
from ..errors import UserError
from .classes import listed
from .seeds import number
from .task import FewShotTask, ProbeTask
from .views import Subset

SPARE = 2  # more of each class, for pictures that turn out to be broken
WHERE = "data.shots"


def few_shots(
    data: Data, probe: ProbeTask, templates: tuple[str, ...], left_out: int = 0
) -> FewShotTask:
    """What a probe would learn, from a few pictures of each class.

    Args:
        data: says how many shots there are, and how often they are drawn.
        probe: with all pictures to learn from; its kind is one of `ADAPTATIONS`.
        templates: what zero-shot says of a class.
        left_out: classes that `probe` is without.

    Raises:
        UserError: no number of shots, or a class with fewer pictures.
    """
    shots = asked_shots(data)
    _refuse_small(data, probe, shots)
    most = shots[-1] + SPARE
    draws = [drawn(probe, draw, most) for draw in range(data.shot_draws)]
    rows = sorted({row for draw in draws for row in draw})
    places = {row: place for place, row in enumerate(rows)}
    return FewShotTask(
        probe.kind,
        probe.name,
        Subset(probe.train, rows),
        tuple(probe.train_labels[row] for row in rows),
        tuple(tuple(places[row] for row in draw) for draw in draws),
        shots,
        probe.pairs,
        probe.labels,
        probe.classes,
        templates,
        probe.clusters,
        left_out,
    )


def asked_shots(data: Data) -> tuple[int, ...]:
    """Each number of shots once, ascending.

    Raises:
        UserError: there is none.
    """
    if not data.shots:
        what = "names no number of pictures of a class"
        raise UserError(WHERE, what, "Write for example [1, 4, 16]")
    return tuple(sorted(set(data.shots)))


def drawn(probe: ProbeTask, draw: int, most: int) -> list[int]:
    """Rows to learn from, at most so many of each class, those of a class in an order
    that is a function of the draw, the class and the rows' keys alone."""
    by_class: dict[int, list[int]] = {}
    for row, label in enumerate(probe.train_labels):
        by_class.setdefault(label, []).append(row)
    rows: list[int] = []
    for label in sorted(by_class):
        name = probe.classes[label]
        ranks = {
            row: number(draw, "shot", name, probe.train.key(row))
            for row in by_class[label]
        }
        rows += sorted(ranks, key=ranks.__getitem__)[:most]
    return rows


def _refuse_small(data: Data, probe: ProbeTask, shots: Sequence[int]) -> None:
    """Refuse classes with fewer pictures than the most shots.

    Raises:
        UserError: there is one.
    """
    counts = Counter(probe.train_labels)
    small = [label for label, count in counts.items() if count < shots[-1]]
    if not small:
        return
    small.sort(key=lambda label: (counts[label], label))
    shown = listed([probe.classes[label] for label in small])
    least = counts[small[0]]
    fewer = sorted({*(s for s in shots if s < least), least})
    raise UserError(
        data.source,
        f"{probe.kind} is to see {shots[-1]} pictures of each class, and of "
        f"{len(small)} of {len(counts)} classes there are fewer to learn from, down to "
        f"{least}: {shown}",
        f"Give more, or show fewer: --set '{WHERE}={fewer}'",
    )
