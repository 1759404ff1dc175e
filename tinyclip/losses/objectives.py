"""The registry of objectives, and the weighted sum that a recipe asks for.

An objective takes the student's and the teacher's features of one batch and returns its
loss and the parts worth logging beside it. One with options has a third argument,
`options`, whose default is an instance of their class:

    @objectives.register("affinity")
    def affinity(student, teacher, options: Affinity = Affinity()): ...

One with parameters of its own is a module, made for the widths of the student's and the
teacher's embedding; its forward pass is what a function would be:

    @objectives.register("projected")
    class Projected(nn.Module):
        def __init__(self, student, teacher, options: Projected = Projected()): ...
        def forward(self, student, teacher): ...

One that looks into the towers is made for both models' shapes (`shapes=True`).

Its parameters start from (seed, stage, name), anew in each phase: learn's have the
width before the cut. They are trained as the weights are (rate, schedule, decay),
clipped by a norm of their own, saved and resumed with the phase under
`objectives.NAME`, and in no model that is saved. The forward pass must not depend on
chance (no dropout): a resume would not repeat it.

What it needs beside the features of a batch it says there too (`needs`), and whether
it looks at each modality alone: such a one is given pictures and texts that have no
pair, too (`unpaired`), and its image side may have other rows, and more, than the text
side.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, Literal, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

from ..config.check import resolve
from ..config.objectives import WEIGHT, Asked, options_of, weight_of
from ..config.place import Place
from ..config.schema import Recipe, Stage
from ..errors import UserError
from ..model.clip import Features
from ..registry import Registry
from .needs import Need
from .precise import precise
from .sparsity import PENALTY
from .teachers import Teachers, under_each
from .unpaired import joined

Parts: TypeAlias = dict[str, Tensor]
Loss: TypeAlias = Callable[[Features, Features], tuple[Tensor, Parts]]
Objective: TypeAlias = Callable[..., tuple[Tensor, Parts]] | type[nn.Module]

MakeNeed: TypeAlias = Callable[..., Need]
Compared: TypeAlias = Literal["embeddings", "distributions"]

Kind = TypeVar("Kind", bound=Objective)


class Objectives(Registry[Objective]):
    """Functions and modules; each keeps its own type."""

    def __init__(self) -> None:
        super().__init__("objective", reserved=(PENALTY,))
        self.needs: dict[str, MakeNeed] = {}
        self.of_shapes: set[str] = set()
        self.each_modality: set[str] = set()
        self.compared: dict[str, Compared] = {}

    def register(
        self,
        name: str,
        need: MakeNeed | None = None,
        shapes: bool = False,
        each_modality: bool = False,
        compares: Compared | None = None,
    ) -> Callable[[Kind], Kind]:
        """As `Registry.register`.

        Args:
            need: what it needs beside the features, made of its options if it has any.
            shapes: its module is made for the shapes of student and teacher, and not
                for the widths of their embeddings.
            each_modality: it looks at pictures alone and at texts alone.
            compares: what of the teacher's it looks at, where it matters to others:
                its embeddings themselves, which no teacher of another make has, or
                a distribution of each sample (`products.compared`).
        """
        if each_modality:
            self.each_modality.add(name)
        if compares is not None:
            self.compared[name] = compares
        if need is not None:
            self.needs[name] = need
        if shapes:
            self.of_shapes.add(name)
        return cast(Callable[[Kind], Kind], super().register(name))

    def need(self, name: str, arguments: Mapping[str, Any]) -> Need | None:
        """What the objective of a name needs, called with these arguments beside the
        features."""
        make = self.needs.get(name)
        return None if make is None else make(*arguments.values())


objectives = Objectives()


@dataclass(frozen=True)
class Weighted:
    """One objective as a recipe asks for it.

    Args:
        loss: of the student's and the teacher's features, its options settled; None
            of one with parameters until it is `built`.
        make: of one with parameters: its module for the widths of both embeddings.
        need: what it needs beside the features of a batch, if anything.
        of_shapes: it is made for the shapes of both models instead.
        each_modality: whether it is given what has no pair, too.
    """

    name: str
    weight: float
    loss: Loss | None
    make: Callable[[Any, Any], nn.Module] | None = None
    need: Need | None = None
    of_shapes: bool = False
    each_modality: bool = False

    @property
    def sees_unpaired(self) -> bool:
        """Whether what has no pair is of any use to it."""
        return self.each_modality and self.weight != 0

    @property
    def module(self) -> nn.Module | None:
        """What of it learns."""
        return self.loss if isinstance(self.loss, nn.Module) else None

    def built(self, student: Any, teacher: Any, seed: int) -> Weighted:
        """It with its parameters, if it has any; one of weight 0 needs none.

        They start as a function of seed and name; torch's generator stays untouched.

        Args:
            student, teacher: widths of the embeddings; the models' shapes for one that
                is made for these.
        """
        if self.make is None or self.weight == 0:
            return self
        digest = sha256(f"{seed}/{self.name}".encode()).digest()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int.from_bytes(digest[:6], "big"))
            return replace(self, loss=self.make(student, teacher))


def options_class(objective: Objective) -> type | None:
    """The class of an objective's options, if it has any."""
    options = inspect.signature(objective).parameters.get("options")
    return None if options is None else type(options.default)


