"""A model directory, written again from what was loaded."""

from __future__ import annotations

from pathlib import Path

from ..model.store import Loaded, load_model, save_model
from .parity import Comparison, compare_features, real_inputs


def export_safetensors(loaded: Loaded, out: Path) -> Comparison:
    """Write a model directory and compare what it loads as with what was loaded.

    Raises:
        TinyclipError: the features differ.
    """
    save_model(
        out,
        loaded.model,
        loaded.preprocess,
        loaded.tokenizer,
        provenance=loaded.config.get("provenance", {}),
        teacher_sizes=loaded.config.get("teacher_sizes"),
        certificate=loaded.config.get("certificate"),
        metrics=loaded.config.get("metrics"),
    )
    again = load_model(out)
    inputs = real_inputs(again.preprocess, again.tokenizer)
    return compare_features(loaded.model, again.model, inputs)
