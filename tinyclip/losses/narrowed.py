"""The teacher's features where the student's can be compared with them.

Legend: B batch, E the student's joint embedding (F the teacher's where it is wider).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..model.clip import Features


def narrowed(teacher: Features, student: Features, objective: str) -> Features:
    """The teacher's features in the channels that the student kept, (B, E), normalised
    anew; as they are where the student kept all.

    Args:
        objective: that compares them, for the message.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    kept_E = student.channels_E
    if kept_E is not None:
        image_BE, text_BE = (
            F.normalize(rows_BF[:, kept_E], dim=-1)
            for rows_BF in (teacher.image_BE, teacher.text_BE)
        )
        teacher = replace(teacher, image_BE=image_BE, text_BE=text_BE)
    _check_width(student.image_BE, teacher.image_BE, objective)
    return teacher


def _check_width(mine_BE: Tensor, theirs_BE: Tensor, objective: str) -> None:
    if mine_BE.shape == theirs_BE.shape:
        return
    raise UserError(
        f"losses.{objective}",
        f"the student embeds in {mine_BE.shape[1]} dimensions and the teacher in "
        f"{theirs_BE.shape[1]}",
        "Use mimic, which compares similarities only",
    )
