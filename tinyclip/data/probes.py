"""The probes of a source whose pictures have classes."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UserError
from .protocol import Pairs
from .task import Clusters, ProbeTask

SHOWN = 3


def probe(
    where: str,
    kind: str,
    train: Pairs,
    tested: Pairs,
    labels: tuple[Sequence[str], Sequence[str]],
    clusters: Clusters = None,
) -> ProbeTask:
    """A probe over the classes of the pictures to learn from.

    Args:
        where: the source, as a message names it.
        kind: `linear_probe` or `knn`; the task is called after it.
        labels: the classes of the rows of `train` and of `tested`.

    Raises:
        UserError: a class that is tested has no picture to learn from, or there is only
            one class.
    """
    classes = tuple(sorted(set(labels[0])))
    numbers = {name: i for i, name in enumerate(classes)}
    missing = sorted(set(labels[1]) - set(classes))
    if missing:
        shown = ", ".join(repr(name[:40]) for name in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise UserError(
            where,
            f"{len(train)} pictures are too few for {kind} to learn "
            f"{len(classes) + len(missing)} classes from: none shows {shown}{more}",
            "Give more, or all that is learnt from as the data and the tests with "
            "--set data.val=SOURCE",
        )
    if len(classes) < 2:
        what = f"{kind} needs pictures of two classes, and all show {classes[0]!r}"
        raise UserError(where, what, "Give more, or leave it out of the tasks")
    return ProbeTask(
        kind,
        kind,
        train,
        tuple(numbers[name] for name in labels[0]),
        tested,
        tuple(numbers[name] for name in labels[1]),
        classes,
        clusters,
    )
