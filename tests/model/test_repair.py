"""A repair is one map of the text features, beside the weights or in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor
from towers import filled, in_basis  # type: ignore[import-not-found]

from tinyclip.errors import UserError
from tinyclip.model.clip import Clip
from tinyclip.model.repair import FILE, Repair, apply, folded, in_words
from tinyclip.model.store import Loaded, load_model, save_model
from tinyclip.shapes import ClipShape

ABOUT: dict[str, Any] = {
    "data": "csv:pairs.csv",
    "pairs": 1200,
    "swapped": 900,
    "steps": 300,
    "seed": 0,
    "strength": 0.5,
    "times": 1,
    "right": {"before": 0.5, "after": 0.625, "n": 80},
}
KINDS = ["plain", "siglip", "narrow", "stem"]
Damage = Callable[[Path, dict[str, Any]], None]


def some_map(width: int, seed: int = 0) -> Tensor:
    """The identity, and some noise."""
    draw = torch.Generator().manual_seed(seed)
    return torch.eye(width) + 0.3 * torch.randn(width, width, generator=draw)


def some_ids(model: Clip) -> Tensor:
    text, draw = model.shape.text, torch.Generator().manual_seed(1)
    size = 6, text.context_length
    return torch.randint(0, text.vocab_size, size, generator=draw)


@torch.no_grad()
def text_features(model: Clip) -> Tensor:
    return model.encode_text(some_ids(model), normalize=True)


def mapped(features: Tensor, map_EE: Tensor) -> np.ndarray[Any, Any]:
    """Features times a map, of length one, in NumPy's float64."""
    made = features.double().numpy() @ map_EE.double().numpy()
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


@pytest.fixture(params=KINDS)
def plain(
    request: pytest.FixtureRequest, pico_loaded: Loaded, siglip_shape: ClipShape
) -> Loaded:
    """A CLIP without a bias, a SigLIP with one, one whose joint embedding is narrower
    than both towers, and towers in a basis with their stems."""
    shape = pico_loaded.model.shape
    if request.param == "siglip":
        text = replace(siglip_shape.text, vocab_size=516)
        shape = siglip_shape.with_towers(text=text)
    if request.param == "narrow":
        shape = replace(shape, embed_dim=5)
    if request.param == "stem":
        image = in_basis(shape.image, 4, 24, projection_bias=True)
        text = in_basis(shape.text, 3, 16, projection_bias=True)
        shape = shape.with_towers(image=image, text=text)
    return replace(pico_loaded, model=filled(shape).eval())


def store(loaded: Loaded, folder: Path, repair: Repair | None, **more: Any) -> Path:
    provenance = loaded.config["provenance"]
    told = {"provenance": provenance, "teacher_sizes": None, "repair": repair}
    save_model(folder, *loaded, **told, **more)
    return folder


def beside(loaded: Loaded, folder: Path, **about: Any) -> tuple[Path, Tensor]:
    """A directory whose map lies beside the weights, and the map."""
    map_EE = some_map(loaded.model.shape.embed_dim)
    return store(loaded, folder, Repair({**ABOUT, **about}, map_EE)), map_EE


def test_text_features_come_back_repaired_and_picture_features_as_they_were(
    plain: Loaded, tmp_path: Path
) -> None:
    folder, map_EE = beside(plain, tmp_path / "model")
    again = load_model(folder).model
    wanted = mapped(text_features(plain.model), map_EE)
    np.testing.assert_allclose(text_features(again), wanted, atol=1e-6)
    mine, theirs = plain.model.state_dict(), again.state_dict()
    changed = {n for n, value in mine.items() if not torch.equal(value, theirs[n])}
    assert changed <= {"text.projection", "text.projection_bias"}


def test_a_map_in_the_weights_is_the_map_beside_them(
    plain: Loaded, tmp_path: Path
) -> None:
    folder, map_EE = beside(plain, tmp_path / "beside")
    apply(plain.model, map_EE)
    inside = store(plain, tmp_path / "inside", Repair({**ABOUT, "folded": True}))
    assert not (inside / FILE).exists()
    one, other = load_model(folder).model, load_model(inside).model
    np.testing.assert_allclose(text_features(one), text_features(other), atol=1e-6)


