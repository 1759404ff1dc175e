"""Tensors on their way into a model: read, compared with it by name, copied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from .. import cost
from ..bounded import read_bytes
from ..errors import UserError
from ..shapes import ClipShape
from .clip import Clip

LARGEST = 2**38  # bytes of a file of weights
MOST_SCALE = 88.0  # float32 holds no greater power of e
SHOWN = 3  # mismatches, or names of either side


def weights_limit(shape: ClipShape) -> int:
    """Bytes of a file that may hold the weights of a shape, whatever lies beside."""
    return 64 * int(cost.sizes(shape)["total"]) + 2**28


def read_weights(path: Path, most: int = LARGEST) -> dict[str, Tensor]:
    """Every tensor of a safetensors file.

    Args:
        most: bytes; a larger file is not read.

    Raises:
        UserError: it is missing or damaged, or no regular file, or too large.
    """
    try:
        return dict(load_tensors(read_bytes(path, most)))
    except OSError as error:
        raise UserError(str(path), f"cannot be read ({error.strerror})") from None
    except SafetensorError as error:
        raise UserError(
            str(path), f"is not a whole safetensors file ({error})", "Restore the file"
        ) from None


def outline(shape: ClipShape) -> Clip:
    """A model of names and sizes only, on the meta device.

    Raises:
        RuntimeError, TypeError, ValueError: none can be built of these numbers.
    """
    with torch.device("meta"):
        return Clip(shape)


def check_names(shape: ClipShape, tensors: Mapping[str, Tensor], where: str) -> None:
    """As `check_fit`, before there is a model of the shape.

    Raises:
        UserError: they do not fit.
    """
    check_fit(outline(shape).state_dict(), tensors, where)


def check_fit(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str, todo: str = ""
) -> None:
    """Refuse tensors of other names or shapes than a model's, or of whole numbers.

    Args:
        own: the model's, which may lie on the meta device.
        todo: what to do about it, where the caller knows whose names they are.

    Raises:
        UserError: they do not fit. The first three mismatches are named; where most
            names are others, some of either side.
    """
    missing = [name for name in own if name not in tensors]
    foreign = [name for name in tensors if name not in own]
    if 2 * len(missing) > len(own) and foreign:
        what = f"it holds {shown(foreign)}, where {shown(missing)} are expected"
        raise UserError(where, f"does not fit: {what}", todo)
    mismatches = [f"{name} is missing" for name in missing]
    mismatches += [f"{name} is not of this model" for name in foreign]
    for name, value in own.items():
        tensor = tensors.get(name, value)
        if tensor.shape != value.shape:
            shapes = f"{tuple(tensor.shape)}, expected {tuple(value.shape)}"
            mismatches.append(f"{name} is {shapes}")
        elif not tensor.dtype.is_floating_point:
            # quantised weights mean nothing without what lies beside them
            type_name = str(tensor.dtype).removeprefix("torch.")
            mismatches.append(f"{name} holds {type_name} instead of floats")
    if mismatches:
        more = (
            f", and {len(mismatches) - SHOWN} more" if len(mismatches) > SHOWN else ""
        )
        raise UserError(
            where, "does not fit: " + "; ".join(mismatches[:SHOWN]) + more, todo
        )


def shown(names: Iterable[str]) -> str:
    """The first names of many, quoted, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in listed[:SHOWN]) + more


@torch.no_grad()
def fill(model: Clip, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a model of exactly these names and shapes, as float32.

    Raises:
        UserError: they do not fit, or are no numbers that a model can have.
    """
    own = model.state_dict()
    check_fit(own, tensors, where)
    for name, value in own.items():
        value.copy_(tensors[name].to(value.dtype))
    wrong = not_numbers(model)
    if wrong:
        raise UserError(where, wrong, "Restore it, or take another")


@torch.no_grad()
def not_numbers(model: Clip) -> str:
    """Which weights no model can have; empty where there are none."""
    names = [n for n, value in model.state_dict().items() if not value.isfinite().all()]
    if names:
        return f"holds what is not a number: {shown(names)}"
    scale = float(model.logit_scale)
    if scale > MOST_SCALE:
        return f"has a logit scale of e^{scale:g}, which is no number"
    return ""
