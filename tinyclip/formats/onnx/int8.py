"""An encoder in int8: weights by channel, activations by ranges seen on real inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from .graph import quiet
from .session import Feed, open_session

CHUNK = 8  # inputs that calibrate at once
STEM = "image.stem"


class Calibration:
    """Real inputs in small batches, as ONNX Runtime asks for them."""

    def __init__(self, feed: Feed) -> None:
        self._batches: Iterator[Feed] = (
            {name: values[start : start + CHUNK] for name, values in feed.items()}
            for start in range(0, len(next(iter(feed.values()))), CHUNK)
        )

    def get_next(self) -> Feed | None:
        return next(self._batches, None)


def quantise(path: Path, feed: Feed, calibration: Feed, bound: float) -> dict[str, Any]:
    """Put a quantised encoder in place of a float32 one (static, QDQ).

    The matrices of the blocks and the token embedding become int8. The patch embedding
    (with a rotated tower's stem) and the projection, first and last of the encoder, and
    the products inside attention stay float32: they are small and cost the most
    quality.

    Args:
        feed: real inputs to measure on; calibration: others, that give the ranges.
        bound: the lowest cosine between both encoders' features.

    Returns:
        The `calibration` method that was taken, and the `matrices` quantised.

    Raises:
        UserError: int8 does not keep the features.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization import quantize_static as quantize
    from onnxruntime.quantization.shape_inference import quant_pre_process as prepare

    full_BE = open_session(path).run(None, feed)[0]
    ready, quantised = path.with_suffix(".ready"), path.with_suffix(".int8")
    cosine = math.nan
    with quiet():
        # symbolic shape inference fails on graphs of this exporter
        prepare(str(path), str(ready), skip_symbolic_shape=True)
    matrices, excluded = _matrices(onnx.load(ready).graph)
    # outliers stretch the range that MinMax takes; Percentile cuts them off
    for method in (CalibrationMethod.MinMax, CalibrationMethod.Percentile):
        with quiet():
            quantize(
                str(ready),
                str(quantised),
                Calibration(calibration),
                op_types_to_quantize=["MatMul", "Gemm", "Gather"],
                nodes_to_exclude=excluded,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=method,
            )
        int8_BE = open_session(quantised).run(None, feed)[0]
        cosine = float((int8_BE * full_BE).sum(axis=1).min())
        if np.isfinite(int8_BE).all() and cosine >= bound:
            quantised.replace(path)
            ready.unlink()
            return {"calibration": method.name, "matrices": matrices}
    raise UserError(
        "--precision int8",
        f"int8 does not keep the features of the {path.stem} tower: cosine "
        f"{cosine:.4f}, and {bound} is needed",
        "Export with --precision fp16, or calibrate on data of your own with --data",
    )


def _matrices(graph: Any) -> tuple[int, list[str]]:
    """How many matrices become int8, and the nodes to leave alone."""
    weights = {tensor.name for tensor in graph.initializer}
    own: list[str] = []
    excluded: list[str] = []
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            is_stem = any(name.endswith(STEM) for name in node.input)
            is_own = weights & {*node.input} and not is_stem
            (own if is_own else excluded).append(node.name)
        elif node.op_type == "Gather" and node.input[0] not in weights:
            excluded.append(node.name)  # it takes one token's state, not an embedding
    return len(own[:-1]), excluded + own[-1:]
