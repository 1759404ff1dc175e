"""Int8: the matrices of the blocks and the token table, calibrated on what is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tinyclip.errors import UserError
from tinyclip.formats.onnx.graph import trace
from tinyclip.formats.onnx.int8 import Calibration, quantise
from tinyclip.formats.onnx.session import Feed
from tinyclip.model.clip import Clip
from tinyclip.shapes import ClipShape

Trace = Callable[[Clip, str, Path], Path]


def ids(count: int, seed: int) -> Feed:
    return {"input_ids": np.random.default_rng(seed).integers(0, 50, (count, 8))}


def test_calibration_hands_out_every_input_once() -> None:
    calibration = Calibration({"x": np.arange(19)})
    parts = [part["x"] for part in iter(calibration.get_next, None)]
    assert [len(part) for part in parts] == [8, 8, 3]
    assert np.concatenate(parts).tolist() == list(range(19))


def test_matrices_of_blocks_and_the_token_table_are_int8(
    pico_clip: Clip, tmp_path: Path, trace_once: Trace
) -> None:
    path = trace_once(pico_clip.eval(), "text", tmp_path)
    report = quantise(path, ids(16, 0), ids(40, 1), bound=0.98)
    assert report == {"calibration": "MinMax", "matrices": 12}
    kinds: Counter[str] = Counter()
    for tensor in onnx.load(path).graph.initializer:
        if len(tensor.dims) == 2 and np.prod(tensor.dims) > 100:
            kinds[onnx.TensorProto.DataType.Name(tensor.data_type)] += 1
    # 6 a block; the table; and, in float32, positions and the projection
    assert kinds["INT8"] + kinds["UINT8"] == 13
    assert kinds["FLOAT"] == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["text.onnx"]


def test_the_stem_of_a_rotated_tower_stays_float32(
    pico_shape: ClipShape, rotated: Callable[..., ClipShape], tmp_path: Path
) -> None:
    clip = Clip(rotated(pico_shape, dims=5)).init_weights(0).eval()
    path = trace(clip, "image", tmp_path)
    draw = np.random.default_rng(0).standard_normal((16, 3, 16, 16))
    feed: Feed = {"pixel_values": draw.astype(np.float32)}
    assert quantise(path, feed, feed, bound=-1)["matrices"] == 12
    kinds = {
        tuple(tensor.dims): onnx.TensorProto.DataType.Name(tensor.data_type)
        for tensor in onnx.load(path).graph.initializer
    }
    assert kinds[(24, 23)] == kinds[(23, 12)] == "FLOAT"  # stem, projection


def test_ranges_come_from_the_calibration_not_from_the_probe(
    pico_clip: Clip, tmp_path: Path, trace_once: Trace
) -> None:
    graphs = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = trace_once(pico_clip.eval(), "text", folder)
        quantise(path, ids(16, 0), ids(4, seed), bound=-1)
        graphs.append(path.read_bytes())
    assert graphs[0] != graphs[1]


def test_what_int8_does_not_keep_is_refused(
    pico_clip: Clip, tmp_path: Path, trace_once: Trace
) -> None:
    path = trace_once(pico_clip.eval(), "text", tmp_path)
    with pytest.raises(
        UserError, match=r"text tower: cosine 0\.\d+, and 1\.1 is needed"
    ):
        quantise(path, ids(16, 0), ids(16, 1), bound=1.1)
