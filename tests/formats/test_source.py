"""Every kind of source loads, and every wrong one says what to do."""

from __future__ import annotations

import logging
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import tinyclip
from tinyclip.errors import UserError
from tinyclip.formats import tensors
from tinyclip.formats.openclip.model import to_openclip
from tinyclip.formats.source import load_source
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded, save_model

NAME = "ViT-pico-test"
CFG = {
    "embed_dim": 8,
    "vision_cfg": {
        "image_size": 16,
        "layers": 1,
        "width": 8,
        "head_width": 4,
        "patch_size": 8,
    },
    "text_cfg": {"context_length": 6, "width": 4, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def small_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model name that open_clip knows and that takes milliseconds."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, CFG)
    tags = {"mine": {"file": "nowhere", "mean": (0.1, 0.1, 0.1)}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, NAME, tags)


def weights(seed: int = 3) -> dict[str, torch.Tensor]:
    loaded = load_source(f"openclip:{NAME}")
    return to_openclip(loaded.model.init_weights(seed))[1]


def same(model: Clip, theirs: dict[str, torch.Tensor]) -> bool:
    ours = to_openclip(model)[1]
    return all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_a_safetensors_file_loads(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "w.safetensors")
    loaded = load_source(f"openclip:{NAME}@{tmp_path / 'w.safetensors'}")
    assert same(loaded.model, weights())


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w, "epoch": 3}])
def test_a_pt_file_of_plain_tensors_loads(tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(weights()), tmp_path / "w.pt")
    loaded = load_source(f"openclip:{NAME}@{tmp_path / 'w.pt'}")
    assert same(loaded.model, weights())


class Trap:
    """What a malicious pickle looks like: loading it would run a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.setrecursionlimit, (12_345,)


def test_a_pickle_that_needs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Trap()}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="needs code.*safetensors"):
        load_source(f"openclip:{NAME}@{tmp_path / 'w.pt'}")
    assert sys.getrecursionlimit() != 12_345


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps([1, 2]), b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_a_user_error(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"w\.pt"):
        load_source(f"openclip:{NAME}@{tmp_path / 'w.pt'}")


def test_a_zip_that_is_no_checkpoint_is_a_user_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(UserError, match=r"w\.pt"):
        load_source(f"openclip:{NAME}@{tmp_path / 'w.pt'}")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"gone\.safetensors: there is no such file"):
        load_source(f"openclip:{NAME}@gone.safetensors")


def test_weights_of_another_model_name_the_mismatch(tmp_path: Path) -> None:
    theirs = {**weights(), "text_projection": torch.zeros(4, 9)}
    save_file(theirs, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"text_projection is \(4, 9\), expected"):
        load_source(f"openclip:{NAME}@{tmp_path / 'w.safetensors'}")


def test_a_tag_loads_its_weights_and_preprocess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(weights(), tmp_path / "w.safetensors")
    tags = open_clip.pretrained._PRETRAINED[NAME]
    monkeypatch.setitem(tags["mine"], "file", str(tmp_path / "w.safetensors"))
    loaded = load_source(f"openclip:{NAME}/mine")
    assert same(loaded.model, weights())
    assert loaded.preprocess.mean == (0.1, 0.1, 0.1)


def test_a_tag_that_cannot_be_downloaded_says_how_to_pass_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(cfg: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", fail)
    with pytest.raises(UserError, match=f"ConnectionError.*openclip:{NAME}@FILE"):
        load_source(f"openclip:{NAME}/mine")


def test_an_unknown_tag_shows_those_that_exist() -> None:
    with pytest.raises(UserError, match="no weights 'zzz'. Known: mine"):
        load_source(f"openclip:{NAME}/zzz")


def test_a_tag_and_a_file_together_are_refused() -> None:
    with pytest.raises(UserError, match="a tag and a file"):
        load_source(f"openclip:{NAME}/mine@w.safetensors")


def test_weights_of_another_gelu_are_refused_before_they_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tags = open_clip.pretrained._PRETRAINED[NAME]
    monkeypatch.setitem(tags["mine"], "quick_gelu", True)
    with pytest.raises(UserError, match=f"quick-GELU.*Is there a {NAME}-quickgelu"):
        load_source(f"openclip:{NAME}/mine")


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-L-14-336", "ViT-H-14-378"])
def test_a_tag_of_another_gelu_is_answered_with_the_name_that_has_it(name: str) -> None:
    tags = open_clip.pretrained._PRETRAINED[name]
    tag = next(tag for tag, settings in tags.items() if settings.get("quick_gelu"))
    with pytest.raises(UserError, match=f"Write openclip:{name}-quickgelu/{tag}"):
        load_source(f"openclip:{name}/{tag}")


def test_a_name_alone_has_random_weights_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "tinyclip"):
        load_source(f"openclip:{NAME}")
    assert "random" in caplog.text


def test_an_unknown_name_shows_a_near_one() -> None:
    with pytest.raises(UserError, match="'ViT-B-32'"):
        load_source("openclip:ViT-B-23")


def test_the_checkpoint_reader_never_unpickles_code() -> None:
    source = Path(tensors.__file__).read_text()
    assert source.count("torch.load(") == source.count("weights_only=True") == 1


def test_a_model_directory_a_run_and_its_path_are_one_model(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    model, preprocess, tokenizer = pico_loaded
    folder = tmp_path / "run" / "model"
    save_model(folder, model, preprocess, tokenizer, provenance={}, teacher_sizes=None)
    for spec in (folder, tmp_path / "run", f"run:{tmp_path / 'run'}"):
        again, _, _ = tinyclip.load(spec)
        assert torch.equal(again.image.patch, model.image.patch), spec


def test_an_unfinished_run_points_at_its_stages(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: x")
    with pytest.raises(UserError, match="unfinished run.*stage"):
        load_source(f"run:{tmp_path}")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A tokenizer that transformers saved: 5 ids."""
    pieces = {"[PAD]": 0, "[UNK]": 1, "a": 2, "red": 3, "cat": 4}
    backend = Backend(models.WordLevel(pieces, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    hf = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]"
    )
    hf.save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def test_another_tokenizer_stands_in_and_is_noted(words: Path) -> None:
    loaded = load_source(f"openclip:{NAME},tokenizer={words}")
    assert loaded.tokenizer("a Red cat").tolist() == [[2, 3, 4, 0, 0, 0]]
    assert loaded.config["provenance"]["tokenizer"] == str(words)


