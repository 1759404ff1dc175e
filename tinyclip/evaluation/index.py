"""Can an index stay when its model goes? One model's queries on the other's features.

Legend: N pictures, M captions, E joint embedding.
"""

from __future__ import annotations

from torch import Tensor

from .answers import Answers
from .retrieval import RECALLS, retrieval_ranks

Recalls = dict[str, float]


def compatibility(student: Answers, teacher: Answers) -> dict[str, Recalls] | None:
    """Recalls both ways of queries on a gallery of the other model's features.

    Returns:
        `student_queries` on the teacher's gallery, `teacher_queries` on the student's,
        and `teacher` on its own, each with `image_to_text_r1`, ...; None where the task
        is no retrieval, or the embeddings have other widths.
    """
    owner_M = student.owner_M
    if owner_M is None or student.texts_ME is None or teacher.texts_ME is None:
        return None
    if student.images_NE.shape[1] != teacher.images_NE.shape[1]:
        return None
    return {
        "student_queries": _recalls(student, teacher, owner_M),
        "teacher_queries": _recalls(teacher, student, owner_M),
        "teacher": _recalls(teacher, teacher, owner_M),
    }


def _recalls(asking: Answers, stored: Answers, owner_M: Tensor) -> Recalls:
    assert asking.texts_ME is not None and stored.texts_ME is not None
    by_image_N, _ = retrieval_ranks(asking.images_NE, stored.texts_ME, owner_M)
    _, by_text_M = retrieval_ranks(stored.images_NE, asking.texts_ME, owner_M)
    ways = {"image_to_text": by_image_N, "text_to_image": by_text_M}
    return {
        f"{way}_r{k}": float((rank < k).double().mean())
        for way, rank in ways.items()
        for k in RECALLS
    }
