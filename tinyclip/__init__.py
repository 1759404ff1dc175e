"""tinyclip: make CLIP models small."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import cpus

if TYPE_CHECKING:
    from . import losses as losses
    from .formats.source import load as load
    from .inherit.slicing import inherit as inherit
    from .masks.choose import choose as choose
    from .masks.gates import Gates as Gates
    from .pipeline.api import compress as compress
    from .pipeline.exports import export as export
    from .pipeline.make_cache import cache as cache
    from .pipeline.repair import repair as repair

__version__ = "0.1.0"
__all__ = [
    "Gates",
    "cache",
    "choose",
    "compress",
    "export",
    "inherit",
    "load",
    "losses",
    "repair",
]

cpus.prepare()  # before torch is loaded, whatever the way in

# where each name lives; imported when it is first asked for, so that the command line
# answers without torch
_HOMES = {
    "Gates": "masks.gates",
    "cache": "pipeline.make_cache",
    "choose": "masks.choose",
    "compress": "pipeline.api",
    "export": "pipeline.exports",
    "load": "formats.source",
    "repair": "pipeline.repair",
}


def __getattr__(name: str) -> Any:
    if name in ("inherit", "losses"):  # packages; inherit is callable as well
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
