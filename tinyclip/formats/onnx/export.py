"""Two ONNX encoders that run without tinyclip, compared in ONNX Runtime.

Legend: B batch, T tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from ...errors import TinyclipError, UserError
from ...files import write_bytes, write_json
from ...model.card import model_card
from ...model.clip import Clip
from ...model.store import Loaded, describe
from ..cosine import compare_cosines, under
from ..folder import check_free, whole_folder
from ..format import Measure
from ..parity import Probe, with_edges
from .card import usage
from .graph import (
    INPUT,
    OPSET,
    OUTPUT,
    file_of,
    is_large,
    require_packages,
    strip,
    trace,
)
from .half import halve
from .int8 import quantise
from .session import Feed, load_onnx
from .write_tokenizer import write_tokenizer_json

log = logging.getLogger("tinyclip")
PRECISIONS = ("fp32", "fp16", "int8")
COSINE = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.98}  # the lowest of any input
POINTS = {"fp32": 0.2, "fp16": 0.5, "int8": 2.0}  # that a task may change by


def export_onnx(
    loaded: Loaded,
    out: Path,
    probe: Probe,
    *,
    precision: str = "fp32",
    calibration: Probe | None = None,
    measure: Measure | None = None,
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out` with `image.onnx` and `text.onnx`; returns what its `parity.json`
    says.

    Args:
        precision: `fp32`, `fp16` or `int8`.
        calibration: the pairs that give int8 its ranges; the probe's without them.
        measure: tells the quality of a model, if the two are to be compared by it.
        certificate, metrics: of the model, if it has them; the card shows them.

    Raises:
        UserError: a package is missing; `out` is taken or cannot be written; the model
            does not bear the precision.
        TinyclipError: in float32 ONNX Runtime does not make the same features.
    """
    require_packages()
    check_free(out)
    model = loaded.model.eval().cpu().float()
    _check_size(model, precision)
    feeds = _feeds(loaded, probe)
    ranges = _feeds(loaded, calibration) if calibration else feeds
    with whole_folder(out) as draft:
        conversions: dict[str, Any] = {}
        for tower, feed in feeds.items():
            path = trace(model, tower, draft)
            if precision == "fp16":
                conversions[tower] = halve(path, feed, COSINE[precision])
            elif precision == "int8":
                bound = COSINE[precision]
                conversions[tower] = quantise(path, feed, ranges[tower], bound)
            strip(path)
        captions = with_edges(probe, loaded.tokenizer).captions
        ids = write_tokenizer_json(loaded.tokenizer, model.shape.text, captions, draft)
        write_json(draft / "config.json", _config(loaded, precision, draft))
        parity: dict[str, Any] = {"format": "onnx", "precision": precision}
        parity |= _read_back(loaded, draft, feeds, precision)
        parity |= {"n": len(probe), "inputs": probe.source}
        parity |= {"captions": len(captions), "captions_with_equal_ids": ids}
        if conversions:
            parity[precision] = conversions
        if measure is not None:
            parity["tasks"] = _compare_tasks(loaded, draft, precision, measure)
        write_json(draft / "parity.json", parity)
        told = describe(loaded), certificate, metrics
        card = model_card(*told, usage(loaded, parity), library="onnx")
        write_bytes(draft / "README.md", card.encode())
    return parity


def _check_size(model: Clip, precision: str) -> None:
    large = [tower for tower in INPUT if is_large(model, tower)]
    if large and precision != "fp32":
        raise UserError(
            f"--precision {precision}",
            f"the {large[0]} tower is over 1.8 GB, which the converters of ONNX "
            "Runtime cannot hold",
            "Export with --precision fp32, or a smaller student",
        )


def _feeds(loaded: Loaded, probe: Probe) -> dict[str, Feed]:
    """The inputs of both encoders."""
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    tokens_BT = loaded.tokenizer(probe.captions)
    if tokens_BT.shape[1] < loaded.model.shape.text.context_length:
        # the encoder takes rows of full length; what is padded follows the end
        more = loaded.model.shape.text.context_length - tokens_BT.shape[1]
        tokens_BT = F.pad(tokens_BT, (0, more))
    values = {"image": pixels.float(), "text": tokens_BT.long()}
    return {tower: {INPUT[tower]: values[tower].numpy()} for tower in INPUT}


def _config(loaded: Loaded, precision: str, folder: Path) -> dict[str, Any]:
    """What the folder's `config.json` says: all that a runtime needs to know."""
    model, shape = loaded.model, loaded.model.shape
    size = shape.image.image_size
    inputs = {
        "image": {"shape": ["batch", 3, size, size], "dtype": "float32"},
        "text": {"shape": ["batch", shape.text.context_length], "dtype": "int64"},
    }
    encoders = {
        tower: {
            "file": file_of(tower),
            "input": {"name": INPUT[tower], **inputs[tower]},
            "output": {
                "name": OUTPUT[tower],
                "shape": ["batch", shape.embed_dim],
                "dtype": "float32",
                "normalized": True,
            },
            "bytes": sum(f.stat().st_size for f in folder.glob(f"{tower}.onnx*")),
        }
        for tower in INPUT
    }
    bias = model.logit_bias
    described = describe(loaded)
    described.pop("dtype", None)  # of a model directory's weights
    return {
        **described,
        "format": "onnx",
        "precision": precision,
        "opset": OPSET,
        "encoders": encoders,
        "logit_scale": float(model.logit_scale.detach().exp()),
        "logit_bias": None if bias is None else float(bias.detach()),
    }


def _read_back(
    loaded: Loaded, folder: Path, feeds: Mapping[str, Feed], precision: str
) -> dict[str, Any]:
    """Run the written files at several batch sizes and compare with our features.

    Raises:
        TinyclipError, UserError: a cosine is under the bound.
    """
    pixels, tokens_BT = (
        torch.from_numpy(feeds[tower][name]) for tower, name in INPUT.items()
    )
    again = load_onnx(folder).model
    inputs = (pixels, pixels), (tokens_BT, tokens_BT)
    cosines = compare_cosines(loaded.model, again, *inputs)
    if wrong := under(cosines["cosine"], COSINE[precision]):
        _refuse(precision, wrong)
    return cosines


def _compare_tasks(
    loaded: Loaded, folder: Path, precision: str, measure: Measure
) -> dict[str, Any]:
    """Both models' quality, and the largest change in points.

    Of a few hundred pairs one is more than the bound: one may change then.

    Raises:
        TinyclipError, UserError: a value changes by more.
    """
    ours, n = measure(loaded)
    theirs, _ = measure(load_onnx(folder))
    points = {name: 100 * (theirs[name] - value) for name, value in ours.items()}
    bound = max(POINTS[precision], 100 / n)
    for name, change in points.items():
        if not abs(change) <= bound + 1e-9:
            _refuse(
                precision,
                f"{name} goes from {100 * ours[name]:.2f} to {100 * theirs[name]:.2f} "
                f"%, and {bound:.2f} points are allowed (n = {n})",
            )
    worst = max(map(abs, points.values()), default=0.0)
    return {"ours": dict(ours), "onnx": dict(theirs), "n": n, "largest_change": worst}


def _refuse(precision: str, what: str) -> None:
    if precision == "fp32":
        raise TinyclipError(
            f"the export is not the same model: {what}. Nothing was written. This is "
            "a bug, or weights that are not finite"
        )
    todo = "--precision fp32" if precision == "fp16" else "--precision fp16"
    raise UserError(
        f"--precision {precision}",
        f"{what}. Nothing was written",
        f"Export with {todo}"
        + (", or calibrate on data of your own with --data" * (precision == "int8")),
    )
