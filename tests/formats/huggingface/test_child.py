"""Where tinyclip cannot be imported and nothing can be fetched, transformers loads an
export and makes our features of our inputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded
from tinyclip.shapes import BlockShape, ClipShape

pytestmark = pytest.mark.slow
CAPTIONS = ["a photo of a cat", "", "cat", "Hello!! It's 12", "long caption " * 30]
CHILD = """
import importlib.abc, json, socket, sys

class Closed(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tinyclip", "open_clip"):
            raise ImportError(name + " is not here")

def closed(*args, **kwargs):
    raise OSError("there is no network here")

sys.meta_path.insert(0, Closed())
socket.socket.connect = socket.getaddrinfo = closed
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoModel, AutoProcessor, AutoTokenizer

inputs = json.load(open("inputs.json"))
images = [Image.open(name) for name in inputs["images"]]
classes = {}
for name, trust in inputs["folders"].items():
    flag = {"trust_remote_code": True} if trust else {}
    model = AutoModel.from_pretrained(name, **flag).eval()
    processor = AutoProcessor.from_pretrained(name, backend="pil", **flag)
    tokenizer = AutoTokenizer.from_pretrained(name)
    padded = dict(padding="max_length", truncation=True, return_tensors="pt")
    x = processor(text=inputs["captions"], images=images, **padded)
    ids = tokenizer(inputs["captions"], **padded).input_ids
    with torch.no_grad():
        out = model(**x)
        found = {
            "image": model.get_image_features(x["pixel_values"]).pooler_output,
            "text": model.get_text_features(input_ids=ids).pooler_output,
            "image_embeds": out.image_embeds,
            "text_embeds": out.text_embeds,
            "logits_per_image": out.logits_per_image,
            "logits_per_text": out.logits_per_text,
        }
    save_file({k: v.contiguous() for k, v in found.items()}, name + ".found")
    classes[name] = type(model).__name__
assert not [m for m in sys.modules if m.split(".")[0] in ("tinyclip", "open_clip")]
json.dump(classes, open("classes.json", "w"))
"""


def bent(tower: Any, *blocks: tuple[int, int], **switches: Any) -> Any:
    uneven = tuple(BlockShape(heads=heads, ffn=ffn) for heads, ffn in blocks)
    return replace(tower, blocks=uneven or tower.blocks, **switches)


def shapes(clip: ClipShape, siglip: ClipShape) -> dict[str, tuple[ClipShape, str]]:
    """Every kind of export, by name, with the class that has to come of it."""
    siglip = siglip.with_towers(text=bent(siglip.text, vocab_size=516))
    return {
        "clip": (
            clip.with_towers(
                image=bent(clip.image, activation="quick_gelu", eps=1e-3),
                text=bent(clip.text, activation="gelu_tanh"),
            ),
            "CLIPModel",
        ),
        "siglip": (siglip, "SiglipModel"),
        "ragged": (
            clip.with_towers(
                image=bent(clip.image, (0, 0), (3, 28), width=22),
                text=bent(clip.text, (2, 0), (0, 20), activation="quick_gelu"),
            ),
            "TinyclipModel",
        ),
        "siglip-ragged": (
            siglip.with_towers(
                image=bent(siglip.image, (2, 5), (0, 9), activation="gelu_tanh"),
                text=bent(siglip.text, (3, 7), (1, 24)),
            ),
            "TinyclipModel",
        ),
        "mean": (
            clip.with_towers(
                image=bent(clip.image, pool="mean", norm_pre=False, layer_scale=True),
                text=bent(clip.text, pool="last", causal=False),
            ),
            "TinyclipModel",
        ),
        "rotated": (in_basis(clip), "TinyclipModel"),
        "siglip-rotated": (in_basis(siglip), "TinyclipModel"),
    }


def in_basis(shape: ClipShape) -> ClipShape:
    """The shape in a basis of its streams, with fewer directions and dims."""

    def tower(old: Any) -> Any:
        biased = getattr(old, "projection", True)
        fewer = tuple(replace(block, dims=3) for block in old.blocks)
        basis = {"norm": "rms", "width": old.width - 3, "full_width": old.width}
        return replace(old, blocks=fewer, projection_bias=biased, **basis)

    return shape.with_towers(image=tower(shape.image), text=tower(shape.text))


@pytest.fixture(scope="module")
def probe() -> Probe:
    probe = random_probe(len(CAPTIONS))
    return Probe("random", probe.images, tuple(CAPTIONS))


@pytest.fixture(scope="module")
def exported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    probe: Probe,
) -> dict[str, tuple[Loaded, str, dict[str, torch.Tensor], str]]:
    """By name: our model, the class wanted, what the child found, the class found."""
    plugins = request.config.pluginmanager.get_plugins()
    (conftest,) = [p for p in plugins if hasattr(p, "make_siglip_shape")]
    home = tmp_path_factory.mktemp("child")
    stock = conftest.make_loaded(uniform=True)
    models: dict[str, Loaded] = {}
    expected = shapes(stock.model.shape, conftest.make_siglip_shape())
    for name, (shape, _) in expected.items():
        model: Clip = conftest.make_pico_clip(shape).eval()
        models[name] = replace(stock, model=model)
        export_huggingface(models[name], home / name, probe)
    for number, image in enumerate(probe.images):
        image.save(home / f"{number}.png")
    inputs = {
        "images": [f"{number}.png" for number in range(len(probe))],
        "captions": CAPTIONS,
        "folders": {n: kind == "TinyclipModel" for n, (_, kind) in expected.items()},
    }
    (home / "inputs.json").write_text(json.dumps(inputs))
    run_child(home)
    classes = json.loads((home / "classes.json").read_text())
    return {
        name: (models[name], kind, load_file(home / f"{name}.found"), classes[name])
        for name, (_, kind) in expected.items()
    }


def run_child(home: Path) -> None:
    environment = {
        **os.environ,
        "HF_HOME": str(home / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", CHILD],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr


NAMES = ["clip", "siglip", "ragged", "siglip-ragged", "mean"]
NAMES += ["rotated", "siglip-rotated"]


@pytest.mark.parametrize("name", NAMES)
def test_features_are_ours(exported: Any, probe: Probe, name: str) -> None:
    loaded, _, features, _ = exported[name]
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    with torch.no_grad():
        ours = {
            "image": loaded.model.encode_image(pixels),
            "text": loaded.model.encode_text(loaded.tokenizer(CAPTIONS)),
            "image_embeds": loaded.model.encode_image(pixels, normalize=True),
            "text_embeds": loaded.model.encode_text(
                loaded.tokenizer(CAPTIONS), normalize=True
            ),
        }
    for key, value in ours.items():
        assert (features[key] - value).abs().max() <= 1e-5, key


@pytest.mark.parametrize("name", NAMES)
def test_logits_have_our_scale_and_bias(exported: Any, name: str) -> None:
    loaded, _, features, _ = exported[name]
    image, text = features["image_embeds"], features["text_embeds"]
    logits = loaded.model.logit_scale.exp() * image @ text.T
    if loaded.model.logit_bias is not None:
        logits = logits + loaded.model.logit_bias
    assert torch.allclose(features["logits_per_image"], logits, atol=1e-4)
    assert torch.allclose(features["logits_per_text"], logits.T, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_stock_class_is_taken_where_it_can_be(exported: Any, name: str) -> None:
    _, expected, _, parity = exported[name]
    assert parity == expected
