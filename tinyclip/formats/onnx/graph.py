"""From a tower to an ONNX file: pixels or ids in, normalised features out."""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ... import cost
from ...errors import UserError
from ...model.clip import Clip

# Current enough for LayerNormalization and Gelu as one node each; at 23 attention
# becomes one node too, which ONNX Runtime's quantiser cannot read.
OPSET = 20
INPUT = {"image": "pixel_values", "text": "input_ids"}
OUTPUT = {"image": "image_features", "text": "text_features"}
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# a protobuf ends at 2 GiB; weights beyond lie in a file beside
ONE_FILE = 1_800_000_000


class ImageEncoder(nn.Module):
    """Normalised image features."""

    def __init__(self, model: Clip) -> None:
        super().__init__()
        self.clip = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.clip.encode_image(pixel_values, normalize=True)


class TextEncoder(nn.Module):
    """Normalised text features."""

    def __init__(self, model: Clip) -> None:
        super().__init__()
        self.clip = model

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.clip.encode_text(input_ids, normalize=True)


def require_packages(
    where: str = "--to onnx", names: tuple[str, ...] = PACKAGES
) -> None:
    """Check for what the extra `onnx` installs.

    Raises:
        UserError: a package is missing.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            where,
            f"needs {', '.join(missing)}, which is not installed",
            "Install it: pip install 'tinyclip[onnx]'",
        )


def file_of(tower: str) -> str:
    """`image.onnx` or `text.onnx`."""
    return f"{tower}.onnx"


def is_large(model: Clip, tower: str) -> bool:
    """Whether a tower's float32 weights do not fit in one ONNX file."""
    params = cost.tower_params(model.shape.towers()[tower], model.shape.embed_dim)
    return int(params) * cost.FLOAT_BYTES > ONE_FILE


def trace(model: Clip, tower: str, folder: Path) -> Path:
    """Write one tower in float32 as `folder/TOWER.onnx`; its batch stays free.

    Nodes keep the names of the layers they come from, until `strip` takes them off.

    Args:
        model: on the CPU, in float32.
    """
    encoder = ImageEncoder(model) if tower == "image" else TextEncoder(model)
    path = folder / file_of(tower)
    with quiet():
        torch.onnx.export(
            encoder.eval(),
            (_example(model, tower),),
            path,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT[tower]],
            output_names=[OUTPUT[tower]],
            external_data=is_large(model, tower),
            verbose=False,
        )
    return path


def _example(model: Clip, tower: str) -> Tensor:
    """Two inputs of zeros: of one, the exporter would take the batch for a constant."""
    shape = model.shape
    if tower == "image":
        size = shape.image.image_size
        return torch.zeros(2, 3, size, size)
    return torch.zeros(2, shape.text.context_length, dtype=torch.int64)


def layer_of(node: Any) -> str:
    """The layer that a traced node comes from, `image.blocks.3.ffn`; "" if unknown."""
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    scopes = metadata.get("namespace", "").split("/")
    names = [scope.partition(":")[0].strip() for scope in scopes]
    layers = [n.removeprefix("clip.") for n in names if n.startswith("clip.")]
    return layers[-1] if layers else ""


def kind_of(node: Any) -> str:
    """The class of the module that a traced node comes from; "" if unknown."""
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    classes = metadata.get("pkg.torch.onnx.class_hierarchy", "")
    # a list as Python writes it: the modules from the outside in, then the operator
    names = re.findall(r"'([\w.]+)'", classes)
    return names[-2].rpartition(".")[2] if len(names) > 1 else ""


def strip(path: Path) -> None:
    """Take off what the exporter noted for itself: stack traces, with its paths."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (model, graph, *graph.node, *values):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


@contextmanager
def quiet() -> Iterator[None]:
    """The libraries tell every step, some on stdout; only errors are for our users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
