"""The YAML that ships with tinyclip: `stages` and `recipes`."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def shelf(kind: str) -> Traversable:
    """The folder of shipped YAML, installed or in a bare checkout.

    Args:
        kind: `stages` or `recipes`.
    """
    try:
        return files(f"tinyclip.{kind}")
    except ModuleNotFoundError:
        return Path(__file__).resolve().parents[2] / kind


def names(kind: str) -> list[str]:
    """The names on a shelf, sorted."""
    entries = (entry.name for entry in shelf(kind).iterdir())
    return sorted(
        entry.removesuffix(".yaml") for entry in entries if entry.endswith(".yaml")
    )


def read(kind: str, name: str) -> str:
    """The text of one entry, which must be among `names`."""
    return (shelf(kind) / f"{name}.yaml").read_text(encoding="utf-8")
