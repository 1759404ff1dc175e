"""What watches a phase for steps that went wrong, and for a loss that runs away."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Any

WINDOW = 101  # steps of the running median
GRACE = 10  # skipped steps that are never too many: fp16 looks for its scale
LOWER = 0.3  # the learning rate after going back


@dataclass
class Guard:
    """Counts skipped steps and compares each loss with its running median.

    Args:
        max_skipped: share of the steps done that may be skipped.
        factor, patience: a loss above `factor` times its running median for `patience`
            steps in a row has run away.
    """

    max_skipped: float
    factor: float
    patience: int
    skipped: int = 0
    streak: int = 0
    went_back: bool = False
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    @property
    def lr_share(self) -> float:
        """What the learning rate is multiplied with."""
        return LOWER if self.went_back else 1.0

    def see(self, step: int, loss: float, applied: bool) -> str | None:
        """Take note of a step; returns what is wrong when it is too much.

        Args:
            step: steps done, this one included.
            loss: of the task, without the budget's penalty.
            applied: False when the step was skipped.
        """
        if not applied:
            self.skipped += 1
            if self.skipped > max(GRACE, self.max_skipped * step):
                return (
                    f"{self.skipped} of {step} steps had a loss or gradient that is "
                    "not a number"
                )
        if not math.isfinite(loss):
            return None
        full = len(self.recent) == WINDOW
        high = full and loss > self.factor * statistics.median(self.recent)
        self.streak = self.streak + 1 if high else 0
        if not high:  # the median is of steps that went well
            self.recent.append(loss)
        if self.streak >= self.patience:
            return (
                f"the loss was over {self.factor:g} times its running median for "
                f"{self.streak} steps"
            )
        return None

    def gone_back(self) -> None:
        """Start over after the one return that is allowed."""
        self.went_back, self.skipped, self.streak = True, 0, 0

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint remembers."""
        return {
            "skipped": self.skipped,
            "streak": self.streak,
            "went_back": self.went_back,
            "recent": list(self.recent),
        }

    def load(self, value: dict[str, Any]) -> None:
        """Take over what `to_dict` gave."""
        self.skipped, self.streak = value["skipped"], value["streak"]
        self.went_back = value["went_back"]
        self.recent = deque(value["recent"], maxlen=WINDOW)
