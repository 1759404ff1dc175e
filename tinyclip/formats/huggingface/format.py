"""Folders of transformers among the formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..format import Job, Option
from ..pytorch import PytorchFormat

if TYPE_CHECKING:
    from ...model.store import Loaded

WEIGHTS = "model.safetensors"


class HuggingFace(PytorchFormat):
    """A folder that stock transformers loads."""

    name = "huggingface"
    writes = "a folder that stock transformers loads; a ragged model brings its code"
    loads = (
        "Load it: transformers.AutoModel.from_pretrained({source}{trust}), as its "
        "README.md says"
    )
    options = (
        Option(
            "code",
            ("stock", "own"),
            "stock where a stock class holds the student",
            "own brings the student's code, whatever it is",
        ),
    )

    def how_to_load(self, parity: Mapping[str, Any], out: str) -> str:
        from .config import CLASSES
        from .export import TRUST

        trust = "" if parity["class"] in CLASSES.values() else TRUST
        return self.loads.format(source=self.literal(out), trust=trust)

    def recognises(self, folder: Path) -> bool:
        from ..describe import config_of

        config = config_of(folder)
        return "model_type" in config and "format_version" not in config

    def write(self, job: Job) -> dict[str, Any]:
        from ..conversion import probes_for
        from .export import export_huggingface

        probe, more = probes_for(job.loaded.model.shape, job.data)
        code = job.options.get("code")
        return export_huggingface(
            job.loaded, job.out, probe, more=more, code=code, **job.extras
        )

    def describe(self, folder: Path) -> dict[str, Any]:
        from ..describe import describe_export, describe_loaded, read_object
        from .config import shape_of

        if not (folder / WEIGHTS).is_file():  # shards, or a pickle
            return describe_loaded(self.read(folder, "MODEL", {}))
        shape = shape_of(read_object(folder / "config.json"), str(folder))
        return describe_export(folder, self.name, (WEIGHTS,), shape)

    def read(self, folder: Path, where: str, options: Mapping[str, str]) -> Loaded:
        from .load import load_huggingface

        return load_huggingface(str(folder), where, **options)
