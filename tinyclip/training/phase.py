"""What every phase that trains has in common: a student that learns from the teacher.

The loop, the optimiser, the engine and the checkpoints know a phase by what stands
here, and no kind of phase by its class or name. A kind of phase adds modules of its own
(`modules`), how they are trained (`trainables`), and terms of the loss (`objective`).

Legend: B pairs of a batch, E joint embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..config.phases.phase import TrainingSettings
from ..config.place import Place
from ..data.batch import Batch, Batches
from ..losses.objectives import Parts, Weighted, settle, weighted
from ..losses.teachers import Teachers
from ..model.clip import Clip, Features
from ..shapes import TOWERS
from . import unpaired
from .engine import Engine
from .needs import of_student, of_teacher, providers_of, watching
from .needs.provider import Offered, Pass
from .optim import NamedAdamW, Trainable
from .state import State, load_into, pack
from .strategies import Course, made
from .teacher.beside import Beside
from .teacher.live import Teacher, at_least_float32, placed

MAX_LOGIT_SCALE = math.log(100)
SIDES = ("image", "text")


@dataclass(frozen=True)
class Student:
    """How a student is trained, whatever the phase.

    Args:
        scale: logit scale to use in place of its own.
        towers: which are trained; the others stay as they are.
        channels: which channels of the teacher's embedding it has kept; None for all.
        teacher_width: of the teacher's embedding; None for as wide as its own.
        seed: of where the parameters of objectives start.
    """

    scale: float | None = None
    towers: tuple[str, ...] = TOWERS
    channels: tuple[int, ...] | None = None
    teacher_width: int | None = None
    seed: int = 0

    def freeze(self, model: Clip) -> None:
        """Take the towers that stay as they are out of training."""
        for name in set(TOWERS) - set(self.towers):
            getattr(model, name).requires_grad_(False)


def most_scale(model: Clip) -> float:
    """Where the logit scale is kept from growing: at CLIP's 100 (its logarithm), or
    where the model already is; SigLIP's are above."""
    return max(MAX_LOGIT_SCALE, float(model.logit_scale.detach()))


