"""Teachers that are not numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from safetensors.torch import load_file, save_file

from .families import Attack, family
from .sources import copied_hf, read_hf, transformers_folder

POISON = {"NaN": float("nan"), "infinity": float("inf"), "-infinity": -float("inf")}
SCALES = (*POISON.values(), 1e3, 3e38)


def poisoned(name: str, value: float, place: str, folder: Path) -> None:
    """One number of a tensor is another; or all of them are."""
    path = copied_hf(folder) / "model.safetensors"
    tensors = load_file(path)
    flat = tensors[name].reshape(-1).clone()
    flat[
        {"first": slice(0, 1), "last": slice(-1, None), "every": slice(None)}[place]
    ] = value
    tensors[name] = flat.reshape(tensors[name].shape)
    save_file(tensors, path, {"format": "pt"})


@family("teacher")
def teachers() -> Iterator[Attack]:
    """Weights that are no numbers, and scales that no exponential holds."""
    names = sorted(load_file(transformers_folder() / "model.safetensors"))
    for value in SCALES:
        yield Attack(
            f"a scale of {value}",
            partial(poisoned, "logit_scale", value, "every"),
            read_hf,
        )
    places = ("first", "last", "every")
    for number, name in enumerate(names):
        told, value = list(POISON.items())[number % len(POISON)]
        place = places[number % 2]
        if name != "logit_scale":
            yield Attack(
                f"{name}: the {place} is {told}",
                partial(poisoned, name, value, place),
                read_hf,
            )
