"""Agreement, divergence, alignment and gap against plain float64 formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyclip.evaluation import fidelity as room
from tinyclip.evaluation.answers import Answers
from tinyclip.evaluation.index import compatibility


def unit(rows: int, width: int, seed: int) -> torch.Tensor:
    features = np.random.default_rng(seed).normal(size=(rows, width))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return torch.tensor(features, dtype=torch.float32)


def answers(seed: int, width: int = 5, scale: float | None = 9.0, **more) -> Answers:
    images, texts = unit(30, width, seed), unit(7, width, seed + 50)
    chosen = (images @ texts.T).argmax(dim=1)
    return Answers(images, chosen, texts, scale, **more)


def shares(each: Answers) -> np.ndarray:
    logits = (
        each.scale * each.images_NE.double().numpy() @ each.texts_ME.double().numpy().T
    )
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("rows", [1024, 8])
def test_divergence_is_the_sum_of_p_log_p_by_q_of_the_teacher_s_p(
    rows: int, monkeypatch
) -> None:
    monkeypatch.setattr(room, "ROWS", rows)
    student, teacher = answers(1), answers(2, scale=4.0)
    p, q = shares(teacher), shares(student)
    wanted = (p * np.log(p / q)).sum(axis=1).mean()
    assert room.divergence(student, teacher) == pytest.approx(wanted, rel=1e-5)


def test_a_model_without_a_scale_has_no_divergence() -> None:
    assert room.divergence(answers(1, scale=None), answers(2)) is None
    assert room.divergence(answers(1), answers(2, scale=None)) is None


def test_alignment_is_that_of_centred_gram_matrices() -> None:
    """Kornblith et al. 2019, eq. 1 and 3: HSIC of linear kernels, normalised."""
    x, y = unit(30, 5, 1).double().numpy(), unit(30, 8, 2).double().numpy()
    centre = np.eye(30) - 1 / 30

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.trace(a @ a.T @ centre @ b @ b.T @ centre))

    wanted = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert room.cka(unit(30, 5, 1), unit(30, 8, 2)) == pytest.approx(wanted, rel=1e-6)


def test_a_turned_model_is_aligned_whole() -> None:
    turn = torch.linalg.qr(
        torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    )
    x = unit(30, 5, 1)
    assert room.cka(x, 3 * x @ turn.Q) == pytest.approx(1.0, abs=1e-5)


def test_features_that_are_all_the_same_have_no_alignment() -> None:
    assert room.cka(torch.ones(4, 3), unit(4, 3, 0)) is None


def test_agreement_counts_wrong_answers_that_are_shared() -> None:
    ours, theirs = torch.tensor([3, 1, 2, 0]), torch.tensor([3, 1, 0, 1])
    assert room.agreement(ours, theirs) == 0.5


def test_the_gap_is_between_the_mean_picture_and_the_mean_text() -> None:
    images, texts = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[-1.0, 0]])
    found = room.gap(Answers(images, torch.zeros(2), texts, 1.0))
    assert found == pytest.approx(np.hypot(1.5, 0.5))


def test_features_that_are_no_numbers_give_no_figure() -> None:
    nothing = Answers(torch.full((3, 2), torch.nan), torch.zeros(3), unit(3, 2, 1), 1.0)
    other = Answers(unit(3, 2, 2), torch.zeros(3), unit(3, 2, 3), 1.0)
    found = room.fidelity(nothing, other)
    assert (found["kl"], found["cka_images"]) == (None, None)
    assert room.gap(nothing) is None


@pytest.fixture
def owned() -> tuple[Answers, Answers]:
    """Two models of four pictures and six captions; the student's pictures lie in the
    teacher's space, its captions do not."""
    owner = torch.tensor([0, 0, 1, 2, 3, 3])
    teacher = Answers(torch.eye(4), torch.arange(4), torch.eye(4)[owner], 1.0, owner)
    away = torch.eye(4)[(owner + 1) % 4]
    student = Answers(torch.eye(4), torch.arange(4), away, 1.0, owner)
    return student, teacher


def test_queries_are_asked_of_the_other_model_s_gallery(owned) -> None:
    found = compatibility(*owned)
    assert found is not None
    ours, theirs, own = (
        found[k] for k in ("student_queries", "teacher_queries", "teacher")
    )
    # its pictures find the teacher's captions; its captions find the wrong pictures
    assert (ours["image_to_text_r1"], ours["text_to_image_r1"]) == (1, 0)
    # and the other way round: the teacher's captions find its pictures
    assert (theirs["image_to_text_r1"], theirs["text_to_image_r1"]) == (0, 1)
    assert (own["image_to_text_r1"], own["text_to_image_r1"]) == (1, 1)
    assert ours["text_to_image_r10"] == 1


def test_embeddings_of_other_widths_share_no_index(owned) -> None:
    student, teacher = owned
    wider = Answers(
        torch.eye(4, 5), student.chosen_N, torch.eye(6, 5), 1.0, student.owner_M
    )
    assert compatibility(wider, teacher) is None
