"""Our own model directory among the formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...dtypes import SHORT
from ...errors import UserError
from ..format import FOREIGN, Job, Option
from ..pytorch import PytorchFormat

if TYPE_CHECKING:
    from ...model.store import Loaded


class Safetensors(PytorchFormat):
    """A model directory, as a run's stages have it."""

    name = "safetensors"
    writes = "a model directory of tinyclip, its weights in float32 or a half type"
    loads = "Load it: model, preprocess, tokenizer = tinyclip.load({source})"
    options = (Option("dtype", tuple(SHORT), "fp32"),)

    def recognises(self, folder: Path) -> bool:
        from ..describe import config_of

        config = config_of(folder)
        return "format_version" in config and "format" not in config

    def write(self, job: Job) -> dict[str, Any]:
        from ..parity import probe_of
        from .export import export_safetensors

        dtype = SHORT[job.options.get("dtype", "fp32")].name
        probe = probe_of(job.data)
        return export_safetensors(job.loaded, job.out, probe, dtype=dtype, **job.extras)

    def describe(self, folder: Path) -> dict[str, Any]:
        from ...model.repair import FILE
        from ...model.store import WEIGHTS, load_model
        from ..beside import read_certificate
        from ..describe import counts, read_header

        loaded = load_model(folder)
        header = read_header(folder / WEIGHTS)
        beside = folder / FILE  # a map that repairs what the weights make
        size = header["bytes"] + (beside.stat().st_size if beside.exists() else 0)
        described = counts(loaded.model.shape, loaded.config, size)
        certificate = read_certificate(folder)
        return {**described, "certificate": certificate, "dtype": header["dtype"]}

    def read(self, folder: Path, where: str, options: Mapping[str, str]) -> Loaded:
        from ...model.store import load_model

        if options:
            raise UserError(where, f"{folder} has its own tokenizer", FOREIGN)
        return load_model(folder)