def settle(losses: Mapping[str, Asked], where: Place) -> tuple[Weighted, ...]:
    """The objectives of a recipe, their options checked.

    Args:
        where: the `losses` that name them.

    Raises:
        UserError: an objective or an option that does not exist, or an option that is
            out of bounds.
    """
    settled = []
    for name, asked in losses.items():
        objective = objectives.get(name, str(where))
        options = _options(name, objective, asked, where.key(name))
        weight, need = weight_of(asked), objectives.need(name, options)
        each = name in objectives.each_modality
        if isinstance(objective, type):
            make = partial(objective, **options)
            of_shapes = name in objectives.of_shapes
            one = Weighted(name, weight, None, make, need, of_shapes, each)
        else:
            loss = partial(objective, **options)
            one = Weighted(name, weight, loss, need=need, each_modality=each)
        settled.append(one)
    return tuple(settled)


def _options(
    name: str, objective: Objective, asked: Asked, where: Place
) -> dict[str, Any]:
    """What an objective is called with beside the features."""
    named = options_of(asked)
    kind = options_class(objective)
    if kind is not None:
        return {"options": resolve(kind, named, where)}
    if named:
        raise UserError(
            str(where),
            f"unknown key {next(iter(named))!r}",
            f"The objective {name} has a {WEIGHT} and no options",
        )
    return {}


def check_objectives(asked: Recipe | Stage, where: Place) -> None:
    """Refuse objectives and options that do not exist, of any phase of any stage.

    Raises:
        UserError: as `settle`.
    """
    if isinstance(asked, Recipe):
        for number, stage in enumerate(asked.stages):
            check_objectives(stage, where.key("stages").item(number))
        return
    for name, phase in asked.every_phase().items():
        settle(phase.objectives, where.key(name).key("losses"))


def weighted(
    losses: Mapping[str, Asked] | tuple[Weighted, ...],
    student: Features,
    teacher: Teachers,
) -> tuple[Tensor, Parts]:
    """The weighted sum of objectives, and every part by name.

    An objective of weight 0 is not computed. Features are taken as float32 at least and
    autocast is off: sums over a batch of products up to 100 are none of float16's.

    Args:
        losses: as a recipe has them (`{"mimic": 1.0}`), or settled (and built) already.
        teacher: one's features, or those of several: an objective is then the mean of
            its values (`losses.teachers`).

    Returns:
        The loss, and parts: each objective's unweighted value under its name and what
        it logs beside it (`affinity_kl`, `feature.image`, ...).

    Raises:
        UserError: as `settle`; an objective has parameters, and they were not made.
    """
    if isinstance(losses, Mapping):
        losses = settle(losses, Place(path="losses"))
    device = student.image_BE.device
    teachers = teacher if isinstance(teacher, tuple) else (teacher,)
    with torch.autocast(device.type, enabled=False):
        return _sum(losses, precise(student), tuple(map(precise, teachers)))


def _sum(
    losses: tuple[Weighted, ...], student: Features, teachers: tuple[Features, ...]
) -> tuple[Tensor, Parts]:
    total = torch.zeros((), device=student.image_BE.device)
    parts: Parts = {}
    pairs, each = (student, teachers), (joined(student), tuple(map(joined, teachers)))
    for objective in losses:
        if objective.weight == 0:
            continue
        if objective.loss is None:
            raise UserError(
                f"losses.{objective.name}",
                "has parameters, which somebody has to keep and train",
                "Settle the losses and build each of them first",
            )
        rows = each if objective.each_modality else pairs
        loss, logged = under_each(objective.loss, *rows)
        total = total + objective.weight * loss
        parts[objective.name] = loss.detach()
        for key, value in logged.items():
            part = key if key.startswith(objective.name) else f"{objective.name}.{key}"
            parts[part] = value
    return total, parts
