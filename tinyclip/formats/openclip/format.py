"""open_clip's folders among the formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..format import Format, Job, Opened

CONFIG = "open_clip_config.json"


class OpenClip(Format):
    """A folder that stock open_clip loads."""

    name = "openclip"
    writes = "a folder that stock open_clip loads; uniform students only"
    loads = "Load it: open_clip.create_model_and_transforms('local-dir:{out}')"

    def recognises(self, folder: Path) -> bool:
        return (folder / CONFIG).is_file()

    def write(self, job: Job) -> dict[str, Any]:
        from ..parity import probe_of
        from .export import export_openclip

        return export_openclip(job.loaded, job.out, probe_of(job.data), **job.beside)

    def describe(self, folder: Path) -> dict[str, Any]:
        from ..describe import describe_export, read_object
        from .config import shape_of
        from .export import WEIGHTS

        config = read_object(folder / CONFIG)
        shape = shape_of(config.get("model_cfg", {}), str(folder / CONFIG))
        # of one that open_clip saved itself, the second
        names = (WEIGHTS, "model.safetensors")
        return describe_export(folder, self.name, names, shape)

    def load(self, folder: Path, where: str) -> Opened:
        from ..pytorch import open_source

        return open_source(f"openclip:local-dir:{folder}", where)
