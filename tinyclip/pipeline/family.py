"""Which student of the teacher a smaller one is nested in, and what it kept."""

from __future__ import annotations

from collections.abc import Sequence

from .. import cost
from ..config.schema import Stage
from ..errors import UserError
from ..keep import ClipKeep
from ..shapes import ClipShape
from .run_dir import StageDir


def larger_member(stages: Sequence[Stage], place: int) -> int | None:
    """The place of the next larger student that was chosen in the same bases.

    Args:
        place: of the stage whose student is to be nested in it.
    """
    asked = stages[place]
    if not asked.nests:
        return None
    for earlier in reversed(range(place)):
        if stages[earlier].nests and stages[earlier].rotate == asked.rotate:
            return earlier
    return None


def kept_by(folder: StageDir, shape: ClipShape) -> ClipKeep:
    """What a finished stage kept of the turned teacher.

    Args:
        shape: the turned teacher's.

    Raises:
        UserError: its file is damaged, or is not that of the stage's student.
    """
    path, done = folder.path / "keep.json", folder.done()
    keep = folder.keep()
    try:
        if done is not None and keep is not None:
            if cost.sizes(keep.cut(shape)) == done["sizes"]:
                return keep
    except (KeyError, ValueError):
        pass  # it is of another shape
    raise UserError(
        str(path),
        "is not what the student beside it kept",
        f"Restore it, or redo the stage: --from-stage {folder.number}",
    )
