"""What an ONNX folder says of itself: its configuration and its files' headers."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from pathlib import Path
from typing import Any

from ...bounds import read_shape
from ...errors import UserError
from ...model.repair import check_repair
from ..beside import read_parity
from ..describe import AGAIN, counts
from .session import read_onnx_config


def describe_onnx(folder: Path) -> dict[str, Any]:
    """What `inspect` tells: counts of the shape, and what the two files say themselves.

    Raises:
        UserError: a file is missing or damaged.
    """
    config = read_onnx_config(folder) or {}
    try:
        shape = read_shape(config["shape"])
        parts = {name: dict(part) for name, part in config["encoders"].items()}
        precision, opset = config["precision"], config["opset"]
        check_repair(config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            str(folder / "config.json"), f"does not describe a model ({error!r})", AGAIN
        ) from None
    for part in parts.values():
        part.update(read_graph(folder / Path(part["file"]).name))
    size = sum(part["bytes"] for part in parts.values())
    stated = {part["opset"] for part in parts.values()} - {None}
    return {
        "format": "onnx",
        **counts(shape, config, size),
        "dtype": precision,
        "precision": precision,
        "opset": max(stated, default=opset),
        "encoders": parts,
        "parity": read_parity(folder),
    }


def read_graph(path: Path) -> dict[str, Any]:
    """Bytes of an ONNX file and of what lies beside it; with `onnx` installed also its
    opset, inputs, outputs, and how many numbers of each type it stores.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(str(path), "does not exist", AGAIN)
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    if importlib.util.find_spec("onnx") is None:
        return {"bytes": size, "opset": None}
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        return {"bytes": size, **_graph(model)}
    except Exception as error:  # protobuf's own, of a library that is not ours to name
        raise UserError(str(path), f"is no ONNX file ({error})", AGAIN) from None


def _graph(model: Any) -> dict[str, Any]:
    """What the graph of a model says; whatever may be wrong with it raises."""
    import onnx

    stored: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        stored[name] += math.prod(tensor.dims)
    return {
        "opset": max((part.version for part in model.opset_import), default=None),
        "input": _port(model.graph.input[0]),
        "output": _port(model.graph.output[0]),
        "stored": dict(sorted(stored.items())),
    }


def _port(value: Any) -> dict[str, Any]:
    """Name, shape and type of an input or output."""
    import onnx

    kind = value.type.tensor_type
    name: str = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return {
        "name": value.name,
        "shape": [side.dim_param or side.dim_value for side in kind.shape.dim],
        "dtype": {"float": "float32"}.get(name, name),
    }
