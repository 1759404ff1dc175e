"""Device, precision and the backward pass: the only importer of accelerate."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..errors import UserError
from .optim import NamedAdamW

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class Engine:
    """One process on one device.

    Args:
        precision: `fp32`, `bf16` or `fp16` arithmetic; weights stay float32.
        threads: CPU threads, or None for what torch chose.

    Raises:
        UserError: the precision needs another device, or there are several processes.
    """

    def __init__(self, precision: str, threads: int | None = None) -> None:
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if launched > 1:
            raise UserError(
                "WORLD_SIZE",
                f"{launched} processes were launched, and this version trains in one",
                "Start `tinyclip compress` by itself",
            )
        if precision == "fp16" and not torch.cuda.is_available():
            raise UserError(
                "precision", "fp16 needs a GPU", "Use bf16 or fp32 on a CPU"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        self._accelerator = Accelerator(mixed_precision=PRECISIONS[precision])
        self.precision = precision
        if self.device.type == "cuda":
            # law 3: the same run gives the same bytes
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)

    @property
    def device(self) -> torch.device:
        return self._accelerator.device

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    def place(self, module: nn.Module) -> Any:
        """The module on this engine's device."""
        return module.to(self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """The context of every forward pass."""
        return self._accelerator.autocast()

    def update(self, loss: Tensor, optimizer: NamedAdamW) -> bool:
        """Backward pass, clipping of the weights' gradient, one optimiser step.

        The gates stand outside the clipping: their gradient comes mostly from the
        budget, and must not shrink the weights' share of the norm.

        Returns:
            False when the step was skipped, because the loss or a gradient is not a
            number; nothing has changed then.
        """
        if optimizer.prepared is None:
            optimizer.prepared = self._accelerator.prepare(optimizer.torch)
        prepared = optimizer.prepared
        self._accelerator.backward(loss)
        self._accelerator.unscale_gradients(prepared)
        norm = nn.utils.clip_grad_norm_(optimizer.weights.values(), optimizer.clip)
        gates = [g.grad.sum() for g in optimizer.gates.values() if g.grad is not None]
        whole = bool(
            torch.stack([loss.detach().float(), norm.float(), *gates]).isfinite().all()
        )
        # under fp16 the scaler has to see a bad step, to lower its scale
        if whole or self.precision == "fp16":
            prepared.step()
            whole = whole and not prepared.step_was_skipped
        prepared.zero_grad()
        return whole

    def scaler_state(self) -> dict[str, float]:
        """The fp16 loss scaler's state; empty in other precisions."""
        scaler = self._accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def load_scaler(self, state: dict[str, float]) -> None:
        """Take over what `scaler_state` gave."""
        if state and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state)
