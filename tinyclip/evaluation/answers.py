"""What a model said of the items of a task: what two models are compared by.

Legend: N pictures, M texts, E joint embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """The features behind a figure, and what was chosen.

    Args:
        images_NE: normalised features of the pictures.
        chosen_N: the class or the caption that is nearest to each.
        texts_ME: normalised features of the classes or captions; None where no text is
            read.
        scale: what similarities are multiplied with before a softmax; None where the
            model does not say.
        owner_M: the picture of each caption, of retrieval alone.
    """

    images_NE: Tensor
    chosen_N: Tensor
    texts_ME: Tensor | None = None
    scale: float | None = None
    owner_M: Tensor | None = None
