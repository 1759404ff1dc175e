"""The settings of inheritance by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..setting import setting
from .phase import PhaseSettings


@dataclass(frozen=True, kw_only=True)
class Manual(PhaseSettings):
    """Inheritance by hand, as in the original: no importance at all."""

    chooses: ClassVar[bool] = True
    usual_sites: ClassVar[bool] = True

    image_layers: int | None = setting(
        None, "layers that the image tower keeps; null: all", low=1
    )
    text_layers: int | None = setting(
        None, "layers that the text tower keeps; null: all", low=1
    )
    units: Literal["leading", "even"] = setting(
        "leading", "which units of a layer stay: the first, or evenly spaced ones"
    )

    @property
    def layers(self) -> dict[str, int | None]:
        return {"image": self.image_layers, "text": self.text_layers}
