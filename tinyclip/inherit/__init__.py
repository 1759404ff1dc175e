"""The surviving weights, moved into a physically smaller student.

The package is callable: `tinyclip.inherit(model, keep)` is `slicing.inherit`. Python
binds a sub-package to its parent under the package's name as soon as any of its modules
is imported, so a function of that name beside it would be there at one time and gone at
another.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..keep import ClipKeep
    from ..model.clip import Clip


class _Callable(ModuleType):
    def __call__(self, model: Clip, keep: ClipKeep) -> Clip:
        """The student that `keep` leaves of `model`; see `slicing.inherit`."""
        from .slicing import inherit

        return inherit(model, keep)


sys.modules[__name__].__class__ = _Callable
