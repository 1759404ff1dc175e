"""Hard pairs: near pictures join the batch, and captions with two words swapped.

Legend: B batch, J that join each pair, P = 1 + J, E joint embedding, N pairs with those
that joined, M swapped captions, C = N + M columns, b rows of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config.setting import setting
from ..model.clip import Features
from .needs import Hard
from .objectives import Parts, objectives
from .products import Products, mean_over_rows, own_columns

NEAREST = 3


@dataclass(frozen=True, kw_only=True)
class Negclip:
    """What can be asked of it."""

    joining: int = setting(
        1, "of each picture's 3 nearest, how many join the batch", low=1, high=NEAREST
    )


def _need(options: Negclip) -> Hard:
    joining = options.joining
    images, texts = float(joining), float(1 + 2 * joining)
    return Hard(joining=joining, nearest=NEAREST, images=images, texts=texts)


@objectives.register("negclip", need=_need)
def negclip(
    student: Features, teacher: Features, options: Negclip = Negclip()
) -> tuple[Tensor, Parts]:
    """`contrastive`, of a batch in which near pictures are, and captions with two words
    swapped beside the right ones (NegCLIP, Yuksekgonul et al., ICLR 2023, §4).

    L = ½ mean_i CE(i, a v_i·[s; n]) + ½ mean_i CE(i, a s_i·v)

    Of the 3 pictures that the teacher finds nearest to each, `joining` are drawn at
    every step and join the batch with a caption each: N = B (1 + joining) pairs. n are
    their captions with two words of a kind swapped: columns of the pictures, (N, 2N),
    that no picture belongs to, so that captions have none of them, (N, N). A caption
    without two words of a kind has no such column. A pair that is in the batch twice is
    no wrong answer to itself. The student's own loss: with a logit bias yes or no for
    each column of a picture. The teacher is not asked, but for what is near (`bingo`).

    Words are told apart by where they stand, without a tagger as the paper has: the
    last of a run of words (`cube`) is swapped with the last of another, the others
    (`red`) with others, words in -ing with words in -ing; runs end at English words of
    grammar and at punctuation. Costs `joining` passes of the image tower and 1 + 2
    `joining` of the text tower.

    Logged beside it: `negclip.image`, `negclip.text`, and `negclip.swapped`, the share
    of captions that could be swapped.
    """
    more = student.more
    rows_N, swaps_N = (
        teacher.more[f"negclip.{x}"].flatten() for x in ("rows", "swaps")
    )
    there_N = rows_N >= 0
    image_NE = _with(student.image_BE, more["negclip.images"])[there_N]
    text_NE = _with(student.text_BE, more["negclip.texts"])[there_N]
    negative_ME = more["negclip.swapped"].flatten(0, 1)[there_N & (swaps_N > 0)]
    loss, parts = against_swaps(
        image_NE, text_NE, negative_ME, rows_N[there_N], student.scale, student.bias
    )
    share = torch.tensor(len(negative_ME) / len(text_NE))
    return loss, {"image": parts["image"], "swapped": share, **parts}


def against_swaps(
    image_NE: Tensor,
    text_NE: Tensor,
    swapped_ME: Tensor,
    row_N: Tensor,
    scale: Tensor,
    bias: Tensor | None,
) -> tuple[Tensor, Parts]:
    """The loss of pairs whose captions stand beside swapped ones: that of `negclip`.

    Args:
        row_N: of each pair a number; pairs of one number are no wrong answer to each
            other.
        scale, bias: of the model; with a bias yes or no for each column of a picture.
    """
    columns_CE = torch.cat([text_NE, swapped_ME])
    row_C = torch.cat([row_N, row_N.new_full((len(swapped_ME),), -1)])

    def of(part: slice, logits_bC: Tensor) -> tuple[Tensor]:
        own_b = own_columns(part, logits_bC)
        again_bC = row_N[part, None] == row_C[: logits_bC.shape[1]]
        again_bC = again_bC.scatter(1, own_b[:, None], False)
        return (_of_rows(logits_bC, own_b, again_bC, bias is not None),)

    image = mean_over_rows(of, Products(image_NE, columns_CE, scale, bias))[0]
    parts = {"image": image.detach()}
    if bias is not None:
        return image, parts
    text = mean_over_rows(of, Products(text_NE, image_NE, scale))[0]
    return (image + text) / 2, {**parts, "text": text.detach()}


def _with(own_BE: Tensor, joined_BJE: Tensor) -> Tensor:
    """Each pair and those that joined it, (B P, E)."""
    return torch.cat([own_BE[:, None], joined_BJE], 1).flatten(0, 1)


def _of_rows(
    logits_bC: Tensor, own_b: Tensor, left_out_bC: Tensor, is_sigmoid: bool
) -> Tensor:
    """The loss of each row, some columns left out."""
    if not is_sigmoid:
        kept_bC = logits_bC.masked_fill(left_out_bC, -torch.inf)
        return F.cross_entropy(kept_bC, own_b, reduction="none")
    sign_bC = torch.full_like(logits_bC, -1.0).scatter(1, own_b[:, None], 1.0)
    each_bC = -F.logsigmoid(sign_bC * logits_bC)
    return each_bC.masked_fill(left_out_bC, 0.0).sum(-1)
