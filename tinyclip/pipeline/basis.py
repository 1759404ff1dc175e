"""What the members of a family share: the turned teacher, and what was measured on it.

It lies in the run's folder, each part as a file of tensors and one of plain values
beside it, which is written last and has the checksum of both. A part that is absent,
torn or of something else is made anew, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..config.load import fingerprint
from ..errors import UserError
from ..files import make_folder, read_json, read_regular, write_bytes, write_json
from ..inherit.search import Curve
from ..model.clip import Clip
from ..model.weights import fill
from ..shapes import shape_from_dict, shape_to_dict

log = logging.getLogger("tinyclip")
PLAIN = (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError)
DAMAGED = (*PLAIN, SafetensorError, UserError)


@dataclass(frozen=True)
class Turned:
    """The teacher in its principal bases.

    Args:
        told: what `rotation.json` says: the certificate, and the spectra.
    """

    model: Clip
    told: dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What a search leans on, whatever size it looks for.

    Args:
        scores: what units carry, (U,), by site name.
        judged: how many students told the curves.
    """

    scores: dict[str, Tensor]
    curves: dict[str, Curve]
    judged: int


class Basis:
    """The shared parts of a family on disk.

    Args:
        folder: where they lie; need not exist yet.
        made_of: fingerprint of the run's inputs and of the settings that stages share.
    """

    def __init__(self, folder: Path, made_of: str) -> None:
        self.folder, self.made_of = folder, made_of

    def turned(self, settings: Mapping[str, Any]) -> Turned | None:
        """The turned teacher, or None where there is none of these settings."""
        read = self._read("turned", settings)
        if read is None:
            return None
        tensors, values = read
        model = Clip(shape_from_dict(values["shape"]))
        fill(model, tensors, str(self.folder))
        return Turned(model.eval(), values["told"])

    def keep_turned(self, settings: Mapping[str, Any], turned: Turned) -> None:
        """Write it."""
        values = {"shape": shape_to_dict(turned.model.shape), "told": turned.told}
        self._write("turned", settings, turned.model.state_dict(), values)

    def measured(self, settings: Mapping[str, Any]) -> Measured | None:
        """What was measured, or None where nothing was by these settings."""
        read = self._read("measured", settings)
        if read is None:
            return None
        scores, values = read
        curves = {
            name: Curve(tuple((lost, error) for lost, error in points))
            for name, points in values["curves"].items()
        }
        return Measured(scores, curves, values["judged"])

    def keep_measured(self, settings: Mapping[str, Any], measured: Measured) -> None:
        """Write it."""
        curves = {name: curve.points for name, curve in measured.curves.items()}
        values = {"curves": curves, "judged": measured.judged}
        self._write("measured", settings, measured.scores, values)

    def _made_of(self, settings: Mapping[str, Any]) -> str:
        return fingerprint({"made_of": self.made_of, "settings": dict(settings)})

    def _write(
        self,
        part: str,
        settings: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        values: Mapping[str, Any],
    ) -> None:
        make_folder(self.folder)
        plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        content = save_tensors(plain)
        told = self.folder / f"{part}.json"
        told.unlink(missing_ok=True)  # it speaks of the tensors that were
        write_bytes(told.with_suffix(".safetensors"), content)
        entry = {"made_of": self._made_of(settings), "values": dict(values)}
        write_json(told, {**entry, "sha256": _digest(content, entry)})

    def _read(
        self, part: str, settings: Mapping[str, Any]
    ) -> tuple[dict[str, Tensor], Any] | None:
        told = self.folder / f"{part}.json"
        if not told.exists():
            return None
        try:
            entry = read_json(told)
            checksum = entry.pop("sha256")
            if entry["made_of"] != self._made_of(settings):
                return None
            content = read_regular(told.with_suffix(".safetensors"))
            if _digest(content, entry) != checksum:
                raise ValueError("its checksum is wrong")
            return load_tensors(content), entry["values"]
        except DAMAGED as error:
            log.warning("%s: not readable (%s); made anew", told, error)
            return None


def _digest(content: bytes, entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, sort_keys=True, allow_nan=False)
    return hashlib.sha256(content + text.encode()).hexdigest()
