"""Models that run in PyTorch, ready to be measured."""

from __future__ import annotations

import torch

from .. import cost
from .format import Opened
from .source import load_source


def open_source(source: str, where: str) -> Opened:
    """The model behind a source, on a GPU where there is one.

    Raises:
        UserError: as `load_source`.
    """
    loaded = load_source(source, where)
    model = loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    return Opened(loaded, "pytorch", "fp32", held, cost.sizes(model.shape))
