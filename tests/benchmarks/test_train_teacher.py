"""The built-in teacher's training: its model, its loss and its going on."""

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


def test_loss_is_info_nce_without_what_would_be_right_too(
    training: ModuleType,
) -> None:
    scores, also_right = torch.randn(3, 3).double(), torch.eye(3).bool()
    also_right[0, 2] = True
    weights = np.where(also_right.numpy() & ~np.eye(3, dtype=bool), 0, 1)
    raised = weights * np.exp(scores.numpy())
    own = np.diag(raised)
    parts = [-np.log(own / raised.sum(axis)).mean() for axis in (0, 1)]
    assert float(training.contrast(scores, also_right)) == pytest.approx(np.mean(parts))


def test_a_caption_fits_every_concept_that_has_its_words(
    training: ModuleType, data: dict[str, Tensor]
) -> None:
    data["captions"][:] = data["captions"][0]
    pool = training.Pool(data)
    assert pool.batch(0, training.Mix(4, 2, 0.5, 0)).fits_BB.all()
    data["captions"] = words(12)
    batch = training.Pool(data).batch(0, training.Mix(4, 2, 0.5, 0))
    assert batch.fits_BB.equal(torch.eye(4).bool())


def test_every_second_batch_has_emoji_of_few_categories(
    training: ModuleType, data: dict[str, Tensor]
) -> None:
    data["subgroup"] = data["concept"] % 2
    pool, mix = training.Pool(data), training.Mix(3, 2, 0.6, 0)
    pairs = [pool.concepts(step, mix)[: mix.emoji] for step in range(40)]
    plain, sorts = torch.stack(pairs[::2]), torch.stack(pairs[1::2])
    assert plain.flatten().bincount().tolist() == [10] * 4
    assert sorts.flatten().bincount().tolist() == [10] * 4
    assert (sorts[:, 0] % 2).equal(sorts[:, 1] % 2)
    assert not (plain[:, 0] % 2).equal(plain[:, 1] % 2)


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
