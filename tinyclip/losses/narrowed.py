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
    image_BE, text_BE = (
        narrowed_rows(rows_BF, student, objective)
        for rows_BF in (teacher.image_BE, teacher.text_BE)
    )
    return replace(teacher, image_BE=image_BE, text_BE=text_BE)


def narrowed_rows(rows_NF: Tensor, student: Features, objective: str) -> Tensor:
    """Any features of the teacher's, (N, E), as `narrowed`."""
    kept_E = student.channels_E
    if kept_E is not None:
        rows_NF = F.normalize(rows_NF[:, kept_E], dim=-1)
    _check_width(student.image_BE, rows_NF, objective)
    return rows_NF


def _check_width(mine_BE: Tensor, theirs_NE: Tensor, objective: str) -> None:
    if mine_BE.shape[1] == theirs_NE.shape[1]:
        return
    raise UserError(
        f"losses.{objective}",
        f"the student embeds in {mine_BE.shape[1]} dimensions and the teacher in "
        f"{theirs_NE.shape[1]}",
        "Use mimic, which compares similarities only",
    )