def test_a_file_and_a_tokenizer_go_together(words: Path, tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "w.safetensors")
    loaded = load_source(
        f"openclip:{NAME}@{tmp_path / 'w.safetensors'}, tokenizer={words}"
    )
    assert same(loaded.model, weights())
    assert loaded.tokenizer.vocab_size == loaded.model.shape.text.vocab_size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (",tokeniser=x", "unknown option 'tokeniser'.*Did you mean 'tokenizer'"),
        (",tokenizer=", "tokenizer= has no value"),
        (",tokenizer=x,tokenizer=y", "tokenizer= is given twice"),
        (",tokenizer=gone", "tokenizer: gone does not exist"),
    ],
)
def test_a_wrong_option_is_a_user_error(options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_source(f"openclip:{NAME}{options}")


def test_a_source_with_its_own_tokenizer_takes_no_other() -> None:
    with pytest.raises(UserError, match="builtin:pico has its own tokenizer"):
        load_source("builtin:pico,tokenizer=x")


def test_a_comma_in_a_path_is_no_option(pico_loaded: Loaded, tmp_path: Path) -> None:
    folder = tmp_path / "lr,beta=2"
    save_model(folder, *pico_loaded, provenance={}, teacher_sizes=None)
    assert load_source(str(folder)).model.shape == pico_loaded.model.shape


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hg:openai/clip", "unknown source 'hg'.*Known: builtin, hf"),
        ("hf:", "no id of the hub"),
        ("builtin:pic", "Did you mean 'pico'"),
        ("openclipp:ViT-B-32", "Did you mean 'openclip'"),
        ("no/such/folder", "is not a model directory"),
        ("run:no/such/run", "does not exist"),
        ("", "is not a model directory"),
        ("openclip:", "names no model. Write for example openclip:ViT-B-32@FILE"),
        (f"openclip:{NAME}/", "names no tag. ViT-pico-test has 'mine'"),
        ("run:", "names no run"),
        (":", "unknown source ''"),
        ("x" * 5000, r"'x{60}\.\.\.' cannot be looked at"),
        (f"openclip:{NAME}@{'x' * 5000}", "cannot be looked at"),
        ("hf:" + "x" * 5000, "cannot be looked at"),
        ("\0", "is not a model directory"),
        ("~nobody/x", "is not a model directory"),
    ],
)
def test_a_wrong_source_is_a_user_error(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_source(spec, "--teacher")


def test_pico_is_the_same_every_time() -> None:
    one, two = load_source("builtin:pico"), load_source("builtin:pico")
    assert torch.equal(one.model.image.patch, two.model.image.patch)
    ids = one.tokenizer(["a red apple"])
    assert one.model.encode_text(ids).shape == (1, 16)


def test_the_embedded_teacher_loads_without_a_network() -> None:
    model, preprocess, tokenizer = load_source("builtin:pictoclip")
    assert tokenizer.vocab_size == model.shape.text.vocab_size == 8192
    assert preprocess.size == model.shape.image.image_size


def test_a_missing_embedded_teacher_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyclip.formats.embedded.BUILTIN", tmp_path)
    with pytest.raises(UserError, match="not installed.*again"):
        load_source("builtin:pictoclip")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("circle", "'circle' is a link that leads nowhere"),
        ("hf:circle", "circle is a link that leads nowhere"),
        ("openclip:circle", "circle: is a link that leads nowhere"),
        (f"openclip:{NAME}@circle", "circle: is a link that leads nowhere"),
        (f"openclip:{NAME}@/dev/null", "/dev/null: is no regular file"),
        ("w.safetensors", "is a file.*openclip:NAME@w"),
        ("openclip:w.safetensors", "Write openclip:NAME@w.safetensors, with the name"),
        ("folder", "has no model: it holds 'a b.pt'. If its weights are open_clip's"),
    ],
)
def test_what_a_path_is_instead_is_said(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    Path("w.safetensors").write_bytes(b"")
    Path("folder").mkdir()
    Path("folder", "a b.pt").write_bytes(b"")
    with pytest.raises(UserError, match=message):
        load_source(source, "--teacher")


def test_a_path_with_spaces_is_a_path(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "my weights (1).safetensors")
    loaded = load_source(f"openclip:{NAME}@{tmp_path / 'my weights (1).safetensors'}")
    assert same(loaded.model, weights())
