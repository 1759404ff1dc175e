"""A model directory, written anew from the loaded model and read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import TinyclipError
from ..model.files import write_json
from ..model.store import Loaded, load_model, save_model
from .folder import whole_folder
from .parity import Probe, compare


def export_safetensors(
    loaded: Loaded,
    out: Path,
    probe: Probe,
    *,
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out` as a model directory; returns what its `parity.json` says.

    Args:
        certificate, metrics: of the model, if it has them; they go along.

    Raises:
        UserError: `out` is taken or cannot be written.
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
        )
        for file in inner.iterdir():
            file.replace(draft / file.name)
        inner.rmdir()
        found = {"format": "safetensors", **_read_back(loaded, draft, probe)}
        write_json(draft / "parity.json", found)
    return found


def _read_back(loaded: Loaded, folder: Path, probe: Probe) -> dict[str, Any]:
    again = load_model(folder)
    mine, theirs = loaded.model.state_dict(), again.model.state_dict()
    changed = [n for n, value in mine.items() if not torch.equal(value, theirs[n])]
    if changed:
        raise TinyclipError(f"{changed[0]} did not read back bit for bit")
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    pixels_again = torch.stack([again.preprocess(image) for image in probe.images])
    tokens = loaded.tokenizer(probe.captions), again.tokenizer(probe.captions)
    gaps = compare(loaded.model, again.model, (pixels, pixels_again), tokens)
    return {**gaps, "n": len(probe), "inputs": probe.source, "dtype": "float32"}
