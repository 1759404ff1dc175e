"""Checkpoints: whole or absent."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
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


@pytest.mark.parametrize(
    ("old", "new"),
    [('"step": 2', '"step": 1'), ('"offset": 20', '"offset": 21'), ("true", "false")],
)
def test_a_changed_json_falls_back_to_the_state_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    later = state(2)
    checkpoints.save(replace(later, extra={**later.extra, "went_back": True}))
    path = tmp_path / "distil-00000002.json"
    path.write_text(path.read_text().replace(old, new))
    with caplog.at_level(logging.WARNING):
        latest = checkpoints.latest("distil")
    assert latest is not None
    assert latest.step == 1
    assert "was changed since the run wrote it" in caplog.text


@pytest.mark.parametrize(
    "text", ["{}", "[]", "null", "[" * 100_000, '{"version": -1}', '{"version": "2"}']
)
def test_a_damaged_json_falls_back_to_the_state_before(
    tmp_path: Path, text: str
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    (tmp_path / "distil-00000002.json").write_text(text)
    latest = checkpoints.latest("distil")
    assert latest is not None
    assert latest.step == 1


def test_a_state_under_another_steps_name_is_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    checkpoints.save(state(2))
    for kind in ("json", "safetensors"):
        (tmp_path / f"distil-00000002.{kind}").rename(
            tmp_path / f"distil-00000009.{kind}"
        )
    latest = checkpoints.latest("distil")
    assert latest is not None
    assert latest.step == 1


def test_a_state_of_before_seals_is_read_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Checkpoints(tmp_path, keep=2).save(state(1))
    path = tmp_path / "distil-00000001.json"
    entry = json.loads(path.read_text())
    del entry["seal"]
    path.write_text(json.dumps({**entry, "version": 1}))
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(tmp_path, keep=2).latest("distil") is not None
    assert "has no seal" in caplog.text
    path.write_text(json.dumps(entry))  # of this version, and without one
    with pytest.raises(UserError):
        Checkpoints(tmp_path, keep=2).latest("distil")


def test_a_state_that_is_taken_is_of_what_it_is_taken_for(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    checkpoints.take(state(1), {"fingerprint": "now"})
    latest = checkpoints.latest("distil")
    assert latest is not None
    assert latest.extra == {"offset": 10, "fingerprint": "now"}
    assert torch.equal(latest.part("model")["weight"], torch.full((3,), 1.0))


def test_clearing_leaves_what_a_run_did_not_write(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(state(1))
    (tmp_path / "notes.json").write_text("mine")
    (tmp_path / "distil-notes.json").write_text("mine")
    (tmp_path / "distil-00000000.json").mkdir()
    assert checkpoints.latest("distil") is not None
    checkpoints.clear()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["distil-00000000.json", "distil-notes.json", "notes.json"]
