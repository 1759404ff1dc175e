"""Two things in a picture, and two in a caption: are both found, and is the larger one
preferred, or the one that is named first (Abbasi et al. 2024, arXiv:2502.19828)?

Legend: N pictures, M captions, C classes, K couples, O others of a couple, E joint
embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import torch
from torch import Tensor

from ..data.task import TwoObjectsTask
from .bootstrap import Mean, Sample
from .features import Encoder
from .measures import Outcome, measures, share_of
from .zero_shot import answered, named_features


@dataclass(frozen=True)
class Found:
    """What was found of two things, (N,) each; ties, and similarities that are no
    numbers, find nothing.

    Args:
        one, two: whether each is nearer than all others.
        preferred: 1 where the first is nearer than the second, 0 where it is farther,
            ½ where neither is.
    """

    one: Tensor
    two: Tensor
    preferred: Tensor


def found(similar_NC: Tensor, pair_N2: Tensor, others_NO: Tensor) -> Found:
    """Which of two classes are found among others, and which is preferred.

    Args:
        similar_NC: similarities to classes.
        pair_N2, others_NO: classes.
    """
    one_N, two_N = similar_NC.gather(1, pair_N2).T
    others = similar_NC.gather(1, others_NO)
    over, under = (one_N > two_N).double(), (one_N < two_N).double()
    return Found(
        (others < one_N[:, None]).all(dim=1),
        (others < two_N[:, None]).all(dim=1),
        0.5 + (over - under) / 2,
    )


@measures.register("two_objects")
def two_objects(encoder: Encoder, task: TwoObjectsTask) -> Outcome:
    """`both_found`: the share of pictures to which both names are nearer than each of
    the other names; `larger_found` and `smaller_found` by themselves;
    `larger_preferred`, ½ without bias. `both_drawings_found`: the share of captions to
    which the drawings of both are nearer than each of the others' drawings; and
    `first_named_preferred`.

    By chance both of 2 among O others are nearest once in C(O + 2, 2), and retention
    counts from there. A preference is no quality: it is told, and nothing is judged by
    it.
    """
    whole, images_NE = encoder.pictures(task.pairs)
    names_CE = named_features(encoder, task.classes, task.templates)
    couples_K2, others_KO = torch.tensor(task.couples), torch.tensor(task.others)
    couple_N = torch.tensor([task.scenes[row][0] for row in whole])
    first_is_larger = torch.tensor([task.scenes[row][1] for row in whole])
    pair_N2 = couples_K2[couple_N]
    pair_N2 = torch.where(first_is_larger[:, None], pair_N2, pair_N2.flip(1))
    similar_NC = images_NE.double() @ names_CE.double().T
    seen = found(similar_NC, pair_N2, others_KO[couple_N])
    items = couple_N.numpy(), len(task.couples)
    samples: dict[str, Sample] = {
        "both_found": share_of(seen.one & seen.two, *items),
        "larger_found": share_of(seen.one, *items),
        "smaller_found": share_of(seen.two, *items),
        "larger_preferred": Mean(seen.preferred.numpy(), *items),
    }
    others = others_KO.shape[1]
    chance = 1 / comb(others + 2, 2)
    return Outcome(
        samples | _read(encoder, task),
        n=len(whole),
        chance=chance,
        floor=chance,
        answers=answered(encoder, images_NE, names_CE),
        counts={
            "captions": 2 * len(task.couples),
            "others": others,
            "broken": len(task.pairs) - len(whole),
        },
    )


def _read(encoder: Encoder, task: TwoObjectsTask) -> dict[str, Sample]:
    """What captions find among drawings. One that cannot be read is found by none."""
    whole, drawn_E = encoder.pictures(task.drawings)
    drawings_CE = torch.full((len(task.classes), drawn_E.shape[1]), torch.nan)
    drawings_CE[whole] = drawn_E
    couples_K2, others_KO = torch.tensor(task.couples), torch.tensor(task.others)
    pair_M2 = torch.cat([couples_K2, couples_K2.flip(1)])
    texts = [own[i] for i in (0, 1) for own in task.texts]
    similar_MC = encoder.texts(texts).double() @ drawings_CE.double().T
    read = found(similar_MC, pair_M2, others_KO.repeat(2, 1))
    count = len(task.couples)
    items = np.tile(np.arange(count), 2), count
    return {
        "both_drawings_found": share_of(read.one & read.two, *items),
        "first_named_preferred": Mean(read.preferred.numpy(), *items),
    }
