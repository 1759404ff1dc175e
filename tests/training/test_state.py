"""Checkpoints: whole or absent."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from tinyclip.errors import UserError
from tinyclip.training.state import Checkpoints, State


def state(step: int, phase: str = "distil") -> State:
    tensors = {"model.weight": torch.full((3,), float(step))}
    return State(phase, step, tensors, {"offset": 10 * step})


def test_the_newest_state_comes_back_whole(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(3))
    checkpoints.save(state(12))
    latest = checkpoints.latest("distil")
    assert latest is not None
    assert (latest.step, latest.extra) == (12, {"offset": 120})
    assert torch.equal(latest.part("model")["weight"], torch.full((3,), 12.0))


def test_only_the_last_of_a_phase_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(5):
        checkpoints.save(state(step))
    checkpoints.save(state(1, "learn"))
    names = sorted(path.stem for path in tmp_path.glob("*.safetensors"))
    assert names == ["distil-00000003", "distil-00000004", "learn-00000001"]


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", keep=1).latest("learn") is None


def test_a_flipped_byte_falls_back_to_the_state_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    path = tmp_path / "distil-00000002.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        latest = checkpoints.latest("distil")
    assert latest is not None
    assert latest.step == 1
    assert "checksum" in caplog.text


def test_no_whole_state_at_all_is_the_users_to_decide(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    (tmp_path / "distil-00000001.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint of phase 'distil' is whole"):
        checkpoints.latest("distil")


def test_a_state_without_its_json_does_not_exist(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    (tmp_path / "distil-00000001.json").unlink()
    assert checkpoints.latest("distil") is None


def test_the_json_names_the_content(tmp_path: Path) -> None:
    Checkpoints(tmp_path, keep=1).save(state(7))
    entry = json.loads((tmp_path / "distil-00000007.json").read_text())
    assert len(entry["sha256"]) == 64
