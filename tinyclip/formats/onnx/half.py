"""An encoder in float16, whose largest values are looked at before it is trusted.

ONNX Runtime computes float16 graphs on a CPU in float32 here and there, so a value that
would overflow on a phone or a GPU can come out well on this machine. Therefore the
float32 encoder is asked how large every tensor grows on real inputs; what comes near
65,504 stays in float32.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from .graph import kind_of, layer_of, quiet
from .session import Feed, open_session

log = logging.getLogger("tinyclip")
LARGEST = 65504.0  # that float16 holds
# A value of the probe over the first limit may overflow on another input; over the
# second, float16 is coarser than 1 and residuals are lost: tried if the first fails.
LIMITS = (LARGEST / 2, 1024.0)
CHUNK = 8  # inputs that are looked at at once
MASKED = -1e30  # under this it is attention's mask, which may well be -inf
SUMMED = "RmsNorm"  # made of single nodes, where LayerNorm is one that sums in float32


def halve(path: Path, feed: Feed, bound: float) -> dict[str, Any]:
    """Put a float16 encoder in place of a traced float32 one; its inputs and outputs
    stay float32, and so do the norms of a rotated tower and the final normalisation,
    whose squares overflow first.

    Args:
        feed: real inputs.
        bound: the lowest cosine between both encoders' features.

    Returns:
        `largest` value, the `layer` where it is, and the layers `kept_float32`.

    Raises:
        UserError: float16 does not keep the features, whatever stays in float32.
    """
    import onnx

    whole = onnx.load(path)
    norms = {node.name for node in whole.graph.node if kind_of(node) == SUMMED}
    inside = _inside(whole, norms)
    every = magnitudes(whole, feed)
    reach = {name: value for name, value in every.items() if name not in inside}
    layers = {node.name: layer_of(node) or node.name for node in whole.graph.node}
    tensor = max(reach, key=lambda name: reach[name])
    where = _layer_of_tensor(whole, tensor, layers)
    full_BE = open_session(path).run(None, feed)[0]
    cosine = math.nan
    for limit in LIMITS:
        risky = _touching(whole, {name for name, v in reach.items() if v > limit})
        half = to_float16(whole, risky | norms | _tail(whole))
        half_BE = open_session(half.SerializeToString()).run(None, feed)[0]
        cosine = float((half_BE * full_BE).sum(axis=1).min())  # nan, where it overflows
        if np.isfinite(half_BE).all() and cosine >= bound:
            onnx.save(half, path)
            kept = sorted({layers[name] for name in risky})
            if kept:
                log.warning(
                    "%s: values grow to %.0f in %s, and float16 ends at %.0f; kept in "
                    "float32: %s",
                    *(path.stem, reach[tensor], where, LARGEST, ", ".join(kept)),
                )
            return {"largest": reach[tensor], "layer": where, "kept_float32": kept}
    raise UserError(
        "--precision fp16",
        f"float16 does not keep the features of the {path.stem} tower (cosine "
        f"{cosine:.4f}, and {bound} is needed): values grow to {reach[tensor]:.3g} in "
        f"{where}",
        "Export with --precision fp32",
    )


def magnitudes(model: Any, feed: Feed) -> dict[str, float]:
    """The largest |value| of every float tensor of a graph, weights included; inf for
    one that is not a number."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    probe = onnx.shape_inference.infer_shapes(model)
    graph = probe.graph
    reach: dict[str, float] = {}
    for weight in graph.initializer:
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) > 0:
            reach[weight.name] = _size(numpy_helper.to_array(weight))
    types = {value.name: value.type.tensor_type for value in graph.value_info}
    outputs = [name for node in graph.node for name in node.output if name in types]
    names = [n for n in outputs if types[n].elem_type == TensorProto.FLOAT]
    for name in names:
        for op in ("ReduceMax", "ReduceMin"):
            out = f"{name}/{op}"
            graph.node.append(helper.make_node(op, [name], [out], keepdims=0))
            graph.output.append(
                helper.make_tensor_value_info(out, TensorProto.FLOAT, [])
            )
    session = open_session(probe.SerializeToString())
    extremes = [f"{name}/{op}" for name in names for op in ("ReduceMax", "ReduceMin")]
    count = len(next(iter(feed.values())))
    for start in range(0, count, CHUNK):
        part = {key: value[start : start + CHUNK] for key, value in feed.items()}
        values = iter(session.run(extremes, part) if extremes else [])
        for name, high, low in zip(names, values, values, strict=False):
            reach[name] = max(reach.get(name, 0.0), _size(np.array([high, low])))
    return reach


def _size(values: Any) -> float:
    """The largest |value|, attention's mask aside."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[~(flat < MASKED)]
    if not flat.size:
        return 0.0
    return math.inf if np.isnan(flat).any() else float(np.abs(flat).max())


def to_float16(model: Any, float32: set[str]) -> Any:
    """A float16 copy of a graph.

    Args:
        float32: names of nodes that stay as they are.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with quiet():
        half = convert_float_to_float16(
            copy, keep_io_types=True, node_block_list=sorted(float32)
        )
        # The converter writes the same cast once for each reader, and between two
        # nodes that stay float32 a step through float16, where it would overflow.
        casts = {node.output[0]: node for node in half.graph.node}
        single = list(casts.values())
        del half.graph.node[:]
        half.graph.node.extend(single)
        optimised = OnnxModel(half)
        optimised.remove_cascaded_cast_nodes()
        optimised.prune_graph()
        optimised.topological_sort()
        del half.graph.value_info[:]  # of types that they had before
    return half


def _touching(model: Any, tensors: set[str]) -> set[str]:
    """The nodes that read or write one of the tensors."""
    return {
        node.name for node in model.graph.node if tensors & {*node.input, *node.output}
    }


def _inside(model: Any, nodes: set[str]) -> set[str]:
    """What no other node reads or makes, and so stays float32 with them."""
    own: set[str] = set()
    others: set[str] = set()
    for node in model.graph.node:
        touched = {*node.input, *node.output}
        if node.name in nodes:
            own |= touched
        else:
            others |= touched
    return own - others


def _tail(model: Any) -> set[str]:
    """The final normalisation: the sum of squares, and all that follows from it."""
    tail: set[str] = set()
    reached: set[str] = set()
    for node in model.graph.node:  # in topological order
        if node.op_type == "ReduceL2" or reached & {*node.input}:
            tail.add(node.name)
            reached |= {*node.output}
    return tail


def _layer_of_tensor(model: Any, tensor: str, layers: Mapping[str, str]) -> str:
    """The layer that makes a tensor, or reads it if it is a weight."""
    for node in model.graph.node:
        if tensor in node.output or tensor in node.input:
            return layers[node.name]
    return tensor
