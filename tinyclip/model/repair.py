"""A repair of the text features: one linear map, beside the weights or in them.

Legend: D embed, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..errors import UserError
from ..files import write_bytes
from ..quoting import code_span
from ..typed import Maybe, misfit
from .clip import Clip
from .weights import check_fit, not_numbers, read_weights

FILE, NAME = "repair.safetensors", "text_map"
VERSION = (
    2  # of a directory where the map lies beside: what knows none must not load it
)
AGAIN = "Copy the model again"
RIGHT = {"before": float, "after": float, "n": int}
ABOUT = {
    "folded": bool,
    "data": str,
    "pairs": int,
    "swapped": int,
    "steps": int,
    "seed": int,
    "strength": float,
    "times": int,
    "right": Maybe(RIGHT),
}


@dataclass(frozen=True)
class Repair:
    """What repaired the text features of a model.

    Args:
        about: where it comes from: `data`, how many `pairs` it was learnt from, of them
            `swapped` with two words swapped, `steps`, `seed`, the `strength` that was
            chosen, how many `times` a model was repaired, and of `n` held-out captions
            the share that is `right`, `before` and `after`.
        map_EE: what features, as rows, are multiplied with, where it is to lie beside
            the weights; None: the weights have it.
    """

    about: Mapping[str, Any]
    map_EE: Tensor | None = None

    def write(self, folder: Path, config: dict[str, Any]) -> dict[str, Any]:
        """The file of a map that lies beside the weights; returns the configuration
        that names it."""
        if self.map_EE is None:
            return config
        values = {NAME: self.map_EE.detach().float().cpu().contiguous()}
        write_bytes(folder / FILE, save_tensors(values, {"format": "pt"}))
        about = {**config["repair"], "folded": False}
        return {**config, "format_version": VERSION, "repair": about}


def folded(config: Mapping[str, Any]) -> Repair | None:
    """The repair that a model's weights have, of what its configuration says; None
    where it was never repaired."""
    about = config.get("repair")
    return None if about is None else Repair({**about, "folded": True})


def check_repair(config: Mapping[str, Any]) -> None:
    """Refuse what a configuration says of a repair where it is none.

    Raises:
        ValueError: it is none, or contradicts the format.
    """
    about, beside = config.get("repair"), config.get("format_version") == VERSION
    wrong = "" if about is None else misfit(about, ABOUT)
    if wrong:
        raise ValueError(f"its repair is none ({wrong})")
    if beside != (about is not None and not about["folded"]):
        raise ValueError(f"its repair does not go with format_version {VERSION}")


def read_map(folder: Path, config: Mapping[str, Any], width: int) -> Tensor | None:
    """The map that lies beside a model's weights, (E, E); None where there is none.

    Args:
        config: one that `check_repair` let pass.
        width: of the joint embedding, E.

    Raises:
        UserError: it is missing, damaged, of another width, or lies beside a model that
            does not name it.
    """
    path = folder / FILE
    if config["format_version"] != VERSION:
        if path.exists():
            what = "lies beside a model whose config.json does not name it"
            raise UserError(str(path), what, AGAIN)
        return None
    tensors = read_weights(path, 8 * width**2 + 2**20)
    own = {NAME: torch.empty(width, width, device="meta")}
    check_fit(own, tensors, str(path), AGAIN)
    if not tensors[NAME].isfinite().all():
        raise UserError(str(path), "holds what is not a number", AGAIN)
    return tensors[NAME].float()


@torch.no_grad()
def apply(model: Clip, map_EE: Tensor) -> None:
    """Multiply a model's text projection, and its bias, with a map, in place.

    What was x P + b becomes (x P + b) M = x (P M) + b M, whose direction is that of
    normalised features times M: all that reads the model has the repair. Computed in
    float64, so that the identity leaves every bit.
    """
    text = model.text
    for value in (text.projection, text.projection_bias):
        if value is not None:
            map_here = map_EE.to(value.device, torch.float64)
            value.copy_(value.double() @ map_here)


def apply_read(model: Clip, map_EE: Tensor, path: Path) -> None:
    """`apply` a map that was read.

    Raises:
        UserError: what it makes of the weights are no numbers.
    """
    apply(model, map_EE)
    if wrong := not_numbers(model):
        raise UserError(str(path), f"makes a model that {wrong}", AGAIN)


def in_words(about: Mapping[str, Any]) -> str:
    """What a person is told of a repair, as Markdown."""
    source = code_span(about["data"])
    words = (
        "Its text features were repaired by one linear map (LABCLIP), learnt from "
        f"{about['pairs']:,} pairs of {source}, {about['swapped']:,} of their captions "
        "with two words swapped"
    )
    right = about.get("right")
    if right is None:
        return f"{words}."
    return (
        f"{words}. Of {right['n']:,} held-out captions {100 * right['after']:.1f} % "
        "are nearer to their picture than their swapped form, "
        f"{100 * right['before']:.1f} % before."
    )
