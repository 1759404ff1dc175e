"""What a model, or the folder that holds one, says of itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from .. import cost
from ..bounded import read_json
from ..dtypes import DTYPES
from ..errors import UserError
from ..model.store import Loaded, share_of
from ..shapes import ClipShape, block_to_dict
from ..sites import basis_of
from .beside import read_parity

AGAIN = "Export the model again"


def counts(shape: ClipShape, config: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The keys of design §3.4 that a shape gives.

    Args:
        config: what may say `teacher_sizes` and `provenance`.
        size: bytes of the weights.
    """
    sizes = cost.sizes(shape)
    teacher = config.get("teacher_sizes") or sizes
    provenance = config.get("provenance", {})
    towers = shape.towers()
    return {
        "params": sizes,
        "share": share_of(shape, teacher, provenance),
        "macs": {
            name: cost.tower_macs(tower, shape.embed_dim)
            for name, tower in towers.items()
        },
        "bytes": size,
        "layers": {
            name: [block_to_dict(block, tower.head_width) for block in tower.blocks]
            for name, tower in towers.items()
        },
        "head_width": {name: tower.head_width for name, tower in towers.items()},
        "embed": {name: tower.width for name, tower in towers.items()},
        "basis": {name: basis_of(asdict(tower)) for name, tower in towers.items()},
        "embed_dim": shape.embed_dim,
        "uniform": all(tower.is_uniform for tower in towers.values()),
        "certificate": None,
        "provenance": provenance,
        "repair": config.get("repair"),
    }


def describe_loaded(loaded: Loaded) -> dict[str, Any]:
    """Counts of a model that lies in no folder of ours, in float32."""
    described = counts(loaded.model.shape, loaded.config, 0)
    size = cost.FLOAT_BYTES * described["params"]["total"]
    return {**described, "bytes": size, "dtype": "float32"}


def describe_export(
    folder: Path, kind: str, names: Sequence[str], shape: ClipShape
) -> dict[str, Any]:
    """Counts of a shape, and of the safetensors file that stands for it.

    Args:
        kind: the format's name.
        names: of the weights, in the order in which the library looks for them.

    Raises:
        UserError: there are none, or they are of another number of parameters.
    """
    path = next((folder / n for n in names if (folder / n).is_file()), None)
    if path is None:
        raise UserError(str(folder), f"has no {names[0]}", AGAIN)
    header = read_header(path)
    described = counts(shape, {}, header["bytes"])
    # these formats do not say whose student it is
    described["share"] = dict.fromkeys(described["share"])
    if header["params"] != described["params"]["total"]:
        raise UserError(
            str(path),
            f"stores {header['params']:,} parameters, and its configuration describes "
            f"{described['params']['total']:,}",
            AGAIN,
        )
    described |= {
        "format": kind,
        "dtype": header["dtype"],
        "parity": read_parity(folder),
    }
    return described


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: the file is missing, or holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(str(path), "is no JSON object", AGAIN)
    return value


def config_of(folder: Path) -> dict[str, Any]:
    """A folder's `config.json`; empty where there is none, or it is no object."""
    path = folder / "config.json"
    value = read_json(path) if path.is_file() else None
    return value if isinstance(value, dict) else {}


def read_header(path: Path) -> dict[str, Any]:
    """Bytes, parameters and types of a safetensors file; its weights are not read.

    Raises:
        UserError: it is damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
            types: Counter[str] = Counter()
            for part in slices:
                types[part.get_dtype()] += math.prod(part.get_shape())
    except (SafetensorError, OSError) as error:
        raise UserError(
            str(path), f"is not a whole safetensors file ({error})", "Restore the file"
        ) from None
    return {
        "bytes": path.stat().st_size,
        # integers are no parameters: old checkpoints store positions, too
        "params": sum(types[dtype.stored] for dtype in DTYPES.values()),
        "dtype": ", ".join(n for n, dtype in DTYPES.items() if types[dtype.stored]),
    }
