"""What one phase hands to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..inherit.slicing import joint_keep
from ..keep import ClipKeep
from ..model.clip import Clip
from ..shapes import ClipShape


@dataclass
class Progress:
    """How far a stage is: what one phase hands to the next."""

    model: Clip
    samples: int  # pairs seen by the run before the next phase
    keep: ClipKeep | None = None
    uncut: Clip | None = None  # the model before the last cut, if it is solved anew
    moments: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    certificate: dict[str, Any] | None = None
    channels: tuple[int, ...] | None = None  # of the teacher's embedding, if cut


def channels_left(
    channels: tuple[int, ...] | None, keep: ClipKeep, shape: ClipShape
) -> tuple[int, ...] | None:
    """Which channels of the teacher's embedding a cut leaves.

    Args:
        channels: those that `shape`, the model before the cut, has; None for all.
    """
    joint = joint_keep(keep, shape)
    if joint is None:
        return channels
    return joint.kept if channels is None else tuple(channels[i] for i in joint.kept)
