"""open_clip makes our ids of a tokenizer's files, whatever they were last used with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch

from tinyclip.formats.openclip.write_tokenizer import write_for_openclip
from tinyclip.shapes import ClipShape
from tinyclip.tokenizers.huggingface import HfTokenizer

CAPTIONS = ["a cat", "", "two cats " * 20, "a cat a cat a cat"]


def test_how_the_teachers_tokenizer_was_last_called_does_not_travel(
    used_tokenizer: HfTokenizer,
    pico_shape: ClipShape,
    plain: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    cfg = plain()
    cfg["text_cfg"] |= write_for_openclip(used_tokenizer, out, pico_shape.text)
    whole = {"model_cfg": cfg, "preprocess_cfg": {}}
    (out / "open_clip_config.json").write_text(json.dumps(whole))
    theirs = open_clip.get_tokenizer(f"local-dir:{out}")
    assert torch.equal(theirs(CAPTIONS), used_tokenizer(CAPTIONS))
    saved = json.loads((out / "tokenizer_config.json").read_text())
    assert not set(saved) & {"max_length", "stride", "truncation_strategy"}
