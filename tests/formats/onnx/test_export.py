"""ONNX Runtime makes the same of the same input, in every precision; else nothing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx as onnx_library
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from tinyclip.errors import TinyclipError, UserError
from tinyclip.formats.onnx import export as onnx
from tinyclip.formats.onnx import graph as onnx_graph
from tinyclip.formats.onnx.export import COSINE, export_onnx
from tinyclip.formats.onnx.graph import trace
from tinyclip.formats.onnx.session import load_onnx
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded
from tinyclip.shapes import BlockShape, ClipShape

Trace = Callable[[Clip, str, Path], Path]


@pytest.fixture(scope="module")
def probe() -> Probe:
    return random_probe(16)


@pytest.fixture
def quick(trace_once: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what follows the tracing."""
    monkeypatch.setattr(onnx, "trace", trace_once)


def features(folder: Path, tower: str, feed: np.ndarray) -> np.ndarray:
    """What a plain session of ONNX Runtime makes of one input."""
    session = onnxruntime.InferenceSession(folder / f"{tower}.onnx")
    return session.run(None, {session.get_inputs()[0].name: feed})[0]


def with_shape(loaded: Loaded, clip: Clip) -> Loaded:
    """The pico loaded model around another CLIP."""
    return Loaded(clip.eval(), loaded.preprocess, loaded.tokenizer, loaded.config)


def filled(shape: ClipShape) -> Clip:
    """Noise in every weight and bias, norms about 1."""
    model = Clip(shape)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=draw) * 0.2
            value.copy_(1 + noise if "norm" in name and "weight" in name else noise)
    return model


def check_float32(loaded: Loaded, probe: Probe, out: Path) -> None:
    """Export, then compare both encoders with ours at batches of 1 and 5."""
    parity = export_onnx(loaded, out, probe)
    assert min(parity["cosine"].values()) >= 0.9999
    draw = torch.Generator().manual_seed(1)
    shape = loaded.model.shape
    for batch in (1, 5):
        size, length = shape.image.image_size, shape.text.context_length
        pixels = torch.randn(batch, 3, size, size, generator=draw)
        ids = torch.randint(shape.text.vocab_size, (batch, length), generator=draw)
        with torch.no_grad():
            image = F.normalize(loaded.model.encode_image(pixels), dim=-1)
            text = F.normalize(loaded.model.encode_text(ids), dim=-1)
        assert (
            np.abs(features(out, "image", pixels.numpy()) - image.numpy()).max() < 1e-5
        )
        assert np.abs(features(out, "text", ids.numpy()) - text.numpy()).max() < 1e-5


