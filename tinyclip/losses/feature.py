"""Feature mimicking: the embeddings themselves, as the teacher has them.

Legend: B batch, E joint embedding.
"""

from __future__ import annotations

from torch import Tensor

from ..model.clip import Features
from .narrowed import narrowed
from .objectives import Parts, objectives


@objectives.register("feature", each_modality=True, compares="embeddings")
def feature(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """Squared distance of normalised features, image and text summed (fd of CLIP-KD,
    Yang et al., CVPR 2024).

    L = mean_i (|v_i − V_i|² + |s_i − S_i|²)

    Summed over channels, so that it is 2 − 2·cosine whatever the width is: CLIP-KD's
    weight of 2,000 on the mean over 512 channels is 4 here. A student that kept some of
    the teacher's channels is compared with those, normalised.

    Raises:
        UserError: the embeddings differ in width, and which channels the student kept
            is not known.
    """
    kept = narrowed(teacher, student, "feature")
    return apart(student.image_BE, student.text_BE, kept)


@objectives.register("fd", each_modality=True, compares="embeddings")
def fd(student: Features, teacher: Features) -> tuple[Tensor, Parts]:
    """`feature`, by the name that CLIP-KD has for it."""
    kept = narrowed(teacher, student, "fd")
    return apart(student.image_BE, student.text_BE, kept)


def apart(image_BE: Tensor, text_BE: Tensor, kept: Features) -> tuple[Tensor, Parts]:
    """Squared distances of a student's features from those of its teacher that it kept
    the channels of, image and text summed."""
    image = _distance(image_BE, kept.image_BE)
    text = _distance(text_BE, kept.text_BE)
    return image + text, {"image": image.detach(), "text": text.detach()}


def _distance(mine_BE: Tensor, theirs_BE: Tensor) -> Tensor:
    return (mine_BE - theirs_BE).square().sum(-1).mean()
