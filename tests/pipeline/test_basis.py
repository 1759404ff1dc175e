"""What a family shares comes back as it was, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tinyclip.inherit.search import Curve
from tinyclip.model.clip import Clip
from tinyclip.pipeline.basis import Basis, Measured, Turned

ASKED = {"samples": 64}
MEASURED = Measured(
    {"image_ffn": torch.tensor([0.1, 1 / 3], dtype=torch.float64)},
    {"image_ffn": Curve(((0.1, 1 / 3), (0.2, 0.7)))},
    9,
)


@pytest.fixture
def basis(tmp_path: Path, pico_clip: Clip) -> Basis:
    kept = Basis(tmp_path / "basis", "inputs")
    kept.keep_turned(ASKED, Turned(pico_clip, {"max_abs_diff": 1 / 3}))
    kept.keep_measured(ASKED, MEASURED)
    return kept


def test_the_turned_teacher_comes_back_bit_for_bit(
    basis: Basis, pico_clip: Clip
) -> None:
    turned = basis.turned(ASKED)
    assert turned is not None
    assert turned.told == {"max_abs_diff": 1 / 3}
    assert turned.model.shape == pico_clip.shape
    mine = turned.model.state_dict()
    assert all(torch.equal(mine[k], v) for k, v in pico_clip.state_dict().items())


def test_what_was_measured_comes_back_bit_for_bit(basis: Basis) -> None:
    measured = basis.measured(ASKED)
    assert measured is not None
    assert measured.curves == MEASURED.curves
    assert measured.judged == 9
    assert torch.equal(measured.scores["image_ffn"], MEASURED.scores["image_ffn"])


def test_nothing_is_there_before_it_is_made(tmp_path: Path) -> None:
    empty = Basis(tmp_path / "none", "inputs")
    assert empty.turned(ASKED) is None and empty.measured(ASKED) is None


def test_what_other_settings_or_inputs_made_is_not_taken(basis: Basis) -> None:
    assert basis.turned({"samples": 128}) is None
    other = Basis(basis.folder, "others")
    assert other.turned(ASKED) is None and other.measured(ASKED) is None


def damaged(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage in ("gone", "pipe"):
        path.unlink()
        if damage == "pipe":
            os.mkfifo(path)
    elif damage == "torn":
        path.write_bytes(content[: len(content) // 2])
    else:
        # a digit of a value, or the last bit of the last tensor
        place = content.rfind(b"3") if path.suffix == ".json" else len(content) - 1
        content[place] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize("damage", ["gone", "torn", "changed", "pipe"])
@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_what_is_damaged_is_not_taken(suffix: str, damage: str, basis: Basis) -> None:
    for part in ("turned", "measured"):
        damaged(basis.folder / (part + suffix), damage)
    assert basis.turned(ASKED) is None
    assert basis.measured(ASKED) is None
