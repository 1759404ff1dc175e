"""What objectives need beside features, made up: a line each.

Legend: B pairs of a batch.
"""

from __future__ import annotations

from dataclasses import replace

from tinyclip.model.clip import Features


def beside(name: str, mine: Features, theirs: Features) -> tuple[Features, Features]:
    """Both with what an objective needs, where the tests have to make it up."""
    more = {"mfd": {"mfd.masked": mine.image_BE}}.get(name, {})  # nothing left out
    return replace(mine, more=more), theirs
