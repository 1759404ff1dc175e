"""Types of numbers: their names here, in options, and in a safetensors file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import UserError, nearest

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Dtype:
    """One type.

    Args:
        name: as torch has it.
        short: as options of arithmetic and of exports have it.
        stored: as the header of a safetensors file has it.
    """

    name: str
    short: str
    stored: str

    @property
    def torch(self) -> torch.dtype:
        """torch's own."""
        import torch

        found: torch.dtype = getattr(torch, self.name)
        return found


DTYPES = {
    one.name: one
    for one in (
        Dtype("float32", "fp32", "F32"),
        Dtype("float16", "fp16", "F16"),
        Dtype("bfloat16", "bf16", "BF16"),
    )
}
SHORT = {one.short: one for one in DTYPES.values()}


def get(name: str, where: str = "dtype") -> Dtype:
    """The type of a name.

    Raises:
        UserError: there is none; `where` named it.
    """
    if name not in DTYPES:
        raise UserError(where, f"unknown type {name!r}", nearest(name, DTYPES))
    return DTYPES[name]
