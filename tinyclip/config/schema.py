"""Every setting that a user may change: a recipe, and all that is inside it.

Each class lies in a file of its subject; the import of any of them leads through here.
Frozen values: `config.load` fills them from YAML and checks each leaf against its type
and its bounds. None of this imports torch, so that a recipe is checked at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..cost import BUDGETS
from ..dtypes import SHORT, short_name
from ..goal import LAYOUTS
from ..sites import ROUNDED
from .data import Data
from .optim import Optim
from .phases.distil import Distil
from .phases.inherit import Inherit
from .phases.learn import Learn
from .phases.manual import Manual
from .phases.score import Score
from .setting import setting
from .stage import PHASES, Stage

__all__ = [
    "PHASES",
    "Data",
    "Distil",
    "Inherit",
    "Learn",
    "Manual",
    "Optim",
    "Recipe",
    "Score",
    "Stage",
    "Tower",
]

Tower = Literal["image", "text"]
START = 1.0  # the share of itself that the run's teacher is


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Teacher, data and stages: all that a run is."""

    name: str = setting("recipe", "names the run's folder")
    about: str = setting("", "what it is for, in your words")
    teacher: str = setting("builtin:pictoclip", "the CLIP to make smaller: a source")
    more_teachers: tuple[str, ...] = setting(
        (),
        "sources of teachers beside it, of any make: the mean of all teaches",
        later=True,
    )
    data: Data = setting(Data(), "the pairs")
    seed: int = setting(0, "of order, augmentations and the gates' noise", low=0)
    budget: str = setting("encoder", "what shares count", among=lambda: BUDGETS)
    layout: str = setting(
        "ragged",
        "uniform: layers alike, so that students are stock configurations",
        among=lambda: LAYOUTS,
    )
    towers: tuple[Tower, ...] = setting(
        ("image", "text"), "which towers shrink and learn; others stay as they are"
    )
    round_to: int = setting(
        1, f"{' and '.join(ROUNDED)} widths are multiples of it", low=1
    )
    vocab: str | None = setting(
        None, "captions, or a file of texts: token ids that nothing uses go"
    )
    precision: str = setting(
        "fp32",
        "of the arithmetic; weights stay float32",
        among=lambda: SHORT,
        spelled=short_name,
    )
    compile: bool = setting(False, "torch.compile for the towers that are trained")
    recompute: bool = setting(
        False, "gradient checkpointing: less memory, a third more work"
    )
    log_every: int = setting(10, "steps between lines of metrics.jsonl", low=1)
    checkpoint_every: int = setting(100, "steps between saved states", low=1)
    checkpoints: int = setting(2, "saved states of a phase that are kept", low=1)
    max_skipped_share: float = setting(
        0.01, "share of steps whose loss may be no number", low=0, high=1
    )
    divergence: float = setting(
        10.0, "times its running median: a loss beyond runs away", above=1
    )
    divergence_steps: int = setting(
        50, "steps in a row of such a loss, before the run goes back", low=1
    )
    cache_teacher: Literal["auto", "always", "never"] = setting(
        "auto", "run the teacher once a picture, and keep its features"
    )
    cache: str | None = setting(
        None, "folder of `tinyclip cache`, used instead of the run's own"
    )
    evaluate: bool = setting(True, "measure every student when its stage ends")
    tasks: tuple[str, ...] = setting(
        (), "measured tasks, or groups of them: usual, probes; none named: usual"
    )
    stages: tuple[Stage, ...] = setting((Stage(),), "steps down, in order")

    @property
    def spans(self) -> tuple[tuple[float, float], ...]:
        """The share of the run's teacher that each stage starts from, and the one that
        it leaves."""
        spans, share = [], START
        for stage in self.stages:
            start = START if stage.from_teacher else share
            share = start if stage.target is None else stage.target
            spans.append((start, share))
        return tuple(spans)
