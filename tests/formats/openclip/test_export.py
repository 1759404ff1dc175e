"""Stock open_clip loads what was written, and makes the same of the same input."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch

from tinyclip.errors import TinyclipError, UserError
from tinyclip.formats.huggingface.full_tokenizer import write_bpe
from tinyclip.formats.openclip import export as openclip
from tinyclip.formats.openclip import write_tokenizer as openclip_words
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.formats.source import load_source
from tinyclip.model.store import Loaded

CAPTIONS = [
    "a photo of a cat",
    "Hello!! It's 12 o'clock & we've no TIME",
    "",
    "naïve café, 猫 and 🙂",
    "  spaces\tand\nlines  ",
    "don't won't they'll i'd we're i'm",
    "very long caption " * 30,
]


@pytest.fixture(scope="module")
def probe() -> Probe:
    return random_probe(16)


def test_stock_open_clip_makes_the_same_features(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_openclip(uniform_loaded, tmp_path / "out", probe)
    model, _, preprocess = open_clip.create_model_and_transforms(
        f"local-dir:{tmp_path / 'out'}"
    )
    x = torch.stack([preprocess(image) for image in probe.images])
    with torch.no_grad():
        theirs = model.eval().encode_image(x, normalize=True)
        ours = uniform_loaded.model.encode_image(x, normalize=True)
    assert (theirs - ours).abs().max() <= 1e-5


def test_the_folder_may_be_moved(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_openclip(uniform_loaded, tmp_path / "out", probe)
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{moved}")
    ids, mine = tokenizer(["cat"])[0], uniform_loaded.tokenizer("cat")[0]
    assert ids[:3].tolist() == mine[:3].tolist()


def test_parity_is_written_beside(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_openclip(uniform_loaded, tmp_path / "out", probe)
    assert json.loads((tmp_path / "out" / "parity.json").read_text()) == parity
    assert parity["max_abs_diff"] <= 1e-5
    assert parity["n"] == 16


def test_ids_of_the_8192_vocabulary_are_equal_on_plain_captions(tmp_path: Path) -> None:
    tokenizer = load_source("builtin:pico").tokenizer
    write_bpe(tokenizer, tmp_path)
    stock = open_clip.tokenizer.HFTokenizer(
        str(tmp_path), context_length=16, clean="lower"
    )
    for caption in CAPTIONS:
        mine, theirs = tokenizer(caption)[0], stock(caption)[0]
        length = int(mine.argmax()) + 1
        assert mine[:length].tolist() == theirs[:length].tolist(), caption


def test_a_tokenizer_of_other_ids_stops_the_export(
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = load_source("builtin:pico").tokenizer

    def write_other(tokenizer: object, folder: Path, *_: str) -> object:
        write_bpe(other, folder)
        return tokenizer

    monkeypatch.setattr(openclip_words, "write_full", write_other)
    with pytest.raises(TinyclipError, match="other ids"):
        export_openclip(uniform_loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_changed_on_the_way_stop_the_export(
    uniform_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = openclip.save_tensors

    def skewed(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        weight = tensors["visual.ln_post.bias"] + 0.01
        return save({**tensors, "visual.ln_post.bias": weight}, metadata)

    monkeypatch.setattr(openclip, "save_tensors", skewed)
    with pytest.raises(TinyclipError, match="not the same model"):
        export_openclip(uniform_loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


def test_a_ragged_model_leaves_nothing(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="ragged"):
        export_openclip(pico_loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []
