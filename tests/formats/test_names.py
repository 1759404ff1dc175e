"""Weights with the names of another library or wrapper are taken, or told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinyclip.errors import UserError
from tinyclip.formats.names import plain_names
from tinyclip.formats.openclip.model import from_openclip
from tinyclip.model.store import Loaded, load_model, save_model

Config = dict[str, Any]
State = dict[str, Tensor]
Renamed = Callable[[str], str]


def paper(name: str) -> str:
    """As the TinyCLIP paper's code stores it, in DistributedDataParallel."""
    if name == "logit_scale":
        return "_logit_scale.module.logit_scale"
    tower = "_image_encoder" if name.startswith("visual.") else "_text_encoder"
    return f"{tower}.module.{name}"


def inside(name: str) -> str:
    """As torch.compile of one tower leaves it."""
    return name.replace("visual.", "visual._orig_mod.")


WRAPPED: dict[str, tuple[Renamed, str]] = {
    "parallel": (lambda name: f"module.{name}", "'module'"),
    "compiled": (lambda name: f"_orig_mod.{name}", "'_orig_mod'"),
    "one tower compiled": (inside, "'_orig_mod'"),
    "Lightning": (lambda name: f"model.{name}", "'model'"),
    "many": (lambda name: f"net.module._orig_mod.clip.{name}", "'clip'"),
    "the paper's": (paper, "'_image_encoder'"),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED.keys())
def test_what_wrappers_add_is_left_away_and_told(
    wrapped: tuple[Renamed, str],
    plain: Callable[..., Config],
    stock: Any,
    gap: Callable[..., float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    renamed, messages = wrapped
    theirs = stock(plain())
    state = {renamed(name): value for name, value in theirs.state_dict().items()}
    assert gap(theirs, from_openclip(plain(), state, "w.pt")) <= 1e-5
    assert "w.pt: " in caplog.text
    assert messages in caplog.text


def test_plain_names_are_taken_without_a_word(
    plain: Callable[..., Config], stock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from_openclip(plain(), stock(plain()).state_dict())
    assert not caplog.text


def test_a_beginning_that_the_model_has_itself_stays() -> None:
    tower = {"visual.a": torch.ones(1), "visual.b": torch.ones(1)}
    assert plain_names(tower, ["visual.a", "c"], "w").keys() == tower.keys()


def test_a_tensor_that_is_stored_twice_is_one() -> None:
    twice = {
        "_text_encoder.a": torch.ones(1),
        "text_encoder_without_ddp.a": torch.ones(1),
    }
    assert plain_names(twice, ["a"], "w").keys() == {"a"}


def test_two_tensors_of_one_name_are_refused() -> None:
    twice = {"a.b": torch.ones(1), "a.module.b": torch.zeros(1)}
    with pytest.raises(UserError, match=r"two different tensors for 'a\.b'"):
        plain_names(twice, ["a.b"], "w")


@pytest.fixture
def theirs(plain: Callable[..., Config], stock: Any) -> State:
    return dict(stock(plain()).state_dict())


def refusal(state: State, plain: Callable[..., Config]) -> str:
    with pytest.raises(UserError) as caught:
        from_openclip(plain(), state, "w.pt")
    return str(caught.value)


def test_tinyclips_own_names_are_called_so(pico_loaded: Loaded, plain: Any) -> None:
    said = refusal(pico_loaded.model.state_dict(), plain)
    assert "its names are those of tinyclip ('" in said
    assert "Name the model directory" in said


def test_names_of_nobody_are_shown_beside_the_expected(
    theirs: State, plain: Any
) -> None:
    state = {f"{name}.x": value for name, value in theirs.items() if "visual" in name}
    said = refusal({**state, "loss.t": torch.ones(1)}, plain)
    assert "it holds 'visual.class_embedding.x', " in said
    assert "where 'logit_scale', 'visual.conv1.weight', 'visual.class_emb" in said


def test_a_whole_model_among_other_tensors_is_pointed_at(
    theirs: State, plain: Any
) -> None:
    state = {f"student.{name}": value for name, value in theirs.items()}
    said = refusal({**state, "loss.t": torch.ones(1)}, plain)
    assert "A whole model lies under 'student.': save that alone" in said


def test_adapters_are_not_passed_over(theirs: State, plain: Any) -> None:
    state = {f"base_model.model.{name}": value for name, value in theirs.items()}
    state["base_model.model.visual.proj.lora_A.weight"] = torch.ones(1)
    assert "LoRA" in refusal(state, plain)


def test_quantised_weights_are_not_taken_for_floats(theirs: State, plain: Any) -> None:
    theirs["visual.proj"] = theirs["visual.proj"].to(torch.int8)
    assert "visual.proj holds int8 instead of floats" in refusal(theirs, plain)


def test_a_model_directory_with_other_names_shows_both(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    save_model(tmp_path / "m", *pico_loaded, provenance={}, teacher_sizes=None)
    file = tmp_path / "m" / "model.safetensors"
    state = {f"_orig_mod.{name}": value for name, value in load_file(file).items()}
    save_file(state, file)
    with pytest.raises(
        UserError, match=r"it holds '_orig_mod\..*, where 'logit_scale'"
    ):
        load_model(tmp_path / "m")
