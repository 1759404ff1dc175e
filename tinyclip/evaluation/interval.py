"""How sure a measured share is."""

from __future__ import annotations

import math

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(hits: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of `hits` in `n` (Wilson 1927, score interval).

    It treats items as independent: of items that are not, count the clusters.
    """
    if n <= 0:
        raise ValueError("a share of nothing has no interval")
    share = hits / n
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
