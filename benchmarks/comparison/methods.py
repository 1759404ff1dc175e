"""The methods that are compared: one entry each.

A method is a function from what all have in common and a cell to a recipe of tinyclip,
and how that is executed: as any recipe, or by a loop of its own. One whose phases do
not exist (yet) is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinyclip.config.load import rebuild_ladder
from tinyclip.config.schema import PHASES, Recipe, Stage
from tinyclip.sites import USUAL

from . import original, scratch
from .cells import DATA, LEARNING, Cell
from .job import Job, run_recipe

LAST = 0.4  # share of all steps that the last of several stages gets
GENTLE = 0.5  # of the rate, while masks are learned
MakeRecipe = Callable[[Recipe, Cell], Recipe]


@dataclass(frozen=True)
class Method:
    """One way to a smaller CLIP.

    Args:
        title: as the table names it.
        recipe: from what all have in common and a cell; its data, seed and the like are
            settled already.
        run: executes the recipe; leaves a model directory.
        phases: that must exist for it.
        trains: it is nothing without training.
        rate_of: the method whose learning rate it takes; None searches its own.
    """

    title: str
    recipe: MakeRecipe
    run: Callable[[Job], Path] = run_recipe
    phases: tuple[str, ...] = ()
    trains: bool = False
    rate_of: str | None = None

    def of(self, base: Recipe, cell: Cell) -> Recipe:
        """The recipe of a cell."""
        data = replace(base.data, **_chosen(base, cell.data))
        common = replace(
            base,
            name=cell.method,
            data=data,
            seed=cell.seed,
            evaluate=False,
            cache_teacher="always" if cell.steps else "never",
        )
        return self.recipe(common, cell)


def _chosen(base: Recipe, name: str) -> dict[str, Any]:
    """The settings of `data` by that name, beside what the base leaves out itself."""
    chosen = dict(DATA[name])
    if "exclude" in chosen:
        chosen["exclude"] = (*base.data.exclude, *chosen["exclude"])
    return chosen


def shares(steps: int, stages: int) -> list[int]:
    """The steps of each stage."""
    if stages == 1:
        return [steps]
    earlier = round((1 - LAST) * steps / (stages - 1))
    return [*[earlier] * (stages - 1), steps - earlier * (stages - 1)]


def trained(stage: Stage, phases: tuple[str, ...], steps: int, cell: Cell) -> Stage:
    """A stage with these phases before its distillation, and so many steps in all."""
    learning = round(LEARNING * steps) if "learn" in phases else 0
    rate = cell.rate or stage.distil.optim.lr
    learn, distil = stage.learn, stage.distil
    slow = replace(learn.optim, lr=GENTLE * rate)
    fast = replace(distil.optim, lr=rate)
    return replace(
        stage,
        phases=(*phases, "distil") if steps > learning else phases,
        learn=replace(learn, steps=max(1, learning), optim=slow),
        distil=replace(distil, steps=max(1, steps - learning), optim=fast),
    )


def staged(
    phases: tuple[str, ...],
    stages: int = 1,
    scale: float | None = None,
    losses: Mapping[str, float] | None = None,
    sites: tuple[str, ...] = USUAL,
    **settings: Mapping[str, Any],
) -> MakeRecipe:
    """A recipe of equal steps down, each of these phases and distillation.

    Args:
        scale, losses: of every stage, in place of the base's.
        sites: that may shrink.
        settings: of single phases, `score={"importance": "taylor"}`.
    """

    def recipe(base: Recipe, cell: Cell) -> Recipe:
        descent = rebuild_ladder(base, cell.target, stages)
        made = []
        for stage, steps in zip(
            descent.stages, shares(cell.steps, stages), strict=True
        ):
            stage = replace(stage, scale=scale, sites=sites)
            stage = trained(stage, phases, steps, cell)
            if losses is not None:
                stage = replace(
                    stage, distil=replace(stage.distil, losses=dict(losses))
                )
            changed = {
                name: replace(getattr(stage, name), **values)
                for name, values in settings.items()
            }
            made.append(replace(stage, **changed))
        return replace(descent, stages=tuple(made))

    return recipe


def _scored(importance: str, stages: int = 1) -> MakeRecipe:
    return staged(("score", "inherit"), stages, score={"importance": importance})


def _of_phases(
    title: str,
    phases: tuple[str, ...],
    stages: int = 1,
    rate_of: str | None = None,
    **settings: Any,
) -> Method:
    recipe = staged(phases, stages, **settings)
    trains = "learn" in phases
    return Method(title, recipe, phases=phases, trains=trains, rate_of=rate_of)


CUT = ("rotate", "allocate", "inherit", "solve")
IN_BASIS = ("rotate", "learn", "inherit", "solve")
PLAIN = ("learn", "inherit")
DIRECTIONS = ("dims", "ffn", "embed")  # what shrinks in the basis
# gates choose, and what they chose is solved anew
CHOOSING: Mapping[str, Any] = {"train_weights": False, "init": "carried"}

METHODS: dict[str, Method] = {
    # ours: the closed form, alone at 0 steps and with distillation
    "cut": _of_phases("re-based", CUT, sites=DIRECTIONS),
    "cut-3": _of_phases("re-based, 3 stages", CUT, 3, rate_of="cut", sites=DIRECTIONS),
    "basis": _of_phases(
        "gates in the basis", IN_BASIS, sites=DIRECTIONS, learn=CHOOSING
    ),
    "basis-3": _of_phases(
        "gates in the basis, 3 stages",
        IN_BASIS,
        3,
        rate_of="basis",
        sites=DIRECTIONS,
        learn=CHOOSING,
    ),
    # gates and weights learned together in the basis, nothing solved
    "basis-soft": _of_phases(
        "gates and weights in the basis",
        ("rotate", *PLAIN),
        rate_of="cut",
        sites=DIRECTIONS,
        learn={"init": "carried"},
    ),
    # what it is compared with
    "magnitude": Method("magnitude", _scored("magnitude")),
    "magnitude-3": Method(
        "magnitude, 3 stages", _scored("magnitude", 3), rate_of="magnitude"
    ),
    "taylor": Method("Taylor", _scored("taylor")),
    "taylor-3": Method("Taylor, 3 stages", _scored("taylor", 3), rate_of="taylor"),
    "hessian": Method("Hessian", _scored("hessian")),
    "hessian-3": Method("Hessian, 3 stages", _scored("hessian", 3), rate_of="hessian"),
    "gates": _of_phases("gates, 1 stage", PLAIN),
    "gates-3": _of_phases("gates, 3 stages", PLAIN, 3, rate_of="gates"),
    "manual": Method(
        "by hand + affinity",
        staged(("manual", "inherit"), scale=50.0, losses={"affinity": 1.0}),
    ),
    "scratch": Method(
        "from scratch, open_clip's distillation",
        scratch.recipe,
        scratch.run,
        trains=True,
    ),
    "original": Method(
        "TinyCLIP as published", original.recipe, original.run, trains=True
    ),
}


def available() -> dict[str, Method]:
    """Those whose phases exist."""
    return {
        name: method
        for name, method in METHODS.items()
        if set(method.phases) <= set(PHASES)
    }
