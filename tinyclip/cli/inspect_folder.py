"""What an exported folder says of itself: its configuration and its files' headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..shapes import ClipShape

OPENCLIP = "open_clip_config.json"
# weights in the order in which each library looks for them
WEIGHTS = {
    "openclip": ("open_clip_model.safetensors", "model.safetensors"),
    "huggingface": ("model.safetensors",),
}
AGAIN = "Export the model again"


def describe_folder(folder: Path) -> dict[str, Any] | None:
    """What `inspect` tells of an export; None where the folder is none.

    Raises:
        UserError: a file is missing or damaged, or the configuration describes another
            number of parameters than are stored.
    """
    from ..files import read_json
    from ..formats.onnx.session import read_onnx_config

    parity = folder / "parity.json"
    measured = read_json(parity) if parity.is_file() else None
    onnx = read_onnx_config(folder)
    if onnx is not None:
        return {**_onnx(folder, onnx), "parity": measured}
    if (folder / OPENCLIP).is_file():
        from ..formats.openclip.config import shape_of

        config = _object(folder / OPENCLIP)
        shape = shape_of(config.get("model_cfg", {}), str(folder / OPENCLIP))
        return {**_stored(folder, "openclip", shape), "parity": measured}
    if not (folder / "config.json").is_file():
        return None
    config = _object(folder / "config.json")
    if "format_version" in config or "model_type" not in config:
        return None
    shape = _huggingface_shape(config, folder)
    if not (folder / WEIGHTS["huggingface"][0]).is_file():
        return None  # shards, or a pickle: for `hf:` to read
    return {**_stored(folder, "huggingface", shape), "parity": measured}


def _object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: the file holds something else.
    """
    from ..files import read_json

    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(str(path), "is no JSON object", AGAIN)
    return found


def _huggingface_shape(config: Mapping[str, Any], folder: Path) -> ClipShape:
    """The shape of a stock class's configuration, or of our own class's."""
    from ..formats.huggingface.load import shape_of
    from ..shapes import shape_from_dict

    if config["model_type"] != "tinyclip":
        return shape_of(config, str(folder))
    try:
        return shape_from_dict(config)
    except (KeyError, TypeError) as error:
        raise UserError(
            str(folder / "config.json"), f"does not describe a model ({error!r})", AGAIN
        ) from None


def _stored(folder: Path, kind: str, shape: ClipShape) -> dict[str, Any]:
    """Counts of a shape, and of the safetensors file that stands for it."""
    names = WEIGHTS[kind]
    path = next((folder / n for n in names if (folder / n).is_file()), None)
    if path is None:
        raise UserError(str(folder), f"has no {names[0]}", AGAIN)
    held = read_header(path)
    found = counts(shape, {}, held["bytes"])
    # these formats do not say whose student it is
    found["share"] = dict.fromkeys(found["share"])
    if held["params"] != found["params"]["total"]:
        raise UserError(
            str(path),
            f"stores {held['params']:,} parameters, and its configuration describes "
            f"{found['params']['total']:,}",
            AGAIN,
        )
    return {"format": kind, **found, "dtype": held["dtype"]}


def read_header(path: Path) -> dict[str, Any]:
    """Bytes, parameters and types of a safetensors file; its weights are not read.

    Raises:
        UserError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
            types: Counter[str] = Counter()
            for part in slices:
                types[part.get_dtype()] += _product(part.get_shape())
    except (SafetensorError, OSError) as error:
        raise UserError(
            str(path), f"is not a whole safetensors file ({error})", "Restore the file"
        ) from None
    return {
        "bytes": path.stat().st_size,
        # integers are no parameters: old checkpoints store positions, too
        "params": sum(types[name] for name in DTYPES),
        "dtype": ", ".join(kind for name, kind in DTYPES.items() if types[name]),
    }


DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def _product(sides: Sequence[int]) -> int:
    count = 1
    for side in sides:
        count *= side
    return count


def counts(shape: ClipShape, config: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The keys of design §3.4 that a shape gives.

    Args:
        config: what may say `teacher_sizes` and `provenance`.
        size: bytes of the weights.
    """
    from .. import cost
    from ..model.store import share_of
    from ..shapes import TOWERS

    sizes = cost.sizes(shape)
    teacher = config.get("teacher_sizes") or sizes
    made = config.get("provenance", {})
    towers = shape.towers()
    return {
        "params": sizes,
        "share": share_of(sizes, teacher, made.get("towers", TOWERS)),
        "macs": {
            name: cost.tower_macs(tower, shape.embed_dim)
            for name, tower in towers.items()
        },
        "bytes": size,
        "layers": {
            name: [{"heads": b.heads, "ffn": b.ffn} for b in tower.blocks]
            for name, tower in towers.items()
        },
        "embed": {name: tower.width for name, tower in towers.items()},
        "embed_dim": shape.embed_dim,
        "uniform": all(tower.is_uniform for tower in towers.values()),
        "certificate": None,
        "provenance": made,
    }


def _onnx(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of the shape, and what the two files say themselves."""
    from ..shapes import shape_from_dict

    try:
        shape = shape_from_dict(config["shape"])
        parts = {name: dict(part) for name, part in config["encoders"].items()}
        precision, opset = config["precision"], config["opset"]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            str(folder / "config.json"), f"does not describe a model ({error!r})", AGAIN
        ) from None
    for part in parts.values():
        part.update(read_graph(folder / part["file"]))
    size = sum(part["bytes"] for part in parts.values())
    stated = {part["opset"] for part in parts.values()} - {None}
    return {
        "format": "onnx",
        **counts(shape, config, size),
        "dtype": precision,
        "precision": precision,
        "opset": max(stated, default=opset),
        "encoders": parts,
    }


def read_graph(path: Path) -> dict[str, Any]:
    """Bytes of an ONNX file and of what lies beside it; with `onnx` installed also its
    opset, inputs, outputs, and how many numbers of each type it stores.

    Raises:
        UserError: it is missing or damaged.
    """
    import importlib.util

    if not path.is_file():
        raise UserError(str(path), "does not exist", AGAIN)
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    if importlib.util.find_spec("onnx") is None:
        return {"bytes": size, "opset": None}
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, of a library that is not ours to name
        raise UserError(str(path), f"is no ONNX file ({error})", AGAIN) from None
    stored: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        stored[name] += _product(tensor.dims)
    return {
        "bytes": size,
        "opset": max((part.version for part in model.opset_import), default=None),
        "input": _value(model.graph.input[0]),
        "output": _value(model.graph.output[0]),
        "stored": dict(sorted(stored.items())),
    }


def _value(value: Any) -> dict[str, Any]:
    """Name, shape and type of an input or output."""
    import onnx

    kind = value.type.tensor_type
    name: str = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    return {
        "name": value.name,
        "shape": [side.dim_param or side.dim_value for side in kind.shape.dim],
        "dtype": {"float": "float32"}.get(name, name),
    }
