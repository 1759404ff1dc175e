"""A model directory, written anew from the loaded model and read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...dtypes import DTYPES
from ...errors import TinyclipError, UserError
from ...files import write_json
from ...model.repair import folded
from ...model.store import Loaded, load_model, save_model
from ..cosine import compare_cosines, under
from ..folder import moved_up, whole_folder
from ..parity import Probe, compare, with_edges

# the lowest cosine of a feature; rounding alone leaves more than 0.99999 and 0.9999
COSINE = {"float16": 0.9999, "bfloat16": 0.999}


def export_safetensors(
    loaded: Loaded,
    out: Path,
    probe: Probe,
    *,
    dtype: str = "float32",
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out` as a model directory; returns what its `parity.json` says.

    Args:
        dtype: of the stored weights: `float32`, `float16` or `bfloat16`.
        certificate, metrics: of the model, if it has them; they go along.

    Raises:
        UserError: `out` is taken or cannot be written, or the weights do not bear the
            type.
        TinyclipError: what was written does not read back as the same model.
    """
    with whole_folder(out) as draft:
        inner = draft / "whole"
        save_model(
            inner,
            loaded.model,
            loaded.preprocess,
            loaded.tokenizer,
            provenance=loaded.config.get("provenance", {}),
            teacher_sizes=loaded.config.get("teacher_sizes"),
            certificate=certificate,
            metrics=metrics,
            dtype=dtype,
            repair=folded(loaded.config),
        )
        moved_up(inner)
        parity = {"format": "safetensors", **_read_back(loaded, draft, probe, dtype)}
        write_json(draft / "parity.json", parity)
    return parity


def _read_back(
    loaded: Loaded, folder: Path, probe: Probe, dtype: str
) -> dict[str, Any]:
    again = load_model(folder)
    mine, theirs = loaded.model.state_dict(), again.model.state_dict()
    kind = DTYPES[dtype].torch
    for name, value in mine.items():
        if not torch.equal(value.to(kind).to(value.dtype), theirs[name]):
            raise TinyclipError(f"{name} did not read back bit for bit")
    captions = with_edges(probe, loaded.tokenizer).captions
    if not torch.equal(loaded.tokenizer(captions), again.tokenizer(captions)):
        raise TinyclipError("the tokenizer that was written makes other ids")
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    pixels_again = torch.stack([again.preprocess(image) for image in probe.images])
    tokens = loaded.tokenizer(probe.captions), again.tokenizer(probe.captions)
    about_probe = {"n": len(probe), "inputs": probe.source, "dtype": dtype}
    if dtype == "float32":
        return (
            compare(loaded.model, again.model, (pixels, pixels_again), tokens)
            | about_probe
        )
    model = loaded.model.eval().cpu()
    cosines = compare_cosines(model, again.model, (pixels, pixels_again), tokens)
    if wrong := under(cosines["cosine"], COSINE[dtype]):
        raise UserError(
            "--dtype", f"{wrong}. Nothing was written", "Leave --dtype away"
        )
    return cosines | about_probe
