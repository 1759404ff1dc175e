"""What decides which stage runs next, and what a folder may be used for."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..config.schema import Recipe
from ..data.broken import table_of_kinds
from ..data.kept import looking
from ..errors import UserError
from ..files import drop_drafts, refuse_unwritable
from ..leaving import going_on
from ..training.engine import Engine, check_tracker
from ..training.loop import Watcher
from .belief import believed, refuse_edited, with_recipe
from .changes import environment, refuse_changes
from .context import RunContext
from .descent import run_stages
from .lock import locked
from .origin import left_out
from .plainly import told_plainly
from .plan import Plan, check, make_plan
from .replaced import Replaced, drop_leftovers, has_leftovers
from .request import Request, resume_command, settle
from .run_dir import RunDir
from .skipped import Skipped
from .tracking import Tracked

log = logging.getLogger("tinyclip")


class Silent:
    """A watcher that says nothing."""

    def plan(self, plan: dict[str, Any]) -> None:
        """Nothing."""

    def phase(self, stage: int, name: str, done: int, total: int) -> None:
        """Nothing."""

    def step(self, record: dict[str, Any]) -> None:
        """Nothing."""


def open_engine(run: RunDir, recipe: Recipe, accept: bool = False) -> Engine:
    """The engine of a run, with the thread count that it began with.

    Raises:
        UserError: the run has been changed since, and that is not accepted.
    """
    world = believed(run, "environment.json", accept) if run.is_run() else None
    return Engine(recipe.precision, world["threads"] if world else None)


def check_outlets(run: RunDir, log_with: str | None) -> None:
    """Refuse a folder or a tracker that could not take what a run writes.

    Raises:
        UserError: nothing can be written there, or there is no such tracker.
    """
    refuse_unwritable(run.path)
    if log_with is not None:
        check_tracker(log_with)


def dry_run(
    recipe: Recipe, run: RunDir, log_with: str | None = None, accept: bool = False
) -> Plan:
    """The plan of a recipe; nothing is written, and no command of a source is run.

    Raises:
        UserError: the run itself would be refused.
    """
    check(recipe)
    check_outlets(run, log_with)
    engine = open_engine(run, recipe, accept)
    with looking():
        context = RunContext.open(recipe, run, engine, Silent(), lambda: False)
        return _plan(context)


def _plan(context: RunContext) -> Plan:
    return make_plan(
        context.recipe,
        context.teacher.model,
        context.base.model.shape,
        len(context.train),
        context.fingerprints(),
        context.caching(),
        tuple(other.loaded.model.shape for other in context.others),
        context.unpaired.sources.counts,
    )


def execute(
    request: Request,
    watcher: Watcher | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> RunDir:
    """Run a recipe to its end, from wherever it is.

    Raises:
        UserError: the request, the recipe or an input is wrong.
        Interrupted: asked to stop; the state is saved.
    """
    run, recipe = settle(request)
    check(recipe)
    if request.from_stage is None and run.is_run() and run.is_done(recipe):
        _tidy(run, recipe)
        return run
    check_outlets(run, request.log_with)
    accept = request.accept_changes
    if run.is_run():
        refuse_edited(run, accept)
    engine = open_engine(run, recipe, accept)
    engine.wait()  # all have looked before one writes
    shown = watcher if watcher is not None and engine.is_main else Silent()
    context = RunContext.open(recipe, run, engine, shown, stop, accept)
    plan = _plan(context)
    shown.plan(plan.to_dict())
    go_on = resume_command(run.path)
    with going_on(go_on), _begun_and_locked(request, context, plan):
        with told_plainly(run.path, go_on):
            _run(context, plan, request)
    return run


def _tidy(run: RunDir, recipe: Recipe) -> None:
    """Remove from a whole run what a kill kept from being removed."""
    if has_leftovers(run, recipe):
        with contextlib.suppress(UserError), locked(run.path):
            drop_leftovers(run, recipe)


@contextmanager
def _begun_and_locked(
    request: Request, context: RunContext, plan: Plan
) -> Iterator[None]:
    """The run's folder, begun and locked; one process does it for all.

    Raises:
        UserError: another process is at work there, or the world has changed.
    """
    run, engine = context.folder, context.engine
    if not engine.is_main:
        engine.wait()
        yield
        return
    run.make()
    with locked(run.path):
        settle(request)  # again: another process may have worked here since
        if run.is_run():
            refuse_changes(run, plan, engine, request.accept_changes)
        _begin(run, context.recipe, request.from_stage)
        run.write("environment.json", environment(engine))
        run.write("plan.json", with_recipe(plan.to_dict(), context.recipe))
        engine.wait()
        yield


def _begin(run: RunDir, recipe: Recipe, from_stage: int | None) -> None:
    """Write the recipe of a run that starts, or starts again at a stage.

    The recipe comes first: killed after it, stages of other settings are refused, and
    never gone on with under the old ones.
    """
    drop_drafts(run.path)  # of processes that were killed
    if from_stage is not None:
        _refuse_unfinished(run, recipe, from_stage)
    if not run.is_run() or not run.holds(recipe):
        run.begin(recipe)
    if from_stage is not None:
        Replaced(run).take(from_stage)


def _refuse_unfinished(run: RunDir, recipe: Recipe, first: int) -> None:
    for folder in run.stages(recipe)[: first - 1]:
        if folder.done() is None:
            raise UserError(
                "--from-stage",
                f"stage {folder.number} is not finished, so stage {first} cannot start",
                f"Go on with: {resume_command(run.path)}",
            )


def _run(context: RunContext, plan: Plan, request: Request) -> None:
    """All stages; however it ends, what was broken is told."""
    tracked = None
    if request.log_with is not None and context.engine.is_main:
        tracked = Tracked(
            context.watcher, request.log_with, context.engine, context.folder
        )
        context.watcher = tracked
    try:
        run_stages(context, plan)
    finally:
        if tracked is not None:
            tracked.finish()
        if context.engine.is_main:
            _report_broken(context)


def _report_broken(context: RunContext) -> None:
    """Name what was skipped in ``skipped.jsonl``, and count it by kind in the log."""
    counts, named = left_out(context)
    if not counts:
        return
    Skipped(context.folder.path).write(named)
    log.warning(
        "%d broken samples were skipped: see skipped.jsonl\n%s",
        sum(counts.values()),
        table_of_kinds(counts, named),
    )
