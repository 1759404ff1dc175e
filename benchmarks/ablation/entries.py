"""What is compared: objectives, alone or beside another, and sums of them.

One entry each. An objective stands alone where it says which caption goes with which
picture, or where each feature is to go; one that says neither is run beside `mimic`.
An entry that wants an objective or a setting that does not exist (yet) is not offered.
`fd` is `feature`, and `affinity` is `mimic` where the teacher was trained with a
softmax: neither is run twice. `sigmoid` is for teachers with a logit bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinyclip.config.objectives import Asked, Losses
from tinyclip.config.schema import Recipe
from tinyclip.config.setting import inner_kind, settings_of
from tinyclip.losses.objectives import objectives

ALONE, BESIDE, CLIP_KD, SUM, MIX = (
    *("alone", "beside mimic", "beside contrastive", "sum", "mix"),
)
NONE = "none"  # the student as it was inherited
TODAY = "mimic+4feature"  # what recipes use
# why an objective does not stand alone
PAIRS = "says nothing of which caption goes with which picture"
FREE = "what it compares goes through a map that is learned with it"
PICTURES = "asks pictures alone"
DISTIL = "stages.0.distil"  # the settings of the phase


@dataclass(frozen=True)
class Entry:
    """One way to distil.

    Args:
        kind: which part of the table it is in.
        losses: of the phase.
        why: it does not stand alone.
        settings: beside its losses, by their paths in a recipe (`stages.0.scale`).
        live: the teacher runs at every step; its features do not suffice.
    """

    kind: str
    losses: Losses
    why: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    live: bool = False

    @property
    def offered(self) -> bool:
        """Whether all that it wants exists."""
        return set(self.losses) <= set(objectives) and all(
            is_setting(path) for path in self.settings
        )


def is_setting(path: str) -> bool:
    """Whether a recipe has a setting of that path."""
    kind: type | None = Recipe
    for key in path.split("."):
        if key.isdecimal():
            continue
        settings = {} if kind is None else settings_of(kind)
        if key not in settings:
            return False
        kind = inner_kind(settings[key][1])
    return True


def alone(name: str, weight: float = 1.0, **options: Any) -> Entry:
    asked = {"weight": weight, **options} if options else weight
    return Entry(ALONE, {name: asked})


def beside(name: str, why: str, live: bool = False) -> Entry:
    return Entry(BESIDE, {"mimic": 1.0, name: 1.0}, why, live=live)


def strategy(name: str, why: str) -> Entry:
    settings = {f"{DISTIL}.strategies": {name: {}}}
    return Entry(BESIDE, {"mimic": 1.0}, why, settings)


def clip_kd(**losses: float) -> Entry:
    """As CLIP-KD's table has it: beside the student's own loss."""
    return Entry(CLIP_KD, {"contrastive": 1.0, **losses})


def mix(**losses: Asked) -> Entry:
    return Entry(MIX, dict(losses))


SINGLE: dict[str, Entry] = {
    TODAY: Entry(SUM, {"mimic": 1.0, "feature": 4.0}),
    "mimic": alone("mimic"),
    "feature": alone("feature"),
    "mfd": alone("mfd"),
    "crd": alone("crd"),
    "icl": alone("icl"),
    "gd": alone("gd"),
    "kd": alone("kd"),
    "dist": alone("dist"),
    "contrastive": alone("contrastive"),
    "asl": alone("asl"),
    "negclip": alone("negclip"),
    "afd": alone("afd"),
    "affinity50": Entry(SUM, {"affinity": 1.0}, settings={"stages.0.scale": 50.0}),
    "clip-kd": Entry(SUM, {"contrastive": 1.0, "feature": 4.0, "crd": 1.0, "icl": 1.0}),
    "mimic+ickd": beside("ickd", PAIRS),
    "mimic+intra": beside("intra", PAIRS),
    "mimic+mfi": beside("mfi", "looks at captions alone, and asks the student alone"),
    "mimic+ctkd": strategy("ctkd", "a temperature of the objective beside it"),
    "mimic+kcd": strategy("kcd", "weights of the objective beside it"),
    "mimic+dlb": strategy("dlb", "asks the student what it said itself"),
    "mimic+afd": beside("afd", FREE),
    "mimic+layerwise": beside("layerwise", FREE, live=True),
    "mimic+tat": beside("tat", FREE, live=True),
    "mimic+hsakd": beside("hsakd", FREE, live=True),
    "mimic+bingo": beside("bingo", PICTURES),
    "contrastive+fd": clip_kd(feature=4.0),
    "contrastive+mfd": clip_kd(mfd=4.0),
    "contrastive+icl": clip_kd(icl=1.0),
    "contrastive+crd": clip_kd(crd=1.0),
    "contrastive+gd": clip_kd(gd=1.0),
    "contrastive+afd": clip_kd(afd=1.0),
}
MIXES: dict[str, Entry] = {  # kd4: at temperature 4
    "4dist+4feature": mix(dist=4.0, feature=4.0),
    "16dist+4feature": mix(dist=16.0, feature=4.0),
    "kd+4feature": mix(kd=1.0, feature=4.0),
    "kd4+4feature": mix(kd={"temperature": 4.0}, feature=4.0),
    "kd8+4feature": mix(kd={"temperature": 8.0}, feature=4.0),
    "kd4+4dist+4feature": mix(kd={"temperature": 4.0}, dist=4.0, feature=4.0),
    "mimic+16feature": mix(mimic=1.0, feature=16.0),
    "4feature+intra": mix(feature=4.0, intra=1.0),
}
ENTRIES = {**SINGLE, **MIXES}
# CLIP-KD, table 1: zero-shot on ImageNet of ViT-T/16 from ViT-B/16, %, beside the
# student's own loss
PUBLISHED = {
    "contrastive": 30.55,
    "contrastive+crd": 31.94,
    "contrastive+fd": 34.23,
    "contrastive+mfd": 34.09,
    "contrastive+gd": 31.54,
    "contrastive+icl": 33.11,
    "contrastive+afd": 31.42,
}
