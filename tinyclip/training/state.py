"""The state of a phase: one object, one file, whole or absent.

A checkpoint is `PHASE-STEP.safetensors` with every tensor, and beside it
`PHASE-STEP.json` with the step, the shape and the tensors' SHA-256. The JSON is written
last, so a checkpoint without one does not exist.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..errors import UserError
from ..files import make_folder, write_bytes, write_json

log = logging.getLogger("tinyclip")
VERSION = 1


@dataclass(frozen=True)
class State:
    """Everything that a phase needs to go on.

    Args:
        phase: which phase.
        step: how many steps are done.
        tensors: of its modules and of the optimiser's moments, by dotted name.
        extra: what is not a tensor: shape, metrics offset, loss scaler.
    """

    phase: str
    step: int
    tensors: dict[str, Tensor]
    extra: dict[str, Any] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix.`, the prefix taken off."""
        start = prefix + "."
        return {
            name.removeprefix(start): value
            for name, value in self.tensors.items()
            if name.startswith(start)
        }

    def optimizer(self) -> dict[str, dict[str, Tensor]]:
        """The optimiser's moments as `NamedAdamW.load` takes them."""
        kinds = ("exp_avg", "exp_avg_sq", "step")
        return {kind: self.part(f"optimizer.{kind}") for kind in kinds}


def pack(
    modules: Mapping[str, Mapping[str, Tensor]],
    optimizer: Mapping[str, Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """Flat tensors of a state, on the CPU and contiguous.

    Args:
        modules: what each has to save, by the module's name.
        optimizer: moments and step counts, by kind.
    """
    tables = dict(modules)
    tables.update({f"optimizer.{kind}": table for kind, table in optimizer.items()})
    return {
        f"{prefix}.{name}": value.detach().cpu().contiguous()
        for prefix, table in tables.items()
        for name, value in table.items()
    }


class Checkpoints:
    """The checkpoints of one stage.

    Args:
        folder: where they lie.
        keep: how many of each phase stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, state: State) -> None:
        """Write a state, then let the oldest of its phase go."""
        make_folder(self.folder)
        content = save_tensors(state.tensors)
        path = self.folder / f"{state.phase}-{state.step:08d}.safetensors"
        write_bytes(path, content)
        entry = {
            "version": VERSION,
            "phase": state.phase,
            "step": state.step,
            "sha256": hashlib.sha256(content).hexdigest(),
            "extra": state.extra,
        }
        write_json(path.with_suffix(".json"), entry)
        for old in self._entries(state.phase)[: -self.keep]:
            old.unlink(missing_ok=True)
            old.with_suffix(".safetensors").unlink(missing_ok=True)

    def drop_after(self, phase: str, step: int) -> None:
        """Let go of the states of a course that is not followed any more."""
        for entry in self._entries(phase):
            if int(entry.stem.rpartition("-")[2]) > step:
                entry.unlink()
                entry.with_suffix(".safetensors").unlink(missing_ok=True)

    def _entries(self, phase: str) -> list[Path]:
        return sorted(self.folder.glob(f"{phase}-*.json"))

    def latest(self, phase: str, most: int | None = None) -> State | None:
        """The newest whole state of a phase, or None when none was ever written.

        Args:
            most: not one after this step.

        A torn or changed file falls back to the one before, and the log says so.

        Raises:
            UserError: there are states, and not one of them is whole.
        """
        entries = self._entries(phase)
        if most is not None:
            entries = [e for e in entries if int(e.stem.rpartition("-")[2]) <= most]
        for entry in reversed(entries):
            try:
                return self._read(entry)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                log.warning("%s: not whole (%s); trying the one before", entry, error)
        if entries:
            raise UserError(
                str(self.folder),
                f"no checkpoint of phase {phase!r} is whole",
                "Redo the stage with --from-stage, or delete the folder to start the "
                "stage again",
            )
        return None

    def _read(self, entry: Path) -> State:
        meta = json.loads(entry.read_text())
        if meta["version"] != VERSION:
            raise ValueError(
                f"version {meta['version']}, this tinyclip reads {VERSION}"
            )
        content = entry.with_suffix(".safetensors").read_bytes()
        if hashlib.sha256(content).hexdigest() != meta["sha256"]:
            raise ValueError("its checksum does not match")
        return State(meta["phase"], meta["step"], load_tensors(content), meta["extra"])

    def clear(self) -> None:
        """Let every checkpoint go: the stage is done."""
        for path in sorted(self.folder.glob("*")):
            path.unlink()


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a module of exactly the same names and shapes."""
    module.load_state_dict(dict(tensors), strict=True)
