"""The model directory: what goes in comes out, and damage is told, not loaded."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from tinyclip.errors import UserError
from tinyclip.model.store import Loaded, check_tokenizer, load_model, save_model
from tinyclip.tokenizers.huggingface import HubTokenizer


def store(loaded: Loaded, folder: Path, **settings: object) -> Path:
    model, preprocess, tokenizer = loaded
    arguments: dict[str, object] = {"teacher_sizes": None, **settings}
    save_model(
        folder,
        model,
        preprocess,
        tokenizer,
        provenance=loaded.config["provenance"],
        **arguments,  # type: ignore[arg-type]
    )
    return folder


@pytest.fixture
def folder(pico_loaded: Loaded, tmp_path: Path) -> Path:
    return store(pico_loaded, tmp_path / "model")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_weights_come_back_bit_for_bit(pico_loaded: Loaded, folder: Path) -> None:
    again = load_model(folder).model.state_dict()
    for name, value in pico_loaded.model.state_dict().items():
        assert torch.equal(value, again[name]), name


def test_preprocess_and_tokenizer_come_back(pico_loaded: Loaded, folder: Path) -> None:
    _, preprocess, tokenizer = load_model(folder)
    assert preprocess == pico_loaded.preprocess
    assert torch.equal(tokenizer("a cat"), pico_loaded.tokenizer("a cat"))


def test_a_loaded_model_is_in_eval(folder: Path) -> None:
    assert not load_model(folder).model.training


def test_equal_models_are_equal_bytes(pico_loaded: Loaded, tmp_path: Path) -> None:
    one = store(pico_loaded, tmp_path / "one" / "model")
    two = store(pico_loaded, tmp_path / "two" / "model")
    assert contents(one) == contents(two)


def test_a_half_precision_model_is_stored_as_float32(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    pico_loaded.model.to(torch.bfloat16)
    store(pico_loaded, tmp_path / "model")
    stored = load_file(tmp_path / "model" / "model.safetensors")
    assert {str(value.dtype) for value in stored.values()} == {"float32"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_smaller_weights_are_stored_and_come_back_as_float32(
    pico_loaded: Loaded, tmp_path: Path, dtype: str
) -> None:
    folder = store(pico_loaded, tmp_path / "model", dtype=dtype)
    whole = store(pico_loaded, tmp_path / "whole")
    again = load_model(folder)
    own = pico_loaded.model.state_dict()
    for name, value in again.model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, own[name].to(getattr(torch, dtype)).float()), name
    assert again.config["dtype"] == dtype
    assert again.config["sizes"] == load_model(whole).config["sizes"]
    small, large = ((f / "model.safetensors").stat().st_size for f in (folder, whole))
    assert small < 0.7 * large


def test_a_weight_that_float16_cannot_hold_is_refused(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    with torch.no_grad():
        pico_loaded.model.image.patch[0, 0, 0, 0] = 70_000
    with pytest.raises(UserError, match=r"image\.patch has a weight of 7e\+04"):
        store(pico_loaded, tmp_path / "model", dtype="float16")
    store(pico_loaded, tmp_path / "model", dtype="bfloat16")


def test_an_unknown_dtype_is_a_user_error(pico_loaded: Loaded, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'float16'"):
        store(pico_loaded, tmp_path / "model", dtype="flaot16")


def test_the_file_holds_as_many_numbers_as_the_sizes_say(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    assert sum(v.size for v in stored.values()) == config["sizes"]["total"]


def test_share_is_of_the_teachers_sizes(pico_loaded: Loaded, tmp_path: Path) -> None:
    teacher = {"encoder": 100_000, "total": 200_000}
    store(pico_loaded, tmp_path / "model", teacher_sizes=teacher)
    config = load_model(tmp_path / "model").config
    assert config["share"]["total"] == config["sizes"]["total"] / 200_000


def test_a_model_that_is_there_is_replaced(pico_loaded: Loaded, folder: Path) -> None:
    (folder / "stray").write_text("left over")
    store(pico_loaded, folder)
    assert not (folder / "stray").exists()


def test_nothing_is_left_when_writing_fails(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store(pico_loaded, tmp_path / "model", metrics={"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_the_tokenizer_cannot_be_had(
    pico_loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyclip.hub.hub_problem", lambda: "no network")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "c"))
    tokenizer = HubTokenizer("nobody/nothing", 8, "lower", False, None, 516)
    loaded = replace(pico_loaded, tokenizer=tokenizer)
    check_tokenizer(tokenizer, loaded.model.shape, "test")  # loads nothing
    with pytest.raises(UserError, match="no network.*tokenizer=PATH"):
        store(loaded, tmp_path / "model")
    assert not list(tmp_path.glob("model*"))


def test_the_card_says_widths_source_and_how_to_load(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    store(pico_loaded, tmp_path / "m", certificate={"max_abs_diff": 2e-7, "n": 64})
    card = (tmp_path / "m" / "README.md").read_text()
    for phrase in ("builtin:pico", "| image | 24 | 4 3 | 32 28 |", "2.0e-07", "load("):
        assert phrase in card


def test_the_code_in_the_card_loads_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (folder / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(folder.parent)
    code = code.replace("path/to/it", folder.name)
    code = code.replace("preprocess(image)", "preprocess(Image.new('RGB', (20, 20)))")
    names: dict[str, Any] = {"Image": Image}
    exec(code, names)
    assert names["image_features"].shape == names["text_features"].shape


def test_a_cut_off_weights_file_is_a_user_error(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_model(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format_version": 1}'])
def test_a_damaged_config_is_a_user_error(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json"):
        load_model(folder)


def test_a_newer_format_asks_for_an_upgrade(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format_version": 99}))
    with pytest.raises(UserError, match="Upgrade"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "bpe.txt.gz"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        load_model(folder)


def test_weights_of_another_shape_name_the_mismatch(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["shape"]["image"]["blocks"][1]["ffn"] = 5
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"image\.blocks\.1\.ffn\.up\.weight is"):
        load_model(folder)


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(folder: Path) -> None:
    merges = b"#version: 0.2\nc a\nca t</w>\nd o"
    (folder / "bpe.txt.gz").write_bytes(gzip.compress(merges))
    with pytest.raises(
        UserError, match="the tokenizer has 517 ids, the text tower 516"
    ):
        load_model(folder)


def test_a_tokenizer_with_longer_captions_than_the_model_is_refused(
    folder: Path,
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["tokenizer"]["context_length"] = 9
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="makes 9 ids a caption"):
        load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1000.0])
def test_weights_that_no_model_can_have_are_refused(folder: Path, value: float) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["logit_scale"] = np.array(value, dtype=np.float32)
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"not a number: 'logit_scale'|is no number"):
        load_model(folder)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("shape", "image", "pool"), "clbss"),
        (("shape", "text", "pool"), "last_"),
        (("shape", "image", "patch_size"), 0),
        (("shape", "image", "eps"), float("nan")),
        (("shape", "text", "eps"), "1e-5"),
        (("shape", "text", "eps"), 0),
        (("format_version",), 0),
        (("format_version",), True),
        (("shape", "text", "vocab_size"), 10**12),
        (("shape", "text", "context_length"), -1),
        (("shape", "text", "blocks"), [{"heads": 2, "ffn": 2}] * 5000),
        (("shape", "image", "width"), True),
        (("shape",), []),
        (("preprocess", "size"), 7),
        (("preprocess", "size"), 10**6),
        (("preprocess", "std"), [0, 0, 0]),
        (("preprocess", "std"), [1e12, 1, 1]),
        (("preprocess", "mean"), [True, True, True]),
        (("preprocess", "mean"), ["a", "b", "c"]),
        (("preprocess", "mean"), [10**400, 0, 0]),
        (("tokenizer",), None),
        (("tokenizer", "kind"), ["bpe"]),
        (("tokenizer", "context_length"), 10**12),
        (("provenance",), None),
        (("teacher_sizes",), {"encoder": 0}),
    ],
)
def test_a_value_that_fits_no_model_is_refused(folder: Path, keys, value) -> None:
    config = json.loads((folder / "config.json").read_text())
    inner = config
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError):
        load_model(folder)


def test_a_shape_that_its_weights_are_not_takes_no_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["shape"]["text"]["vocab_size"] = 4_000_000
    (folder / "config.json").write_text(json.dumps(config))
    built = []
    monkeypatch.setattr("tinyclip.model.store.Clip", built.append)
    with pytest.raises(UserError, match="token_embedding is"):
        load_model(folder)
    assert not built


def test_a_vocabulary_that_unpacks_to_gigabytes_is_refused(folder: Path) -> None:
    (folder / "bpe.txt.gz").write_bytes(gzip.compress(bytes(2**27), 1))
    with pytest.raises(UserError, match="unpacks to more than"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "bpe.txt.gz"])
def test_a_file_that_never_ends_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(UserError, match="no regular file"):
        load_model(folder)