class TrainingPhase:
    """A student that learns from the teacher, step by step.

    Args:
        model: trained in place.
        settings: steps, optimiser and objectives.
        student: how it is trained.
        offered: what objectives that need more than features can have it from.
        beside: who teaches beside the teacher, if anybody.
    """

    name: ClassVar[str]  # in YAML; states and metrics go by it

    def __init__(
        self,
        model: Clip,
        teacher: Teacher,
        engine: Engine,
        settings: TrainingSettings,
        student: Student,
        offered: Offered | None = None,
        beside: Beside | None = None,
    ) -> None:
        self.model: Clip = engine.place(model).train()
        student.freeze(self.model)
        self.most_scale = most_scale(model)
        self.teacher, self.engine, self.student = teacher, engine, student
        self.beside = beside or Beside()
        self.steps, self.optim = settings.steps, settings.optim
        self.objective_lr = settings.objective_lr or settings.optim.lr
        self.losses = self._built(settings, offered)
        self.providers = providers_of(self.losses, offered)
        place = Place().key(self.name).key("strategies")
        course = Course(
            settings.steps,
            None if offered is None else offered.loader,
            self.model.shape.embed_dim,
            engine.world,
        )
        self.strategies = made(settings.strategies, place, course)
        for strategy in self.strategies.values():
            strategy.to(self.model.logit_scale).train()
        self.optimizer = NamedAdamW(self.trainables())

    def _built(
        self, settings: TrainingSettings, offered: Offered | None
    ) -> tuple[Weighted, ...]:
        """The objectives, those with parameters where and as the weights are."""
        width, student = self.model.shape.embed_dim, self.student
        asked = settle(settings.losses, Place().key(self.name).key("losses"))
        losses = []
        for objective in asked:
            made_for: tuple[Any, Any] = width, student.teacher_width or width
            if objective.of_shapes and objective.weight:
                assert offered is not None, f"no shapes for {objective.name}"
                made_for = self.model.shape, offered.running.model.shape
            losses.append(objective.built(*made_for, student.seed))
            module = losses[-1].module
            if module is not None:
                module.to(self.model.logit_scale).train()
        return tuple(losses)

    # what it trains, and what of it resumes

    def objective_modules(self) -> dict[str, nn.Module]:
        """What objectives have of their own; no model that is saved has any of it."""
        return {
            f"objectives.{objective.name}": objective.module
            for objective in self.losses
            if objective.module is not None
        }

    def modules(self) -> dict[str, nn.Module]:
        """All that has a state, by the name that a checkpoint has it under."""
        strategies = {f"strategies.{n}": one for n, one in self.strategies.items()}
        return {"model": self.model, **self.objective_modules(), **strategies}

    def trainables(self) -> tuple[Trainable, ...]:
        """The groups of parameters that it trains: first the student's weights.

        An objective's are trained as they are, but for a rate that may be another, and
        clipped by a norm of their own: they must not shrink the weights' share of it.
        """
        own = replace(self.optim, lr=self.objective_lr)
        return (
            Trainable.of_weights(self.model, self.optim),
            *(
                Trainable.of_weights(module, own, name)
                for name, module in self.objective_modules().items()
            ),
            *(
                trainable
                for name, strategy in self.strategies.items()
                for trainable in strategy.trainables(f"strategies.{name}")
            ),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Everything that resumes, flat."""
        tables = {name: module.state_dict() for name, module in self.modules().items()}
        return pack(tables, self.optimizer.state())

    def load(self, state: State) -> None:
        """Take over what `tensors` gave."""
        for name, module in self.modules().items():
            load_into(module, state.part(name))
        self.optimizer.load(state.optimizer())

    # what one step computes

    def draw(self, loader: Batches, first: int, step: int) -> Batch:
        """The pairs of a step.

        Args:
            first: whole batches that were read before the phase.
        """
        for strategy in self.strategies.values():
            drawn = strategy.draw(loader, first, step)
            if drawn is not None:
                return replace(drawn, unpaired=loader.beside(first + step))
        return loader.batch(first + step)

    def gates(self, _step: int) -> Any:
        """The gates that the student's forward pass goes under; None for none."""
        return None

    def features(self, batch: Batch, step: int) -> Features:
        """The student's features of some pairs, float32 at least."""
        seen = Pass(self.model, batch, step, self.gates(step))
        with self.engine.autocast():
            with watching(self.providers, self.model):
                features = self.model(*placed(batch, self.model), gates=seen.gates)
            more = of_student(self.providers, seen)
            more |= unpaired.of_student(seen)
        for name, strategy in self.strategies.items():
            more |= {f"{name}.{k}": v for k, v in strategy.rows(batch).items()}
        rows = replace(features, more=more).rows()
        return self.with_scale({k: at_least_float32(v) for k, v in rows.items()})

    def teacher_features(self, batch: Batch, step: int) -> tuple[Features, ...]:
        """The teacher's features of some pairs, and what objectives need beside; then
        those of the others that teach in this step."""
        more = of_teacher(self.providers, batch, step)
        features = self.teacher.features(batch)
        first = replace(features, more={**features.more, **more})
        return first, *(one.features(batch) for one in self.beside.at(step))

    def with_scale(self, rows: Mapping[str, Tensor]) -> Features:
        """Rows (`Features.rows`) together with the scale, bias and channels that a loss
        asks for."""
        scale, kept = self.model.logit_scale.exp(), self.student.channels
        if self.student.scale is not None:
            scale = torch.full_like(scale, self.student.scale)
        channels_E = None if kept is None else torch.tensor(kept, device=scale.device)
        more = {name: row for name, row in rows.items() if name not in SIDES}
        image_BE, text_BE = (rows[name] for name in SIDES)
        bias = self.model.logit_bias
        return Features(image_BE, text_BE, scale, bias, channels_E, more)

    def objective(
        self, student: Features, teacher: Teachers, step: int
    ) -> tuple[Tensor, Parts]:
        """The loss of one whole batch and its parts."""
        teachers = teacher if isinstance(teacher, tuple) else (teacher,)
        plain = student
        for strategy in self.strategies.values():
            student, teachers = strategy.sides(student, teachers, step)
        loss, parts = weighted(self.losses, student, teachers)
        for name, strategy in self.strategies.items():
            own = strategy.beside(plain, step)
            if own is not None:
                loss, parts[name] = loss + own, own.detach()
            parts |= {f"{name}.{key}": value for key, value in strategy.told().items()}
        return loss, parts

    def task_loss(self, loss: float, _parts: dict[str, float]) -> float:
        """What of a loss is the task's: the guard watches that alone."""
        return loss

    @torch.no_grad()
    def after(self) -> None:
        """What follows the update: the logit scale is kept where CLIP keeps it."""
        self.model.logit_scale.clamp_(0, self.most_scale)
        for strategy in self.strategies.values():
            strategy.after()

    def record(self) -> dict[str, Any]:
        """Columns of the step's line in `metrics.jsonl` that only this phase knows."""
        return {}
