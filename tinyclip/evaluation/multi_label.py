"""Multi-label classification: the pictures of each class, nearest first.

Legend: N pictures, C classes, D draws, K clusters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.task import MultiLabelTask
from .bootstrap import Floats
from .features import Encoder
from .measures import Outcome, clusters_of, measures
from .zero_shot import answered, named_features


class MeanAveragePrecision:
    """The mean over classes of the average precision: of the pictures of a class, the
    mean share of such pictures among those at least as near (mAP without
    interpolation; Manning, Raghavan and Schütze 2008, §8.4).

    Of pictures that are equally near, those of other classes come first, and so does
    what is no number.

    Args:
        scores_NC: how near each picture is to each class.
        labels_NC: which classes it shows; each class has a picture.
        cluster_N, clusters: the cluster of each picture.
    """

    def __init__(
        self,
        scores_NC: Floats,
        labels_NC: NDArray[np.bool_],
        cluster_N: NDArray[np.int64],
        clusters: int,
    ) -> None:
        self.clusters = self.filled = clusters
        scores_NC = np.where(np.isnan(scores_NC) & labels_NC, -np.inf, scores_NC)
        scores_NC = np.where(np.isnan(scores_NC), np.inf, scores_NC)
        self._right_CN, self._cluster_CN = [], []
        for scores_N, labels_N in zip(scores_NC.T, labels_NC.T, strict=True):
            order = np.lexsort((labels_N, -scores_N))
            self._right_CN.append(labels_N[order])
            self._cluster_CN.append(cluster_N[order])
        self.value = float(self.drawn(np.ones((1, clusters)))[0])

    def drawn(self, times_DK: Floats) -> Floats:
        return np.array([self._drawn(times_K) for times_K in times_DK])

    def _drawn(self, times_K: Floats) -> float:
        """Of a class that no drawn picture shows, nothing is said."""
        precisions = []
        for right_N, cluster_N in zip(self._right_CN, self._cluster_CN, strict=True):
            times_N = times_K[cluster_N]
            own_N = times_N * right_N
            if (count := own_N.sum()) > 0:
                seen_N = np.maximum(np.cumsum(times_N), 1)
                precisions.append((own_N * np.cumsum(own_N) / seen_N).sum() / count)
        return float(np.mean(precisions)) if precisions else float("nan")


def labels_matrix(
    task: MultiLabelTask, whole: list[int]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which classes each whole row shows, (N, C), of the classes that a whole row
    shows, and which these are, (C,)."""
    labels_NC = np.zeros((len(whole), len(task.classes)), dtype=bool)
    for place, row in enumerate(whole):
        labels_NC[place, list(task.labels[row])] = True
    shown_C = np.flatnonzero(labels_NC.any(axis=0))
    return labels_NC[:, shown_C], shown_C


@measures.register("multi_label")
def multi_label(encoder: Encoder, task: MultiLabelTask) -> Outcome:
    """The mean average precision; by chance it is the share of pictures that a class
    has, in the mean."""
    whole, images_NE = encoder.pictures(task.pairs)
    classes_CE = named_features(encoder, task.classes, task.templates)
    labels_NC, shown_C = labels_matrix(task, whole)
    scores = (images_NE @ classes_CE.T).double().numpy()[:, shown_C]
    figure = MeanAveragePrecision(scores, labels_NC, *clusters_of(task.clusters, whole))
    return Outcome(
        {"mean_average_precision": figure},
        n=len(whole),
        chance=float(labels_NC.mean()),
        answers=answered(encoder, images_NE, classes_CE),
        counts={"classes": len(shown_C), "broken": len(task.pairs) - len(whole)},
    )
