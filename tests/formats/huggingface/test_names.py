"""transformers' names in and around a file are taken, or told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tinyclip.errors import UserError
from tinyclip.formats.huggingface.load import load_huggingface
from tinyclip.formats.openclip.model import from_openclip

Maker = Callable[..., Path]


def test_transformers_names_are_called_so(hf_clip: Maker, plain: Any) -> None:
    state = load_file(hf_clip() / "model.safetensors")
    with pytest.raises(UserError, match=r"those of transformers \('.*write hf:DIR"):
        from_openclip(plain(), state, "w.pt")


def renamed_file(folder: Path, renamed: Callable[[str], str]) -> None:
    file = folder / "model.safetensors"
    state = {renamed(name): value for name, value in load_file(file).items()}
    save_file(state, file, {"format": "pt"})


@pytest.mark.parametrize("wrapped", ["module.", "_orig_mod.", "model.", "clip_model."])
def test_a_wrapped_model_of_transformers_is_read(wrapped: str, hf_clip: Maker) -> None:
    folder = hf_clip()
    before = load_huggingface(str(folder), "--teacher").model.state_dict()
    renamed_file(folder, lambda name: wrapped + name)
    after = load_huggingface(str(folder), "--teacher").model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_open_clips_names_in_a_folder_of_transformers_are_called_so(
    hf_clip: Maker, plain: Any, stock: Any
) -> None:
    folder = hf_clip()
    save_file(stock(plain()).state_dict(), folder / "model.safetensors")
    with pytest.raises(
        UserError, match=r"those of open_clip .* Write openclip:NAME@FILE"
    ):
        load_huggingface(str(folder), "--teacher")


def test_a_misfit_of_transformers_is_told_in_its_names(hf_clip: Maker) -> None:
    folder = hf_clip()
    renamed_file(folder, lambda name: name.replace("visual_proj", "my_proj"))
    with pytest.raises(UserError, match=r"visual_projection\.weight is missing; my_pr"):
        load_huggingface(str(folder), "--teacher")
