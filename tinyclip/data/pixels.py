"""Pixels that were made once, held in memory.

Legend: S image size.
"""

from __future__ import annotations

from threading import Lock

from torch import Tensor

BLOCK = 64  # pictures


class PixelStore:
    """Pixels that were made once, in blocks of equal pictures.

    Filled once and never emptied: epochs visit rows in turn, so that throwing out the
    oldest would throw out what is wanted soonest. In blocks, because thousands of small
    tensors between a step's large ones keep the heap from ever shrinking (measured:
    6 GB where 2 are in use).

    Args:
        memory: bytes it may hold.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self._lock = Lock()  # threads fill it too
        self._blocks: list[Tensor] = []
        self._places: dict[tuple[int, int], int] = {}

    def get(self, key: tuple[int, int]) -> Tensor | None:
        """The pixels under a key, or None."""
        place = self._places.get(key)
        if place is None:
            return None
        block, slot = divmod(place, BLOCK)
        return self._blocks[block][slot]

    def put(self, key: tuple[int, int], pixels: Tensor) -> None:
        """Keep a copy of pixels, while there is room."""
        with self._lock:
            if key in self._places:
                return  # another thread made the same pixels
            block, slot = divmod(len(self._places), BLOCK)
            if block == len(self._blocks):
                size = BLOCK * pixels.numel() * pixels.element_size()
                if (block + 1) * size > self.memory:
                    return
                self._blocks.append(pixels.new_empty((BLOCK, *pixels.shape)))
            self._blocks[block][slot] = pixels
            self._places[key] = len(self._places)
