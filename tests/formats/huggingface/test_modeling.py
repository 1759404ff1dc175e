"""Our class for transformers takes what the stock classes take, and gives what they
give."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPModel, PreTrainedModel, SiglipModel, pipeline

from tinyclip.formats.huggingface.configuration_tinyclip import TinyclipConfig
from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.modeling_tinyclip import TinyclipModel
from tinyclip.formats.huggingface.read_back import elsewhere, quiet
from tinyclip.formats.huggingface.write_config import custom_config
from tinyclip.formats.parity import random_probe
from tinyclip.formats.source import load_source
from tinyclip.model.store import Loaded

Pair = tuple[PreTrainedModel, PreTrainedModel]


def twins(folder: Path, stock: type[PreTrainedModel], pad: int | None = None) -> Pair:
    """A stock model, and ours of the same weights."""
    ours = load_source(f"hf:{folder}").model
    theirs = TinyclipModel(TinyclipConfig(**custom_config(ours.shape, pad)))
    theirs.load_state_dict(ours.state_dict())
    return stock.from_pretrained(folder).eval(), theirs.eval()


@pytest.fixture(params=["clip", "siglip"])
def pair(request: pytest.FixtureRequest) -> Pair:
    folder = request.getfixturevalue(f"hf_{request.param}")()
    return twins(folder, CLIPModel if request.param == "clip" else SiglipModel)


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 60, (3, 12), generator=draw)
    return {
        "input_ids": ids,
        "pixel_values": torch.randn(3, 3, 20, 20, generator=draw),
    }


@torch.no_grad()
def both(pair: Pair, inputs: dict[str, Tensor], **asked: Any) -> tuple[Any, Any]:
    theirs, ours = pair
    return theirs(**inputs, **asked), ours(**inputs, **asked)


def test_the_loss_is_the_stock_classes(pair: Pair, inputs: dict[str, Tensor]) -> None:
    theirs, ours = both(pair, inputs, return_loss=True)
    assert torch.allclose(ours.loss, theirs.loss, atol=1e-5)
    assert both(pair, inputs)[1].loss is None


@pytest.mark.parametrize("tower", ["text_model_output", "vision_model_output"])
def test_hidden_states_are_the_stock_classes(
    pair: Pair, inputs: dict[str, Tensor], tower: str
) -> None:
    theirs, ours = both(pair, inputs, output_hidden_states=True)
    expected, states = theirs[tower], ours[tower]
    assert len(states.hidden_states) == len(expected.hidden_states)
    for mine, other in zip(states.hidden_states, expected.hidden_states, strict=True):
        assert torch.allclose(mine, other, atol=1e-5)
    assert torch.allclose(
        states.last_hidden_state, expected.last_hidden_state, atol=1e-5
    )
    assert both(pair, inputs)[1][tower].hidden_states is None


def test_a_tuple_has_the_stock_classes_order(
    pair: Pair, inputs: dict[str, Tensor]
) -> None:
    asked = {"return_dict": False, "return_loss": True}
    theirs, ours = both(pair, inputs, **asked)
    assert len(ours) == len(theirs) == 7
    for mine, other in zip(ours[:5], theirs[:5], strict=True):
        assert torch.allclose(mine, other, atol=1e-5)
    assert all(isinstance(part, tuple) for part in ours[5:])


def test_positions_may_be_told(pair: Pair, inputs: dict[str, Tensor]) -> None:
    turned = torch.arange(11, -1, -1)[None]
    theirs, ours = both(pair, inputs, position_ids=turned)
    plain = both(pair, inputs)[1]
    assert torch.allclose(ours.text_embeds, theirs.text_embeds, atol=1e-5)
    assert not torch.allclose(ours.text_embeds, plain.text_embeds, atol=1e-3)


def test_captions_are_filled_where_padding_counts(
    hf_siglip: Callable[..., Path], inputs: dict[str, Tensor]
) -> None:
    theirs, ours = twins(hf_siglip(), SiglipModel, pad=5)
    short = inputs["input_ids"][:, :7]
    full = torch.nn.functional.pad(short, (0, 5), value=5)
    with torch.no_grad():
        full_BE = theirs.get_text_features(full).pooler_output
        short_BE = ours.get_text_features(short).pooler_output
    assert torch.allclose(short_BE, full_BE, atol=1e-5)


def test_transformers_pipeline_runs_a_ragged_export(
    pico_loaded: Loaded, tmp_path: Path
) -> None:
    export_huggingface(pico_loaded, tmp_path / "out", random_probe(16))
    picture = random_probe(1).images[0]
    labels = ["cat", "a dog"]
    with quiet(), elsewhere():
        run = pipeline(
            "zero-shot-image-classification",
            model=str(tmp_path / "out"),
            image_processor=str(tmp_path / "out"),
            trust_remote_code=True,
        )
        answers = run(picture, candidate_labels=labels, hypothesis_template="{}")
        pixels = run.image_processor(picture, return_tensors="pt")["pixel_values"]
    model = pico_loaded.model
    with torch.no_grad():
        image_BE = model.encode_image(pixels, normalize=True)
        text_BE = model.encode_text(pico_loaded.tokenizer(labels), normalize=True)
        expected = (model.logit_scale.exp() * image_BE @ text_BE.T).softmax(dim=-1)[0]
    scores = {answer["label"]: answer["score"] for answer in answers}
    assert [scores[name] for name in labels] == pytest.approx(
        expected.tolist(), abs=1e-5
    )


def loaded_code() -> set[str]:
    """The modules of code that came with models."""
    return {name for name in sys.modules if name.startswith("transformers_modules")}


def test_code_of_another_export_that_is_loaded_is_not_in_the_way(
    pico_loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModel, dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "c"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in loaded_code():
        monkeypatch.delitem(sys.modules, name)
    export_huggingface(pico_loaded, tmp_path / "one", random_probe(16))
    with quiet():
        AutoModel.from_pretrained(tmp_path / "one", trust_remote_code=True)
    before = loaded_code()
    export_huggingface(pico_loaded, tmp_path / "two", random_probe(16))
    after = loaded_code()
    for name in after:
        del sys.modules[name]
    assert before and before == after


def test_a_cache_of_code_that_is_on_the_path_is_not_in_the_way(
    pico_loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "elsewhere" / "transformers_modules"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(package.parent))
    for name in loaded_code():
        monkeypatch.delitem(sys.modules, name)
    parity = export_huggingface(pico_loaded, tmp_path / "out", random_probe(16))
    assert parity["max_abs_diff"] <= 1e-5
