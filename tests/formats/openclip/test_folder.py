"""A folder of open_clip, however it is named, is what open_clip makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import tinyclip
from tinyclip.cost import sizes
from tinyclip.errors import UserError
from tinyclip.formats.lookup import describe_model, open_model
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import random_probe
from tinyclip.model.store import Loaded
from tinyclip.tokenizers.huggingface import HubTokenizer

Config = dict[str, Any]
Stored = Callable[..., Path]
WIDE = {"vocab_size": 49_408}  # CLIP's own tokenizer needs them
CAPTIONS = ["a cat", "Two  CATS on a mat!", "", "naïve café", "very long " * 30]


@pytest.fixture
def folder(plain: Callable[..., Config], stock: Any, tmp_path: Path) -> Stored:
    """Makes a folder as open_clip pushes it to a hub; arguments change the model."""

    def make(name: str = "open_clip_model.safetensors", **changes: Any) -> Path:
        path = tmp_path / "hub"
        path.mkdir()
        cfg = plain(text_cfg=WIDE, **changes)
        state = stock(cfg).state_dict()
        safe = name.endswith(".safetensors")
        save_file(state, path / name) if safe else torch.save(state, path / name)
        pixels = {"mean": [0.5] * 3, "std": [0.4] * 3, "interpolation": "bilinear"}
        written = {"model_cfg": cfg, "preprocess_cfg": pixels}
        (path / "open_clip_config.json").write_text(json.dumps(written))
        return path

    return make


def picture() -> Image.Image:
    return Image.radial_gradient("L").resize((40, 30)).convert("RGB")


WAYS = ["openclip:local-dir:{}", "openclip:{}", "local-dir:{}", "{}"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("quick", [True, False])
def test_it_is_read_as_open_clip_reads_it(
    way: str, quick: bool, folder: Stored, gap: Callable[..., float]
) -> None:
    path = folder(quick_gelu=quick)
    local = f"local-dir:{path}"
    theirs, _, preprocess = open_clip.create_model_and_transforms(local)
    ours, pixels, tokenizer = tinyclip.load(way.format(path))
    assert gap(theirs.eval(), ours) <= 1e-5
    assert torch.equal(pixels(picture()), preprocess(picture()))
    ids = open_clip.get_tokenizer(local)(CAPTIONS)
    assert torch.equal(tokenizer(CAPTIONS), ids)


@pytest.mark.parametrize("way", ["openclip:pico@{}", "openclip:{}", "{}", "run:{}"])
def test_a_home_is_expanded(
    way: str, folder: Stored, named: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder()
    named("pico", plain(text_cfg=WIDE))
    monkeypatch.setenv("HOME", str(path.parent))
    if way.startswith("run:"):  # of our own
        loaded = tinyclip.load(str(path))
        shutil.rmtree(path)
        from tinyclip.model.store import save_model

        save_model(path / "model", *loaded, provenance={}, teacher_sizes=None)
    assert tinyclip.load(way.format("~/hub")).model.shape.embed_dim == 10


@pytest.mark.parametrize(
    "name",
    ["open_clip_pytorch_model.bin", "model.safetensors", "epoch_3.pt", "best.bin"],
)
def test_a_folder_behind_a_name_gives_its_weights(
    name: str, folder: Stored, named: Any, plain: Any
) -> None:
    path = folder(name)
    model = named("pico", plain(text_cfg=WIDE))
    whole = tinyclip.load(f"openclip:{model}@{path}")
    file = tinyclip.load(f"openclip:{model}@{path / name}")
    assert whole.preprocess == file.preprocess
    assert torch.equal(whole.model.image.patch, file.model.image.patch)


def test_a_file_alone_is_what_the_configuration_beside_it_says(folder: Stored) -> None:
    path = folder(quick_gelu=True)
    loaded = tinyclip.load(f"openclip:{path / 'open_clip_model.safetensors'}")
    assert loaded.model.shape.text.activation == "quick_gelu"


def test_of_many_files_open_clips_first_choice_is_taken(folder: Stored) -> None:
    path = folder()
    (path / "model.safetensors").write_bytes(b"transformers' own")
    assert tinyclip.load(str(path)).model.shape.embed_dim == 10


def test_several_files_of_other_names_are_not_guessed_among(folder: Stored) -> None:
    path = folder("epoch_1.pt")
    shutil.copy(path / "epoch_1.pt", path / "epoch_2.pt")
    with pytest.raises(UserError, match=r"'epoch_1\.pt', 'epoch_2\.pt'. Name one"):
        tinyclip.load(str(path))


def test_one_of_open_clips_own_configurations_will_do(
    folder: Stored, plain: Any
) -> None:
    path = folder()
    bare = json.dumps(plain(text_cfg=WIDE))
    (path / "open_clip_config.json").write_text(bare)
    assert tinyclip.load(str(path)).model.shape.embed_dim == 10


MISSING: list[tuple[Callable[[Path], None], str]] = [
    (lambda p: (p / "open_clip_model.safetensors").unlink(), "without open_clip's wei"),
    (lambda p: (p / "open_clip_config.json").unlink(), "nothing says what its wei"),
    (lambda p: (p / "open_clip_config.json").write_text("{}"), "has no model_cfg"),
    (lambda p: (p / "open_clip_config.json").write_text("[]"), "holds no settings"),
    (lambda p: (p / "open_clip_config.json").write_text("{"), "not valid JSON"),
    (lambda p: shutil.rmtree(p), "there is no such file"),
]


@pytest.mark.parametrize(("damage", "message"), MISSING)
def test_what_a_folder_lacks_is_told(
    damage: Callable[[Path], None], message: str, folder: Stored
) -> None:
    path = folder()
    damage(path)
    with pytest.raises(UserError, match=message):
        tinyclip.load(f"openclip:local-dir:{path}")


@pytest.mark.parametrize(
    "cfg",
    [
        {"embed_dim": 10},
        {"embed_dim": "ten", "vision_cfg": {}, "text_cfg": {}},
        {"embed_dim": 10, "vision_cfg": [], "text_cfg": {}},
        {"embed_dim": 10, "vision_cfg": {"width": "wide"}, "text_cfg": {}},
        {"embed_dim": 10, "vision_cfg": {"head_width": 0}, "text_cfg": {}},
        {"embed_dim": 10, "vision_cfg": {}, "text_cfg": {"heads": None}},
        {"embed_dim": -10, "vision_cfg": {}, "text_cfg": {}},
        {"embed_dim": 10, "vision_cfg": {"width": 64 * 10**10}, "text_cfg": {}},
        {"embed_dim": 10, "vision_cfg": {}, "text_cfg": {"tokenizer_kwargs": "lower"}},
        {"embed_dim": 10, "vision_cfg": {}, "text_cfg": {"hf_tokenizer_name": [1]}},
        {"embed_dim": 10, "vision_cfg": {}, "text_cfg": {"tokenizer_mode": 5}},
        7,
    ],
)
def test_a_configuration_that_makes_no_sense_is_named(cfg: Any, folder: Stored) -> None:
    path = folder()
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg}))
    with pytest.raises(UserError, match=r"open_clip_config\.json"):
        tinyclip.load(str(path))


def test_without_a_word_on_pictures_published_weights_say_it(
    folder: Stored, named: Any, plain: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder()
    cfg = plain(text_cfg=WIDE)
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg}))
    named("pico", cfg, tag={"mean": (0.3,) * 3, "std": (0.2,) * 3})
    for source in (str(path), f"openclip:pico@{path}"):
        assert tinyclip.load(source).preprocess.mean == (0.3, 0.3, 0.3)
    assert "open_clip itself would take its default" in caplog.text


def test_what_an_export_wrote_loads_as_the_same_model(
    uniform_loaded: Loaded, tmp_path: Path
) -> None:
    export_openclip(uniform_loaded, tmp_path / "out", random_probe(2))
    again = tinyclip.load(tmp_path / "out")
    before, after = uniform_loaded.model.state_dict(), again.model.state_dict()
    assert again.model.shape == uniform_loaded.model.shape
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert again.preprocess == uniform_loaded.preprocess
    with torch.no_grad():
        ours, theirs = (
            one.model.encode_text(one.tokenizer(CAPTIONS))
            for one in (uniform_loaded, again)
        )
    assert torch.equal(ours, theirs)


def test_a_second_export_of_it_is_the_same_to_the_byte(
    uniform_loaded: Loaded, tmp_path: Path
) -> None:
    export_openclip(uniform_loaded, tmp_path / "one", random_probe(2))
    again = tinyclip.load(tmp_path / "one")
    export_openclip(again, tmp_path / "two", random_probe(2))
    for name in ("open_clip_model.safetensors", "open_clip_config.json"):
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert one.read_bytes() == two.read_bytes(), name


def test_a_hub_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tinyclip.hub.hub_problem", lambda: "it is dark")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for source in ("openclip:hf-hub:nobody/pico", "hf-hub:nobody/pico"):
        with pytest.raises(UserError, match="hf-hub:nobody/pico cannot be had.*dark"):
            tinyclip.load(source)


def test_every_setting_of_the_pictures_is_open_clips(folder: Stored) -> None:
    path = folder()
    config = json.loads((path / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= {"resize_mode": "longest", "fill_color": 200}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    _, _, theirs = open_clip.create_model_and_transforms(f"local-dir:{path}")
    ours = tinyclip.load(path).preprocess
    assert torch.equal(ours(picture()), theirs(picture()))


def test_a_siglip_that_names_no_tokenizer_gets_none_by_chance(
    folder: Stored, siglip: Any, stock: Any
) -> None:
    path = folder()
    cfg = siglip(text_cfg={"hf_tokenizer_name": None, "vocab_size": 60_000})
    save_file(stock(cfg).state_dict(), path / "open_clip_model.safetensors")
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg}))
    with pytest.raises(UserError, match="names no tokenizer.*tokenizer=PATH"):
        tinyclip.load(path)


def cached(folder: Path, home: Path) -> None:
    """Put a folder where an earlier download would have left it."""
    place = home / "models--nobody--pico"
    (place / "snapshots").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("c0ffee")
    folder.rename(place / "snapshots" / "c0ffee")


def test_by_the_hubs_word_the_tokenizer_is_the_one_that_is_named(
    folder: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    path = folder()
    config = json.loads((path / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "somebody/words"
    (path / "open_clip_config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")  # another use of the repository
    cached(path, tmp_path)
    tokenizer = tinyclip.load("hf-hub:nobody/pico").tokenizer
    assert isinstance(tokenizer, HubTokenizer)
    assert tokenizer.name == "somebody/words"


def test_what_an_earlier_download_left_is_found(
    folder: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tinyclip.hub.hub_problem", lambda: "it is dark")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached(folder(), tmp_path)
    loaded = tinyclip.load("openclip:hf-hub:nobody/pico")
    assert loaded.preprocess.mean == (0.5, 0.5, 0.5)


WRONG = [
    ("openclip:hf-hub:pico", "'pico' is no id.*hf-hub:ORG/NAME"),
    ("openclip:local-dir:", "names no folder"),
    ("openclip:nobody/pico", "openclip:hf-hub:nobody/pico"),
    ("openclip:./gone", r"there is no \./gone"),
    ("openclip:ViT-B-32@openai", "It is a tag: write openclip:ViT-B-32/openai"),
    ("openclip:ViT-B-32@hub/open_clip_model.bin", r"mean 'hub/open_clip_model\.safete"),
    ("openclip:ViT-B-32@gone/w.bin", "There is no folder gone either"),
    ("openclip:ViT-B-32/hub/open_clip_model.safetensors", "Write openclip:ViT-B-32@h"),
    ("hub/open_clip_model.safetensors", "is a file.*openclip:NAME@hub/open"),
    ("hf:hub", "is a folder of open_clip.*Write openclip:hub"),
    ("empty", "has no model: it is empty"),
    ("openclip:empty", "without open_clip's weights: it is empty"),
]


@pytest.mark.parametrize(("source", "message"), WRONG)
def test_a_near_miss_is_answered_with_what_is_there(
    source: str, message: str, folder: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder().parent
    (home / "empty").mkdir()
    monkeypatch.chdir(home)
    with pytest.raises(UserError, match=message):
        tinyclip.load(source)


@pytest.mark.parametrize(
    "name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", "best.pt"]
)
def test_it_is_described_and_opened_whatever_its_weights_are_called(
    name: str, folder: Stored
) -> None:
    path = folder(name)
    described = describe_model(str(path))
    assert described["params"] == sizes(open_model(str(path)).loaded.model.shape)