@pytest.mark.slow
def test_a_ragged_model_with_dead_layers_is_the_same_in_float32(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    shape = pico_loaded.model.shape
    dead = (BlockShape(heads=0, ffn=28), BlockShape(heads=3, ffn=0))
    empty = (BlockShape(heads=0, ffn=0), BlockShape(heads=1, ffn=5))
    shape = shape.with_towers(
        image=replace(shape.image, blocks=dead), text=replace(shape.text, blocks=empty)
    )
    check_float32(with_shape(pico_loaded, filled(shape)), probe, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["first", "eos"])
def test_other_text_pools_are_the_same_in_float32(
    pool: str, pico_loaded: Loaded, tmp_path: Path
) -> None:
    text = replace(pico_loaded.model.shape.text, pool=pool, eos_id=7)
    clip = filled(pico_loaded.model.shape.with_towers(text=text)).eval()
    trace(clip, "text", tmp_path)
    ids = torch.randint(20, (6, 8), generator=torch.Generator().manual_seed(1))
    assert 7 in ids
    with torch.no_grad():
        expected = F.normalize(clip.encode_text(ids), dim=-1)
    exported = features(tmp_path, "text", ids.numpy())
    assert np.abs(exported - expected.numpy()).max() < 1e-5


@pytest.mark.slow
def test_siglip_is_the_same_in_float32(
    siglip_shape: ClipShape, pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    text = replace(siglip_shape.text, vocab_size=516)
    clip = filled(siglip_shape.with_towers(text=text))
    out = tmp_path / "out"
    check_float32(with_shape(pico_loaded, clip), probe, out)
    config = json.loads((out / "config.json").read_text())
    assert config["logit_bias"] == pytest.approx(float(clip.logit_bias.detach()))


@pytest.mark.usefixtures("quick")
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_smaller_precision_is_smaller_and_near(
    precision: str, pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_onnx(pico_loaded, tmp_path / "out", probe, precision=precision)
    assert min(parity["cosine"].values()) >= COSINE[precision]
    stored = {
        onnx_library.TensorProto.DataType.Name(tensor.data_type): 0
        for tensor in onnx_library.load(
            tmp_path / "out" / "image.onnx"
        ).graph.initializer
    }
    assert {"fp16": "FLOAT16", "int8": "INT8"}[precision] in stored
    session = onnxruntime.InferenceSession(tmp_path / "out" / "image.onnx")
    ends = (*session.get_inputs(), *session.get_outputs())
    assert {end.type for end in ends} == {"tensor(float)"}


@pytest.mark.slow
def test_weights_over_the_limit_of_one_file_lie_beside_it(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "ONE_FILE", 1000)
    check_float32(pico_loaded, probe, tmp_path / "out")
    data = tmp_path / "out" / "image.onnx.data"
    graph = (tmp_path / "out" / "image.onnx").stat().st_size
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert data.stat().st_size > 40_000
    assert config["encoders"]["image"]["bytes"] == data.stat().st_size + graph
    with pytest.raises(UserError, match=r"--precision fp16: the image tower is over"):
        export_onnx(pico_loaded, tmp_path / "half", probe, precision="fp16")


@pytest.mark.usefixtures("quick")
def test_the_folder_says_all_and_names_no_place(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    parity = export_onnx(
        pico_loaded, out, probe, certificate={"max_abs_diff": 1, "n": 2}
    )
    assert json.loads((out / "parity.json").read_text()) == parity
    assert parity["captions_with_equal_ids"] == parity["captions"] > 16
    config = json.loads((out / "config.json").read_text())
    assert config["encoders"]["image"]["input"]["shape"] == ["batch", 3, 16, 16]
    assert config["encoders"]["text"]["output"]["name"] == "text_features"
    assert config["logit_scale"] == pytest.approx(1 / 0.07)
    here = str(Path(onnx.__file__).resolve().parents[2]).encode()
    for file in out.iterdir():
        assert here not in file.read_bytes(), file.name


@pytest.mark.usefixtures("quick")
def test_a_tokenizer_json_makes_our_ids(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    export_onnx(pico_loaded, tmp_path / "out", probe)
    words = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for caption in ("a CAT  sat", "", "cat " * 30, "naïve café 猫"):
        assert words.encode(caption).ids == pico_loaded.tokenizer(caption)[0].tolist()


def test_weights_that_changed_on_the_way_stop_the_export(
    pico_loaded: Loaded,
    probe: Probe,
    tmp_path: Path,
    trace_once: Trace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def skewed(model: Clip, tower: str, folder: Path) -> Path:
        path = trace_once(model, tower, folder)
        graph = onnx_library.load(path)
        for weight in graph.graph.initializer:
            if weight.name.endswith("norm_final.bias"):
                value = onnx_library.numpy_helper.to_array(weight) + 0.1
                weight.CopyFrom(
                    onnx_library.numpy_helper.from_array(value, weight.name)
                )
        onnx_library.save(graph, path)
        return path

    monkeypatch.setattr(onnx, "trace", skewed)
    with pytest.raises(TinyclipError, match="not the same model"):
        export_onnx(pico_loaded, tmp_path / "out", probe)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_task_that_changes_too_much_stops_the_export(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    values = iter([0.50, 0.47])
    with pytest.raises(
        TinyclipError, match=r"from 50\.00 to 47\.00 %, and 0\.20 points"
    ):
        export_onnx(
            pico_loaded,
            tmp_path / "out",
            probe,
            measure=lambda _: ({"retrieval r1": next(values)}, 1000),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_task_of_few_pairs_may_change_by_one(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    values = iter([0.50, 0.51])
    parity = export_onnx(
        pico_loaded,
        tmp_path / "out",
        probe,
        measure=lambda _: ({"retrieval r1": next(values)}, 100),
    )
    assert parity["tasks"]["largest_change"] == pytest.approx(1.0)
    assert (
        "| retrieval r1 | 50.0 | 51.0 |" in (tmp_path / "out" / "README.md").read_text()
    )


def test_without_onnxruntime_the_extra_is_named(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "onnxruntime" else find(n)
    )
    with pytest.raises(
        UserError, match=r"--to onnx: needs onnxruntime.*tinyclip\[onnx\]"
    ):
        export_onnx(pico_loaded, tmp_path / "out", probe, precision="int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_damaged_file_is_a_user_error(
    pico_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    export_onnx(pico_loaded, tmp_path / "out", probe)
    path = tmp_path / "out" / "text.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"text\.onnx: cannot be loaded"):
        load_onnx(tmp_path / "out")
