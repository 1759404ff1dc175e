"""The linear probe: a logistic regression on features (Radford et al. 2021, A.3).

Legend: N pictures to name, M to learn from, C classes, E joint embedding.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.task import ProbeTask
from ..errors import UserError
from .features import Encoder
from .measures import Outcome, measures
from .probe import probed

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # C: the inverse of the penalty
STEPS = 1000  # of L-BFGS, at most
PART = 5  # one of so many of each class chooses C


def require(where: str) -> None:
    """Check for what the extra `probe` installs.

    Raises:
        UserError: it is missing; `where` asked for it.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise UserError(
            where,
            "the linear probe needs scikit-learn, which is not installed",
            "Install it: pip install 'tinyclip[probe]'",
        )


def choosers(labels_M: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The pictures that C is chosen on: every `PART`th of each class; of a class with
    fewer none, (M,)."""
    chosen_M = np.zeros(len(labels_M), dtype=bool)
    for label in np.unique(labels_M):
        chosen_M[np.flatnonzero(labels_M == label)[PART - 1 :: PART]] = True
    return chosen_M


def fitted(features_ME: NDArray[Any], labels_M: NDArray[Any], strength: float) -> Any:
    """The minimum of C Σ cross-entropy + |W|²/2; the bias is not pulled to 0."""
    linear = importlib.import_module("sklearn.linear_model")
    with warnings.catch_warnings():  # STEPS is where it ends, as in the paper
        warnings.simplefilter("ignore")
        return linear.LogisticRegression(C=strength, max_iter=STEPS).fit(
            features_ME, labels_M
        )


def best_strength(features_ME: NDArray[Any], labels_M: NDArray[np.int64]) -> float:
    """The C that names most of a part of the pictures, learnt from the others; of equal
    ones the smallest, and 1 where no class has pictures to spare."""
    chosen_M = choosers(labels_M)
    if not chosen_M.any():
        return 1.0
    learnt = features_ME[~chosen_M], labels_M[~chosen_M]
    right = [
        fitted(*learnt, strength).score(features_ME[chosen_M], labels_M[chosen_M])
        for strength in STRENGTHS
    ]
    return STRENGTHS[int(np.argmax(right))]


def probe_scores(
    train_ME: Tensor, labels_M: Tensor, images_NE: Tensor, classes: int
) -> Tensor:
    """The logits of each class, (N, C); −∞ of one that nothing was learnt of."""
    features_ME, labels = train_ME.double().numpy(), labels_M.numpy()
    model = fitted(features_ME, labels, best_strength(features_ME, labels))
    logits = images_NE.double().numpy() @ model.coef_.T + model.intercept_
    if len(model.classes_) == 2:  # of two classes the library has one row
        logits = np.concatenate([-logits, logits], axis=1)
    scores_NC = np.full((len(logits), classes), -np.inf)
    scores_NC[:, model.classes_] = logits
    return torch.from_numpy(scores_NC)


@measures.register("linear_probe")
def linear_probe(encoder: Encoder, task: ProbeTask) -> Outcome:
    """Top-1 and top-5 of the logistic regression.

    Raises:
        UserError: scikit-learn is not installed.
    """
    require(task.name)
    return probed(encoder, task, probe_scores)
