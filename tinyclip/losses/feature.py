"""Feature mimicking: the embeddings themselves, as the teacher has them.

Legend: B batch, E joint embedding (F the teacher's where it is wider).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..model.clip import Features
from .objectives import Parts, objectives


@objectives.register("feature")
def feature(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Squared distance of normalised features, image and text summed (CLIP-KD's fd).

    Summed over channels, so that it is 2 − 2·cosine whatever the width is. A student
    that kept some of the teacher's channels is compared with those, normalised.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    image = _distance(student.image_BE, teacher.image_BE, student.channels_E)
    text = _distance(student.text_BE, teacher.text_BE, student.channels_E)
    return image + text, {"image": image.detach(), "text": text.detach()}


def _distance(mine_BE: Tensor, theirs_BF: Tensor, channels_E: Tensor | None) -> Tensor:
    if channels_E is not None:
        theirs_BF = F.normalize(theirs_BF[:, channels_E], dim=-1)
    if mine_BE.shape != theirs_BF.shape:
        raise UserError(
            "losses.feature",
            f"the student embeds in {mine_BE.shape[1]} dimensions and the teacher in "
            f"{theirs_BF.shape[1]}",
            "Use mimic, which compares similarities only",
        )
    return (mine_BE - theirs_BF).square().sum(-1).mean()
