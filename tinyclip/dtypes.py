"""Types of numbers: their names here, in options, and in a safetensors file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
EVERY = {**DTYPES, **SHORT}


def long_name(word: Any) -> Any:
    """A type's name as torch has it, in whichever spelling; other words as they are."""
    return EVERY[word].name if isinstance(word, str) and word in EVERY else word


def short_name(word: Any) -> Any:
    """A type's short name, in whichever spelling; other words as they are."""
    return EVERY[word].short if isinstance(word, str) and word in EVERY else word


def get(name: str, where: str = "dtype") -> Dtype:
    """The type of a name, in either spelling.

    Raises:
        UserError: there is none; `where` named it.
    """
    if not isinstance(name, str) or name not in EVERY:
        raise UserError(where, f"unknown type {name!r}", nearest(name, DTYPES))
    return EVERY[name]
