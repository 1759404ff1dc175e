"""The built-in teacher's training: its loss, its memory and its going on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "pictograms"
TINY = {
    "embed_dim": 8,
    "vision_cfg": {
        "image_size": 16,
        "layers": 2,
        "width": 16,
        "patch_size": 8,
        "head_width": 8,
        "mlp_ratio": 2.0,
    },
    "text_cfg": {
        "context_length": 6,
        "vocab_size": 32,
        "width": 16,
        "heads": 2,
        "layers": 1,
        "mlp_ratio": 2.0,
    },
}


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script, which is not installed, at a tiny size."""
    sys.path.insert(0, str(FOLDER))
    try:
        import train_teacher

        monkeypatch.setattr(train_teacher, "MODEL", TINY)
        yield train_teacher
    finally:
        sys.path.remove(str(FOLDER))


def words(*shape: int) -> Tensor:
    """Token ids that end with the largest one."""
    tokens = torch.randint(1, 30, (*shape, 6))
    tokens[..., 4], tokens[..., 5] = 31, 0
    return tokens.to(torch.int16)


@pytest.fixture
def data() -> dict[str, Tensor]:
    """Six concepts with two captions and two drawings each, all in every split."""
    torch.manual_seed(0)
    return {
        "pictures": torch.randint(0, 256, (24, 4, 16, 16), dtype=torch.uint8),
        "split": torch.tensor([0] * 12 + [1, 2, 3, 4] * 3),
        "concept": torch.arange(24) % 6,
        "captions": words(12),
        "caption_starts": torch.arange(0, 13, 2),
        "concept_is_emoji": torch.tensor([True] * 4 + [False] * 2),
        "retrieval_captions": words(6),
        **{f"{field}_classes": words(3, 6) for field in ("name", "group", "subgroup")},
        **{field: torch.arange(24) % 6 for field in ("name", "group", "subgroup")},
    }


def info_nce(asks: np.ndarray, answers: np.ndarray, hidden: np.ndarray) -> float:
    scores = np.where(hidden, -np.inf, asks @ answers.T)
    rows = np.arange(len(asks))
    return float(np.mean(np.log(np.exp(scores).sum(1)) - scores[rows, rows]))


def test_small_clip_has_open_clips_features(training: ModuleType) -> None:
    small = training.SmallClip(TINY).eval()
    stock = open_clip.CLIP(**TINY).eval()
    stock.load_state_dict(small.state_dict(), strict=True)
    images, tokens = torch.randn(3, 3, 16, 16), words(3).long()
    torch.testing.assert_close(
        small.encode_image(images), stock.encode_image(images, normalize=True)
    )
    torch.testing.assert_close(
        small.encode_text(tokens), stock.encode_text(tokens, normalize=True)
    )


def test_loss_is_info_nce_over_batch_and_memory(
    training: ModuleType, data: dict[str, Tensor]
) -> None:
    captions = training.Captions(data)
    memory = training.Memory(captions, 8)
    one, other, texts, images_N, texts_N = torch.randn(5, 6, 8).double().unbind()
    # Concepts 0 and 1 are the batch, 2 and 3 are remembered, 4 and 5 never met.
    memory.state["images"], memory.state["texts"] = images_N, texts_N
    memory.state["known"][1:4] = True
    fits = captions.fits(torch.tensor([0, 2]))
    views = one[:2], other[:2]
    sides = training.Sides(views, texts[:2], torch.tensor([0, 1]), fits)
    got = training.contrast(sides, torch.tensor(1.5).double(), memory, 0.5)

    def both(a: Tensor, b: Tensor, more_a: Tensor, more_b: Tensor) -> float:
        nothing = np.zeros((2, 4), bool)
        forth = info_nce(1.5 * a.numpy(), torch.cat([b, more_b]).numpy(), nothing)
        back = info_nce(1.5 * b.numpy(), torch.cat([a, more_a]).numpy(), nothing)
        return (forth + back) / 2

    seen, said = images_N[2:4], texts_N[2:4]
    text_terms = [both(view, texts[:2], seen, said) for view in views]
    image_term = both(*views, seen, seen)
    assert float(got) == pytest.approx(np.mean(text_terms) + 0.5 * image_term)


def test_a_caption_that_fits_another_concept_too_is_no_negative(
    training: ModuleType, data: dict[str, Tensor]
) -> None:
    data["captions"][2] = data["captions"][7] = data["captions"][0]
    captions = training.Captions(data)
    fits = captions.fits(torch.tensor([0, 3]))
    assert fits.nonzero().tolist() == [[0, 0], [0, 1], [0, 3], [1, 1]]
    memory = training.Memory(captions, 8)
    memory.state["known"][:] = True
    one, text = torch.randn(2, 2, 8).unbind()
    sides = training.Sides([one], text, torch.tensor([0, 1]), fits)

    def loss() -> float:
        return float(training.contrast(sides, torch.tensor(1.0), memory, 0.5))

    before = loss()
    memory.state["images"][5] = 1.0
    changed = loss()
    memory.state["images"][3] = 1.0
    assert before != changed
    # Concept 3 is still a negative of the second caption alone.
    fits[1, 3] = True
    hidden = loss()
    memory.state["images"][3] = 2.0
    assert loss() == hidden


def test_a_resumed_run_ends_with_the_same_bytes(
    training: ModuleType, data: dict[str, Tensor], tmp_path: Path
) -> None:
    plan = training.Plan(steps=6, fall=2, warmup=2, concepts=3)
    shorter = training.Plan(steps=3, fall=0, warmup=2, concepts=3)
    training.Run(data, plan, tmp_path).train(every=9, saves=9)
    whole = (tmp_path / "ema.safetensors").read_bytes()
    training.Run(data, shorter, tmp_path).train(every=9, saves=9)
    resumed = training.Run(data, plan, tmp_path)
    resumed.load(tmp_path / "state-00000003.pt")
    resumed.train(every=9, saves=9)
    assert (tmp_path / "ema.safetensors").read_bytes() == whole


def test_the_last_three_states_stay(
    training: ModuleType, data: dict[str, Tensor], tmp_path: Path
) -> None:
    plan = training.Plan(steps=5, fall=2, concepts=3)
    training.Run(data, plan, tmp_path).train(every=9, saves=1)
    names = sorted(path.name for path in tmp_path.glob("*.pt*"))
    assert names == [f"state-0000000{step}.pt" for step in (3, 4, 5)]
