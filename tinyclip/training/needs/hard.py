"""Pairs that are hard to tell apart: near pictures, and captions with words swapped.

Legend: B pairs of a batch, J that join each, P = 1 + J, T tokens, S image size, E joint
embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.batch import Batch
from ...data.seeds import number
from ...data.swapped import swapped
from ...losses.needs import Hard
from ...losses.objectives import Weighted
from .nearest import NONE, Nearby
from .provider import Offered, Pass, Provider


@dataclass(frozen=True)
class Joined:
    """A pair that joins another: its row, caption and pixels (3, S, S)."""

    row: int
    caption: str
    pixels: Tensor


@dataclass(frozen=True)
class Drawn:
    """What joins the pairs of a batch.

    Args:
        rows_BP: of each pair and those that join it; -1 where none could be had.
        swaps_BP: 1 where a caption has words that can be swapped, else 0.
        pixels, tokens: of what joins, (B J, 3, S, S) and (B J, T).
        swapped_NT: captions with words swapped, (B P, T); what has none has its own.
    """

    rows_BP: Tensor
    swaps_BP: Tensor
    pixels: Tensor
    tokens: Tensor
    swapped_NT: Tensor


class HardPairs(Provider):
    """Some of the nearest pictures of each join it; all captions are swapped too.

    What joins and what is swapped follows from the seed, the step and the pair. A
    picture that cannot be read is counted, and the next nearest joins.
    """

    def __init__(self, need: Hard, offered: Offered, _objective: Weighted) -> None:
        self.joining, self.loader = need.joining, offered.loader
        self.seed, self.device = offered.seed, offered.engine.device
        self.nearby = Nearby.found(offered, need.nearest)
        self._last: tuple[tuple[int, ...], Drawn] | None = None

    def student(self, seen: Pass) -> dict[str, Tensor]:
        drawn = self.drawn(seen.batch, seen.step)
        shape = len(seen.batch), self.joining
        texts = seen.text(torch.cat([drawn.tokens, drawn.swapped_NT]))
        joined, swaps = texts.split([len(drawn.tokens), len(drawn.swapped_NT)])
        return {
            "images": seen.image(drawn.pixels).unflatten(0, shape),
            "texts": joined.unflatten(0, shape),
            "swapped": swaps.unflatten(0, (shape[0], 1 + self.joining)),
        }

    def teacher(self, batch: Batch, step: int) -> dict[str, Tensor]:
        drawn = self.drawn(batch, step)
        rows, swaps = drawn.rows_BP.to(self.device), drawn.swaps_BP.to(self.device)
        return {"rows": rows, "swaps": swaps}

    def drawn(self, batch: Batch, step: int) -> Drawn:
        """What joins a batch; the last is held, for it is asked for twice."""
        key = (step, *batch.index_B.tolist())
        if self._last is None or self._last[0] != key:
            self._last = key, self._draw(batch, step)
        return self._last[1]

    def _draw(self, batch: Batch, step: int) -> Drawn:
        blank = torch.zeros_like(batch.pixels[0])
        rows, near = batch.index_B.tolist(), self.nearby.of(batch.index_B).tolist()

        def joined(pair: int) -> list[Joined]:
            found = self._joined(rows[pair], near[pair], step)
            none = Joined(NONE, batch.captions[pair], blank)
            return found + [none] * (self.joining - len(found))

        pairs = list(self.loader.each(joined, range(len(batch))))
        every = [one for joined_ones in pairs for one in joined_ones]
        rows_BP = torch.tensor(
            [
                [row, *(one.row for one in own)]
                for row, own in zip(rows, pairs, strict=True)
            ]
        )
        texts = [
            [shown, *(one.caption for one in own)]
            for shown, own in zip(batch.captions, pairs, strict=True)
        ]
        flat = [text for own in texts for text in own]
        swaps = [
            self._swapped(text, row, (step, rows[pair], place))
            for pair, own in enumerate(texts)
            for place, (text, row) in enumerate(
                zip(own, rows_BP[pair].tolist(), strict=True)
            )
        ]
        plain_NT, swapped_NT = self.loader.tokens(flat), self.loader.tokens(swaps)
        # words that the text tower does not read any more change nothing
        differ_N = (plain_NT != swapped_NT).any(1)
        return Drawn(
            rows_BP,
            differ_N.long().view_as(rows_BP),
            torch.stack([one.pixels for one in every]),
            self.loader.tokens([one.caption for one in every]),
            swapped_NT,
        )

    def _joined(self, row: int, near: list[int], step: int) -> list[Joined]:
        """Some of the nearest of a picture, drawn, those that can be read."""
        loader, found = self.loader, list[Joined]()

        def draw(what: str, other: int) -> int:
            return number(self.seed, what, step, row, other)

        others = [other for other in near if other != NONE]
        for other in sorted(others, key=lambda other: draw("join", other)):
            if len(found) == self.joining:
                break
            augmentation = draw("augmentation", other) % loader.augmentations
            pixels = loader.whole(other, augmentation)
            if pixels is not None:
                texts = loader.pairs.captions(other)
                text = texts[draw("caption", other) % len(texts)]
                found.append(Joined(other, text, pixels))
        return found

    def _swapped(self, text: str, row: int, drawn_for: tuple[int, ...]) -> str:
        """A caption with words swapped; itself where it has none of a kind."""
        if row == NONE:
            return text
        draw = number(self.seed, "swap", *drawn_for)
        return swapped(text, draw, self.loader.pairs.captions(row)) or text
