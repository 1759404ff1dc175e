"""Values that float16 cannot hold are found, though this machine would bear them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from tinyclip.errors import UserError
from tinyclip.formats.onnx.graph import trace
from tinyclip.formats.onnx.half import halve, magnitudes, to_float16
from tinyclip.formats.onnx.session import Feed
from tinyclip.model.clip import Clip
from tinyclip.shapes import ClipShape

Trace = Callable[[Clip, str, Path], Path]


@pytest.fixture
def pixels() -> Feed:
    draw = np.random.default_rng(0)
    return {"pixel_values": draw.standard_normal((9, 3, 16, 16)).astype(np.float32)}


def spoil(clip: Clip, factor: float) -> Clip:
    """An FFN whose inner values are huge and whose outputs are what they were."""
    ffn = clip.image.blocks[0].ffn
    with torch.no_grad():
        ffn.up.weight.mul_(factor)
        ffn.up.bias.mul_(factor)
        ffn.down.weight.div_(factor)
    return clip.eval()


def test_the_largest_values_are_those_that_numpy_finds(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(
        torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Linear(2, 1)).eval(),
        (x[:2],),
        tmp_path / "m.onnx",
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    reach = magnitudes(onnx.load(tmp_path / "m.onnx"), {"input": x.numpy()})
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    inner = (x.double().numpy() @ weight.numpy().T + bias.numpy()).clip(0)
    assert any(value == pytest.approx(inner.max()) for value in reach.values())
    largest = float(weight.abs().max())
    assert any(value == pytest.approx(largest) for value in reach.values())


def test_a_mask_of_minus_infinity_is_no_overflow(
    pico_clip: Clip, tmp_path: Path, trace_once: Trace
) -> None:
    whole = onnx.load(trace_once(pico_clip, "text", tmp_path))
    ids = np.random.default_rng(0).integers(0, 50, (5, 8))
    assert max(magnitudes(whole, {"input_ids": ids}).values()) < 100


def test_a_value_that_is_no_number_is_infinite(
    pico_clip: Clip, pixels: Feed, tmp_path: Path, trace_once: Trace
) -> None:
    whole = onnx.load(trace_once(pico_clip, "image", tmp_path))
    bias = next(w for w in whole.graph.initializer if "norm_post.bias" in w.name)
    value = numpy_helper.to_array(bias).copy()
    value[0] = math.nan
    bias.CopyFrom(numpy_helper.from_array(value, bias.name))
    assert max(magnitudes(whole, pixels).values()) == math.inf


@pytest.mark.slow
def test_what_overflows_stays_in_float32_and_is_named(
    pico_clip: Clip,
    pixels: Feed,
    tmp_path: Path,
    trace_once: Trace,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = trace_once(spoil(pico_clip, 1e6), "image", tmp_path)
    full_BE = onnxruntime.InferenceSession(path).run(None, pixels)[0]
    with caplog.at_level(logging.WARNING):
        report = halve(path, pixels, bound=0.999)
    assert report["largest"] > 65504
    assert "image.blocks.0.ffn" in report["kept_float32"]
    assert "image.blocks.1.ffn" not in report["kept_float32"]
    assert "kept in float32: image.blocks.0" in caplog.text
    half_BE = onnxruntime.InferenceSession(path).run(None, pixels)[0]
    assert (half_BE * full_BE).sum(axis=1).min() >= 0.999
    # no step through float16 between two layers that stay float32
    graph = onnx.load(path).graph
    casts = {node.output[0] for node in graph.node if node.op_type == "Cast"}
    twice = [n for n in graph.node if n.op_type == "Cast" and n.input[0] in casts]
    assert twice == []


def test_without_a_list_of_exceptions_the_same_model_overflows(
    pico_clip: Clip, pixels: Feed, tmp_path: Path, trace_once: Trace
) -> None:
    """What the test above guards against is real."""
    whole = onnx.load(trace_once(spoil(pico_clip, 1e6), "image", tmp_path))
    half = to_float16(whole, set()).SerializeToString()
    options = onnxruntime.SessionOptions()
    # else casts are left out, and the CPU computes all in float32
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    half_BE = onnxruntime.InferenceSession(half, options).run(None, pixels)[0]
    full_BE = onnxruntime.InferenceSession(whole.SerializeToString()).run(None, pixels)[
        0
    ]
    cosine = (half_BE * full_BE).sum(axis=1).min()
    assert not cosine >= 0.999


def test_a_model_that_float16_cannot_hold_is_refused_with_the_layer(
    pico_clip: Clip, pixels: Feed, tmp_path: Path, trace_once: Trace
) -> None:
    path = trace_once(pico_clip.eval(), "image", tmp_path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"image tower.*values grow to .* in image"):
        halve(path, pixels, bound=1.1)  # no cosine reaches it
    assert path.read_bytes() == before


def test_a_rotated_towers_norms_stay_float32_however_small_its_values(
    pico_shape: ClipShape, rotated: Callable[..., ClipShape], tmp_path: Path
) -> None:
    """Of what comes later, squares may overflow where those of the probe did not."""
    clip = Clip(rotated(pico_shape)).init_weights(0).eval()
    path = trace(clip, "image", tmp_path)
    draw = np.random.default_rng(0).standard_normal((4, 3, 16, 16))
    feed: Feed = {"pixel_values": draw.astype(np.float32)}
    report = halve(path, feed, bound=0.999)
    assert report["kept_float32"] == []
    assert report["largest"] < 24  # the full width that the norms divide by
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    sums = [node for node in graph.node if node.op_type in ("Pow", "ReduceSum")]
    assert len(sums) == 10  # two norms a block, and the last
    assert {types[node.output[0]] for node in sums} == {onnx.TensorProto.FLOAT}
    matrices = [node for node in graph.node if node.op_type == "MatMul"]
    assert {types[node.output[0]] for node in matrices} == {onnx.TensorProto.FLOAT16}


def test_sums_of_a_rotated_towers_norms_are_not_told_as_values(
    pico_shape: ClipShape, rotated: Callable[..., ClipShape], tmp_path: Path
) -> None:
    clip = Clip(rotated(pico_shape)).init_weights(0).eval()
    with torch.no_grad():
        clip.image.stem.mul_(500)
    path = trace(clip, "image", tmp_path)
    draw = np.random.default_rng(0).standard_normal((4, 3, 16, 16))
    report = halve(path, {"pixel_values": draw.astype(np.float32)}, bound=0.999)
    assert 65504**0.5 < report["largest"] < 65504
    assert report["kept_float32"] == []
