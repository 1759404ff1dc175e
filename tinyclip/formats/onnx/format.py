"""ONNX folders among the formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ..format import Format, Job, Opened, Option

if TYPE_CHECKING:
    from ...model.store import Loaded


class Onnx(Format):
    """Two encoders for ONNX Runtime."""

    name = "onnx"
    writes = "two encoders for ONNX Runtime, in fp32, fp16 or int8"
    loads = "Run it: onnxruntime.InferenceSession({source}), as its README.md says"
    source = "{out}/image.onnx"
    options = (
        Option(
            "precision",
            ("fp32", "fp16", "int8"),
            "fp32",
            "int8 is calibrated on --data",
        ),
    )
    measured = True

    def require(self) -> None:
        from .graph import require_packages

        require_packages()

    def recognises(self, folder: Path) -> bool:
        from .session import is_onnx

        return is_onnx(folder)

    def write(self, job: Job) -> dict[str, Any]:
        from ..parity import apart, probe_of
        from .export import export_onnx

        precision = job.options.get("precision", "fp32")
        probe, others = (
            apart(job.data) if precision == "int8" else (probe_of(job.data), None)
        )
        return export_onnx(
            job.loaded,
            job.out,
            probe,
            precision=precision,
            calibration=others,
            measure=job.measure,
            **job.extras,
        )

    def describe(self, folder: Path) -> dict[str, Any]:
        from .describe import describe_onnx

        return describe_onnx(folder)

    def read(self, folder: Path, where: str, options: Mapping[str, str]) -> Loaded:
        raise UserError(
            where,
            f"{folder} is an export to ONNX, which has no weights to go on with",
            "Name the model that it was made of",
        )

    def load(self, folder: Path, where: str) -> Opened:
        from .session import load_onnx

        loaded = load_onnx(folder)
        config = loaded.config
        size = sum(int(part["bytes"]) for part in config["encoders"].values())
        precision = str(config["precision"])
        return Opened(loaded, "onnxruntime", precision, size, config["sizes"])
