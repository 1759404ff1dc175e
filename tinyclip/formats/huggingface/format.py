"""Folders of transformers among the formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..format import Format, Job, Opened

WEIGHTS = "model.safetensors"


class HuggingFace(Format):
    """A folder that stock transformers loads."""

    name = "huggingface"
    writes = "a folder that stock transformers loads; a ragged model brings its code"
    loads = (
        "Load it: transformers.AutoModel.from_pretrained('{out}'), as its README.md "
        "says"
    )

    def recognises(self, folder: Path) -> bool:
        from ..describe import config_of

        config = config_of(folder)
        if "format_version" in config or "model_type" not in config:
            return False
        return (folder / WEIGHTS).is_file()  # else shards, or a pickle: for `hf:`

    def write(self, job: Job) -> dict[str, Any]:
        from ..parity import probe_of
        from .export import export_huggingface

        return export_huggingface(job.loaded, job.out, probe_of(job.data), **job.beside)

    def describe(self, folder: Path) -> dict[str, Any]:
        from ..describe import describe_export, read_object
        from .load import shape_of

        shape = shape_of(read_object(folder / "config.json"), str(folder))
        return describe_export(folder, self.name, (WEIGHTS,), shape)

    def load(self, folder: Path, where: str) -> Opened:
        from ..pytorch import open_source

        return open_source(f"hf:{folder}", where)
