"""Objectives that do not fit every teacher."""

from __future__ import annotations

from collections.abc import Callable

from ..registry import Registry
from ..shapes import ClipShape

# of an objective that does not fit every teacher: why it does not fit one, or ""
misfits: Registry[Callable[[ClipShape], str]] = Registry("objective")
