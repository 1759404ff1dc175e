"""Device, precision, processes and the backward pass: the only importer of accelerate.

Legend: b pairs of this process, B pairs of all, E joint embedding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from torch import Tensor, distributed, nn

from ..errors import UserError, nearest
from ..model.clip import Clip, Features
from .launch import refuse_lost_processes, refuse_sharding
from .optim import NamedAdamW

PATIENCE = timedelta(hours=12)
PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class Gather(torch.autograd.Function):
    """Rows of all processes, in their order; the gradient comes back to its row.

    Every process computes the whole loss from the same rows, so each holds a gradient
    for every row: backward sums them, and the mean over processes that follows makes
    it one loss again, for parameters on this side of the gather and beyond it alike.
    """

    @staticmethod
    def forward(ctx: Any, rows_bE: Tensor) -> Tensor:  # type: ignore[override]
        ctx.rows = len(rows_bE)
        world = distributed.get_world_size()
        whole_BE = rows_bE.new_empty((world * len(rows_bE), *rows_bE.shape[1:]))
        distributed.all_gather_into_tensor(whole_BE, rows_bE.contiguous())
        return whole_BE

    @staticmethod
    def backward(ctx: Any, gradient_BE: Tensor) -> Tensor:  # type: ignore[override]
        gradient_BE = gradient_BE.contiguous().clone()
        distributed.all_reduce(gradient_BE)
        start = distributed.get_rank() * ctx.rows
        return gradient_BE[start : start + ctx.rows]


def check_tracker(name: str) -> None:
    """Refuse a tracker that cannot start; nothing is started.

    Raises:
        UserError: accelerate has none of that name, or it is not installed.
    """
    names = [str(kind) for kind in LOGGER_TYPE_TO_CLASS]
    if name not in names:
        near = nearest(name, names)
        raise UserError("--log-with", f"unknown tracker {name!r}", near)
    if name not in map(str, get_available_trackers()):
        raise UserError(
            "--log-with", f"{name} is not installed", f"Install it: pip install {name}"
        )


class Engine:
    """This process, its device, and the others.

    Args:
        precision: `fp32`, `bf16` or `fp16` arithmetic; weights stay float32.
        threads: CPU threads, or None for what torch chose.

    Raises:
        UserError: the precision needs another device, or the launch lost processes.
    """

    def __init__(self, precision: str = "fp32", threads: int | None = None) -> None:
        refuse_sharding(os.environ)
        gpu = torch.cuda.is_available()
        if precision == "fp16" and not gpu:
            raise UserError(
                "precision", "fp16 needs a GPU", "Use bf16 or fp32 on a CPU"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        self._accelerator = Accelerator(
            mixed_precision=PRECISIONS[precision],
            cpu=not gpu,
            # one process may measure or cache for hours while the others wait
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
        refuse_lost_processes(self._accelerator.num_processes, os.environ)
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

    @property
    def rank(self) -> int:
        return int(self._accelerator.process_index)

    @property
    def world(self) -> int:
        return int(self._accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            distributed.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the block before the others."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def anywhere(self, flag: bool) -> bool:
        """Whether the flag is up in some process; all get the same answer."""
        if self.world == 1:
            return flag
        highest = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(highest, op=distributed.ReduceOp.MAX)
        return bool(highest.item())

    def summed(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, where it was."""
        if self.world == 1:
            return value
        total = value.detach().to(self.device)
        distributed.all_reduce(total)
        return total.to(value.device)

    def shared(self, model: Clip) -> Clip:
        """The model as the main process has it: what each solved for itself may differ
        in its last digits."""
        if self.world > 1:
            for value in model.state_dict().values():
                sent = value.to(self.device)
                distributed.broadcast(sent, src=0)
                value.copy_(sent)
        return model

    def gathered(self, features: Features) -> Features:
        """The features of all processes, in their order; differentiable."""
        if self.world == 1:
            return features
        gathered = {name: Gather.apply(row) for name, row in features.rows().items()}
        return features.with_rows(gathered)

    def place(self, module: nn.Module) -> Any:
        """The module on this engine's device."""
        return module.to(self.device)

    @contextmanager
    def tuned(self, model: Clip, recompute: bool, compiled: bool) -> Iterator[None]:
        """A model as it is trained: activations made twice instead of kept, towers
        compiled. Afterwards it is as it was."""
        towers = (model.image, model.text)
        for tower in towers:
            tower.blocks.recompute = recompute
            if compiled:
                tower.compile()
        try:
            yield
        finally:
            for tower in towers:
                tower.blocks.recompute = False
                tower._compiled_call_impl = None  # torch has no word for it

    def autocast(self) -> AbstractContextManager[None]:
        """The context of every forward pass."""
        return self._accelerator.autocast()

    def backward(self, loss: Tensor) -> None:
        """The gradient of a loss, scaled as fp16 needs it."""
        self._accelerator.backward(loss)

    def update(self, optimizer: NamedAdamW) -> bool:
        """Mean gradient of all processes, clipping, one optimiser step.

        A group that is not clipped, as gates are, stands outside the others' norm.

        Returns:
            False when the step was skipped, because a gradient is not a number;
            nothing has changed then.
        """
        if optimizer.prepared is None:
            optimizer.prepared = self._accelerator.prepare(optimizer.torch)
        prepared = optimizer.prepared
        groups = [
            (group.clip, group.parameters.values()) for group in optimizer.trainables
        ]
        self._average([value for _, values in groups for value in values])
        self._accelerator.unscale_gradients(prepared)
        sums: list[Tensor] = []
        for clip, values in groups:
            if clip is not None:
                sums.append(nn.utils.clip_grad_norm_(values, clip).double())
            else:
                sums += [v.grad.sum().double() for v in values if v.grad is not None]
        # the norm of no gradient at all is not where the others are
        totals = torch.stack([total.to(self.device) for total in sums])
        finite = bool(totals.isfinite().all())
        # under fp16 the scaler has to see a bad step, to lower its scale
        if finite or self.precision == "fp16":
            prepared.step()
            finite = finite and not prepared.step_was_skipped
        prepared.zero_grad()
        return finite

    def _average(self, parameters: Iterable[Tensor]) -> None:
        """The mean over processes in place of each gradient, in one message."""
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.world
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def tracker(self, name: str, folder: Path, run: str) -> Any:
        """A started tracker of accelerate's.

        Args:
            folder: where one that writes files may write them.

        Raises:
            UserError: accelerate has none of that name, or it is not installed.
        """
        check_tracker(name)
        kind = {str(key): kind for key, kind in LOGGER_TYPE_TO_CLASS.items()}[name]
        try:
            place = (str(folder),) if kind.requires_logging_directory else ()
            tracker = kind(run, *place)
            tracker.start()
        except ImportError as error:
            todo = f"Install it: pip install {name}"
            raise UserError("--log-with", f"{name}: {error}", todo) from None
        return tracker

    def scaler_state(self) -> dict[str, float]:
        """The fp16 loss scaler's state; empty in other precisions."""
        scaler = self._accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def load_scaler(self, state: dict[str, float]) -> None:
        """Take over what `scaler_state` gave."""
        if state and self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state)
