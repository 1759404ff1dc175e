"""The state of a phase: one object, one file, whole or absent.

A checkpoint is `PHASE-STEP.safetensors` with every tensor, and beside it
`PHASE-STEP.json` with the step, where the metrics were and the tensors' SHA-256, sealed
by its own. The JSON is written last, so a checkpoint without one does not exist.
"""

from __future__ import annotations

import hashlib
import logging
import re
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
from ..files import make_folder, read_regular, write_bytes
from ..sealed import UNSEALED, digest_of, read_sealed, write_sealed

log = logging.getLogger("tinyclip")
VERSION = 2
UNSEALED_VERSION = 1  # the same, but for the seal
ENTRY = {
    "version": int,
    "phase": str,
    "step": int,
    "sha256": str,
    "extra": {"offset": int},
}
NAME = re.compile(r"(?P<phase>.+)-(?P<step>\d{8,})\.(json|safetensors)")
DAMAGED = (OSError, ValueError, KeyError, SafetensorError, UserError)


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
        entry = self._entry(state.phase, state.step)
        write_bytes(entry.with_suffix(".safetensors"), content)
        self._seal(entry, state, hashlib.sha256(content).hexdigest())
        for old in self._entries(state.phase)[: -self.keep]:
            self._drop(old)

    def take(self, state: State, made_of: Mapping[str, Any]) -> None:
        """Seal a state that was made of other things as it lies.

        Args:
            made_of: what it is of now, beside what else it remembers.
        """
        entry = self._entry(state.phase, state.step)
        sha256 = digest_of(entry.with_suffix(".safetensors"))
        told = State(state.phase, state.step, {}, {**state.extra, **made_of})
        self._seal(entry, told, sha256)

    def _seal(self, entry: Path, state: State, sha256: str) -> None:
        value = {
            "version": VERSION,
            "phase": state.phase,
            "step": state.step,
            "sha256": sha256,
            "extra": state.extra,
        }
        write_sealed(entry, value)

    def drop_after(self, phase: str, step: int) -> None:
        """Let go of the states of a course that is not followed any more."""
        for entry in self._entries(phase):
            if _step_of(entry) > step:
                self._drop(entry)

    def _drop(self, entry: Path) -> None:
        entry.unlink(missing_ok=True)
        entry.with_suffix(".safetensors").unlink(missing_ok=True)

    def _entry(self, phase: str, step: int) -> Path:
        return self.folder / f"{phase}-{step:08d}.json"

    def _entries(self, phase: str) -> list[Path]:
        """What is there of a phase, the oldest first."""
        entries = [
            path
            for path in self.folder.glob("*.json")
            if (name := NAME.fullmatch(path.name)) and name["phase"] == phase
        ]
        return sorted(entries, key=_step_of)

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
            entries = [e for e in entries if _step_of(e) <= most]
        for entry in reversed(entries):
            try:
                return self._read(entry, phase)
            except DAMAGED as error:
                log.warning("%s: not whole (%s); trying the one before", entry, error)
        if entries:
            raise UserError(
                str(self.folder),
                f"no checkpoint of phase {phase!r} is whole",
                "Redo the stage with --from-stage, or delete the folder to start the "
                "stage again",
            )
        return None

    def _read(self, entry: Path, phase: str) -> State:
        read = read_sealed(entry, ENTRY, "")
        meta = read.value
        if meta["version"] not in (VERSION, UNSEALED_VERSION):
            raise ValueError(
                f"version {meta['version']}, this tinyclip reads {VERSION}"
            )
        if read.fault == UNSEALED and meta["version"] == UNSEALED_VERSION:
            log.warning("%s: %s", entry, UNSEALED)
        elif read.fault:
            raise ValueError(f"it {read.fault}")
        if (meta["phase"], meta["step"]) != (phase, _step_of(entry)):
            raise ValueError("it is of another step than its name says")
        content = read_regular(entry.with_suffix(".safetensors"))
        if hashlib.sha256(content).hexdigest() != meta["sha256"]:
            raise ValueError("its checksum does not match")
        return State(meta["phase"], meta["step"], load_tensors(content), meta["extra"])

    def clear(self) -> None:
        """Let every checkpoint go: the stage is done."""
        for path in sorted(self.folder.glob("*")):
            if NAME.fullmatch(path.name) and not path.is_dir():
                path.unlink()


def _step_of(entry: Path) -> int:
    """The step in the name of a checkpoint's file."""
    return int(entry.stem.rpartition("-")[2])


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a module of exactly the same names and shapes."""
    module.load_state_dict(dict(tensors), strict=True)
