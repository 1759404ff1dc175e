"""open_clip's folders among the formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..format import Job
from ..pytorch import PytorchFormat
from .layout import CONFIG, OWN_WEIGHTS

if TYPE_CHECKING:
    from ...model.store import Loaded


class OpenClip(PytorchFormat):
    """A folder that stock open_clip loads."""

    name = "openclip"
    writes = "a folder that stock open_clip loads; uniform students only"
    loads = "Load it: open_clip.create_model_and_transforms({source})"
    source = "local-dir:{out}"

    def recognises(self, folder: Path) -> bool:
        if not (folder / CONFIG).is_file():
            return False
        from ..describe import config_of

        # where only weights of transformers lie beside it, those are what there is
        own = any((folder / name).is_file() for name in OWN_WEIGHTS)
        return own or "model_type" not in config_of(folder)

    def write(self, job: Job) -> dict[str, Any]:
        from ..conversion import probes_for
        from .export import export_openclip

        probe, more = probes_for(job.loaded.model.shape, job.data)
        return export_openclip(job.loaded, job.out, probe, more=more, **job.extras)

    def describe(self, folder: Path) -> dict[str, Any]:
        from ..describe import describe_export, describe_loaded
        from .agreement import described
        from .folder import config_with_model, weights_at

        shape = described(config_with_model(folder), str(folder / CONFIG))
        file = weights_at(folder)
        if file.suffix != ".safetensors":
            return describe_loaded(self.read(folder, "MODEL", {}))
        return describe_export(folder, self.name, (file.name,), shape)

    def read(self, folder: Path, where: str, options: Mapping[str, str]) -> Loaded:
        from .load import load_openclip

        return load_openclip(f"local-dir:{folder}", where, **options)
