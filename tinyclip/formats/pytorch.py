"""Models that run in PyTorch, ready to be measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .format import Format, Opened

if TYPE_CHECKING:
    from ..model.store import Loaded


class PytorchFormat(Format):
    """A format whose models are ours again when they are read."""

    def load(self, folder: Path, where: str) -> Opened:
        return opened(self.read(folder, where, {}))


def opened(loaded: Loaded) -> Opened:
    """A model that was loaded, on a GPU where there is one."""
    import torch

    from .. import cost

    model = loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    return Opened(loaded, "pytorch", "fp32", size, cost.sizes(model.shape))
