"""Which class of transformers a student is written as, and in which form."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import UserError
from ...model.store import Loaded
from ...shapes import ClipShape
from ..conversion import Conversion, convert, too_far
from ..parity import Probe
from ..stock import POOL_APART
from .write_config import family_of

log = logging.getLogger("tinyclip")
STOCK, OWN = "stock", "own"


@dataclass(frozen=True)
class Written:
    """What is written, and the family of its stock class; None with its own code."""

    conversion: Conversion
    family: str | None = None

    @property
    def loaded(self) -> Loaded:
        return self.conversion.loaded


def written_as(
    loaded: Loaded,
    shape: ClipShape,
    ids: Mapping[str, int | None],
    pairs: tuple[Probe, Probe | None],
    code: str | None,
) -> Written:
    """A stock class where one holds the student and keeps its features, else our own.

    Args:
        shape: of what a stock class would hold, as it would be written.
        ids: as `family_of` takes them.
        pairs: to measure a conversion on, as `convert` takes them.
        code: `stock` or `own` where the user wants one of them.

    Raises:
        UserError: a stock class is wanted, and none holds the student.
    """
    ours = Written(Conversion(loaded, loaded))
    if code == OWN:
        return ours
    family = family_of(shape, ids)
    if family is None:
        if code == STOCK:
            raise _no_class(loaded.model.shape)
        return ours
    conversion = convert(loaded, *pairs)
    why = too_far(conversion)
    if not why:
        return Written(conversion, family)
    if code == STOCK:
        raise UserError(f"--code {STOCK}", why, f"Use --code {OWN}, which is exact")
    log.warning("%s; so it is written with its own code", why)
    return ours


def _no_class(shape: ClipShape) -> UserError:
    """Why neither `CLIPModel` nor `SiglipModel` holds a student."""
    image = shape.image
    ragged = [name for name, tower in shape.towers().items() if not tower.is_uniform]
    if image.rotated and image.pool_block is not None:
        what = POOL_APART
    elif ragged:
        what = f"the {ragged[0]} tower is ragged, and stock classes have like blocks"
    else:
        what = "CLIPModel and SiglipModel lack a switch that the student has"
    return UserError(f"--code {STOCK}", what, f"Use --code {OWN}, or leave it out")
