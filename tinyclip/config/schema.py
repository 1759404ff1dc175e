"""Every setting that a user may change, with its type, its default and its bounds.

Frozen values; `config.load` fills them from YAML and checks each leaf against its type
and the bounds in its metadata.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..cost import BUDGETS
from ..goal import LAYOUTS
from ..sites import SITES, USUAL

if TYPE_CHECKING:
    Budget: TypeAlias = str
    Layout: TypeAlias = str
    Site: TypeAlias = str
else:  # the choices are those of the tables
    Budget = Literal[tuple(BUDGETS)]
    Layout = Literal[LAYOUTS]
    Site = Literal[tuple(SITES)]

PHASES = ("learn", "score", "manual", "inherit", "distil")

Tower = Literal["image", "text"]
Phase = Literal["learn", "score", "manual", "inherit", "distil"]


def number(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """A number with inclusive bounds."""
    return field(default=default, metadata={"low": low, "high": high})


def above(default: Any, low: float, high: float | None = None) -> Any:
    """A number above `low`, which itself is not allowed."""
    return field(default=default, metadata={"above": low, "high": high})


def weights() -> Any:
    """Objectives by name and their weights, which are not negative."""
    return field(default_factory=lambda: {"mimic": 1.0}, metadata={"low": 0.0})


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW and the course of its learning rate."""

    lr: float = above(1e-3, 0.0)
    weight_decay: float = number(0.1, 0.0)
    betas: tuple[float, float] = field(
        default=(0.9, 0.98), metadata={"low": 0.0, "below": 1.0}
    )
    eps: float = above(1e-6, 0.0)
    clip: float = above(1.0, 0.0)  # global norm of the weights' gradient
    warmup: int = number(20, 0)  # steps from 0 to lr
    schedule: Literal["cosine", "constant"] = "cosine"
    final: float = number(0.01, 0.0, 1.0)  # share of lr where the cosine ends


@dataclass(frozen=True, kw_only=True)
class Learn:
    """The learn-masks phase: gates, and weights unless told otherwise."""

    steps: int = number(400, 1)
    optim: Optim = Optim()
    train_weights: bool = True
    gate_lr: float = above(0.1, 0.0)
    multiplier_lr: float = above(0.08, 0.0)  # ascent of lambda and beta
    ramp: float = number(0.6, 0.0, 1.0)  # share of the steps in which q moves
    penalty: Literal["two_sided", "hinge"] = "two_sided"
    init: Literal["constant", "magnitude", "taylor"] = "constant"
    init_open: float = number(0.95, 0.05, 0.99)  # mean openness at the start
    init_samples: int = number(256, 1)  # pairs that Taylor importance looks at
    losses: dict[str, float] = weights()


@dataclass(frozen=True, kw_only=True)
class Score:
    """The score phase: importance instead of learned gates (Torch-Pruning's)."""

    importance: Literal["magnitude", "taylor"] = "taylor"
    samples: int = number(512, 1)  # pairs that Taylor importance looks at


@dataclass(frozen=True, kw_only=True)
class Manual:
    """Inheritance by hand, as in the original: no importance at all."""

    image_layers: int | None = number(None, 1)  # None keeps every layer
    text_layers: int | None = number(None, 1)
    units: Literal["leading", "even"] = "leading"


@dataclass(frozen=True, kw_only=True)
class Distil:
    """The distil phase: the student learns from the teacher."""

    steps: int = number(400, 1)
    optim: Optim = Optim()
    losses: dict[str, float] = weights()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step down: its phases in order."""

    use: str | None = None  # the shipped stage (or YAML file) these settings start from
    target: float | None = above(None, 0.0, 1.0)  # share of the run's teacher
    phases: tuple[Phase, ...] = ("learn", "inherit", "distil")
    sites: tuple[Site, ...] = USUAL
    batch: int = number(128, 2)
    accumulate: int = number(1, 1)  # pieces of a batch; the loss sees all of it
    carry_optimizer: bool = True  # slice the optimiser's state with the weights
    scale: float | None = above(None, 0.0)  # fixed logit scale; None: each its own
    learn: Learn = Learn()
    score: Score = Score()
    manual: Manual = Manual()
    distil: Distil = Distil()


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where pairs come from and how they reach the model."""

    source: str = "builtin:pictograms"
    val: str | None = None  # None: 2 % (100 to 2,000) of the pairs, by hash
    image_column: str | None = None
    caption_column: str | None = None
    class_names: str | None = None  # a file: what folders or labels are called
    exclude: tuple[str, ...] = ()  # globs on the key: rows that are dropped
    background: str = "white"  # what transparency is laid on
    augmentations: int = number(1, 1)  # seeded augmentations a picture; 1: none
    crop: float = above(0.9, 0.0, 1.0)  # smallest share of the picture a crop keeps
    workers: int = number(0, 0)
    max_broken_share: float = number(0.01, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Teacher, data and stages: all that a run is."""

    name: str = "recipe"
    about: str = ""
    teacher: str = "builtin:pictoclip"
    data: Data = Data()
    seed: int = number(0, 0)
    budget: Budget = "encoder"
    layout: Layout = "ragged"
    towers: tuple[Tower, ...] = ("image", "text")  # the others stay as they are
    round_to: int = number(1, 1)  # ffn and embed widths are multiples of it
    vocab: str | None = None  # `captions`, or a file: token ids that nothing uses go
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False  # torch.compile for the towers that are trained
    recompute: bool = False  # gradient checkpointing: less memory, a third more work
    log_every: int = number(10, 1)  # steps between lines of metrics.jsonl
    checkpoint_every: int = number(100, 1)  # steps
    checkpoints: int = number(2, 1)  # how many are kept
    max_skipped_share: float = number(0.01, 0.0, 1.0)  # steps with a loss of NaN
    divergence: float = above(10.0, 1.0)  # times its running median a loss runs away
    divergence_steps: int = number(50, 1)  # in a row
    cache_teacher: Literal["auto", "always", "never"] = "auto"
    cache: str | None = None  # a folder of `tinyclip cache`, used instead
    evaluate: bool = True  # measure every student when its stage ends
    tasks: tuple[str, ...] = ()  # on these tasks; none named: all of the data's
    stages: tuple[Stage, ...] = (Stage(),)