def test_the_identity_leaves_every_bit(plain: Loaded) -> None:
    before = text_features(plain.model)
    apply(plain.model, torch.eye(plain.model.shape.embed_dim))
    assert torch.equal(text_features(plain.model), before)


def test_the_weights_beside_a_map_are_untouched(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    without = store(pico_loaded, tmp_path / "without", None)
    folder, _ = beside(pico_loaded, tmp_path / "with")
    name = "model.safetensors"
    assert (folder / name).read_bytes() == (without / name).read_bytes()


def test_a_model_without_a_repair_says_nothing_of_one(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    folder = store(pico_loaded, tmp_path / "model", None)
    config = json.loads((folder / "config.json").read_text())
    assert config["format_version"] == 1
    assert "repair" not in config
    assert not (folder / FILE).exists()


def test_what_knows_of_no_map_must_not_load_the_weights_without_it(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    folder, _ = beside(pico_loaded, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert (config["format_version"], config["repair"]["folded"]) == (2, False)


def test_written_again_the_map_is_in_the_weights(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    folder, _ = beside(pico_loaded, tmp_path / "one")
    read = load_model(folder)
    again = store(read, tmp_path / "two", folded(read.config))
    config = json.loads((again / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["repair"] == {**ABOUT, "folded": True}
    both = text_features(read.model), text_features(load_model(again).model)
    assert torch.equal(*both)


def test_the_card_says_what_was_repaired_and_on_what(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    folder, _ = beside(pico_loaded, tmp_path / "model")
    card = (folder / "README.md").read_text()
    assert "learnt from 1,200 pairs of `csv:pairs.csv`" in card
    assert "Of 80 held-out captions 62.5 % are" in card


def test_a_repair_that_was_not_measured_is_told_without_figures() -> None:
    assert "held-out" not in in_words({**ABOUT, "right": None})


def changed(folder: Path, **values: Any) -> None:
    """Other values in the configuration; None removes one."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def planted(folder: Path, **tensors: np.ndarray[Any, Any]) -> None:
    save_file(tensors, folder / FILE)


def square(value: float = 1.0, width: int = 12, kind: str = "f4") -> Any:
    return np.full((width, width), value, kind)


DAMAGE: dict[str, tuple[Damage, str]] = {
    "missing": (lambda f, c: (f / FILE).unlink(), FILE),
    "cut off": (
        lambda f, c: (f / FILE).write_bytes((f / FILE).read_bytes()[:-9]),
        "is not a whole safetensors file",
    ),
    "another width": (
        lambda f, c: planted(f, text_map=square(width=11)),
        r"text_map is \(11, 11\), expected \(12, 12\)",
    ),
    "whole numbers": (
        lambda f, c: planted(f, text_map=square(kind="i4")),
        "text_map holds int32 instead of floats",
    ),
    "another name": (lambda f, c: planted(f, other=square()), "'other'"),
    "no numbers": (
        lambda f, c: planted(f, text_map=square(np.nan)),
        r"repair\.safetensors: holds what is not a number",
    ),
    "too large numbers": (
        lambda f, c: planted(f, text_map=square(3e38)),
        "makes a model that holds what is not a number: 'text.projection'",
    ),
    "an older format": (
        lambda f, c: changed(f, format_version=1),
        "does not go with format_version 2",
    ),
    "no entry": (
        lambda f, c: changed(f, repair=None),
        "does not go with format_version 2",
    ),
    "another entry": (
        lambda f, c: changed(f, repair={**c["repair"], "pairs": "many"}),
        "pairs: wants a number of things",
    ),
    "neither": (
        lambda f, c: changed(f, repair=None, format_version=1),
        "whose config.json does not name it",
    ),
    "a newer format": (lambda f, c: changed(f, format_version=3), "reads up to 2"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_message_and_no_model(
    kind: str, pico_loaded: Loaded, tmp_path: Path
) -> None:
    folder, _ = beside(pico_loaded, tmp_path / "model")
    damage, words = DAMAGE[kind]
    damage(folder, json.loads((folder / "config.json").read_text()))
    with pytest.raises(UserError, match=words):
        load_model(folder)
