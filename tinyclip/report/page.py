"""One HTML file that holds a whole report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..data.pairs import open_split
from ..errors import UserError
from ..files import write_bytes
from ..formats.source import load_source
from ..model.store import load_model
from ..pipeline.context import measured_tasks
from .chart import Chart
from .charts.latency import latency
from .charts.quality import quality
from .charts.training import budget, gates, losses
from .charts.units import units
from .collect import Told, collect
from .gallery import Gallery, gallery, has_answers
from .probes import probes_table, shots_table
from .words import (
    alarms,
    commands,
    fidelity_table,
    headline,
    models_table,
    origins_table,
    sizes_table,
    skipped_table,
    tasks_table,
)

OF_RUN: tuple[Callable[[Told], Chart | None], ...] = (
    units,
    gates,
    budget,
    losses,
    latency,
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """A run as the page has it.

    Args:
        alone: whether it is the page's only one; its charts then have plain names.
        notes: what could not be shown, and why.
    """

    told: Told
    charts: tuple[Chart, ...]
    gallery: Gallery | None
    notes: tuple[str, ...] = ()


def report(
    folders: Sequence[Path], out: Path, charts: Path | None, say: Say
) -> dict[str, Any]:
    """Write a page about runs, and their charts as files.

    Args:
        out: the page.
        charts: a folder for the charts as SVG and PNG; None writes none.
        say: told what is done next, and what cannot be shown.

    Returns:
        What `tinyclip report --json` prints.

    Raises:
        UserError: a folder is no run, or a file of it is damaged.
        StorageError: a file cannot be written.
    """
    parts = [_part(folder, say) for folder in folders]
    together = [chart for chart in [quality([part.told for part in parts])] if chart]
    text = page(parts, together)
    write_bytes(out, text.encode())
    written: list[Path] = []
    if charts is not None:
        for chart in together:
            written += chart.write(charts)
        for place, part in enumerate(parts, start=1):
            folder = charts if len(parts) == 1 else charts / f"{place}-{part.told.name}"
            for chart in part.charts:
                written += chart.write(folder)
    return {
        "report": str(out),
        "bytes": len(text.encode()),
        "charts": [str(path) for path in written],
        "runs": [_figures(part) for part in parts],
    }


def _figures(part: Part) -> dict[str, Any]:
    told = part.told
    return {
        "run": str(told.path),
        "finished": told.finished,
        "headline": headline(told),
        "notes": list(part.notes),
    }


def _part(folder: Path, say: Say) -> Part:
    """A run with what only its teacher and data can show, where they can be had."""
    told = collect(folder)
    found, notes = None, []
    say(f"{folder}: loading {told.recipe.teacher} ...")
    try:
        teacher = load_source(told.recipe.teacher, "teacher")
        whole = replace(told.teacher, shape=teacher.model.shape)
        told = replace(told, teacher=whole)
        found = _gallery(told, teacher, say)
    except UserError as error:
        notes.append(f"Not shown is what needs the teacher and its data: {error}")
        say(notes[-1])
    charts = tuple(chart for make in OF_RUN if (chart := make(told)) is not None)
    return Part(told, charts, found, tuple(notes))


def _gallery(told: Told, teacher: Any, say: Say) -> Gallery | None:
    """Of the main task, by the last student."""
    name = told.main_task()
    if name is None or not told.students or told.students[-1].folder is None:
        return None
    split = open_split(told.recipe.data)
    tasks = {task.name: task for task in measured_tasks(told.recipe, split)}
    if not has_answers(tasks.get(name)):
        return None
    say(f"{told.path}: what teacher and student answer on {name} ...")
    return gallery(tasks[name], teacher, load_model(Path(told.students[-1].folder)))


def page(parts: Sequence[Part], together: Sequence[Chart]) -> str:
    """The whole page: no script, and nothing that is fetched."""
    told = [part.told for part in parts]
    runs = [_shown(part, f"run-{place}") for place, part in enumerate(parts, start=1)]
    names = ", ".join(run.name for run in told)
    environment = Environment(
        loader=PackageLoader("tinyclip.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(
        title=f"{names}: smaller CLIPs",
        version=__version__,
        runs=runs,
        charts=[_picture(chart, "all") for chart in together],
        sizes=sizes_table(told),
        contents=_contents(runs, together),
    )


def _shown(part: Part, place: str) -> dict[str, Any]:
    told = part.told
    return {
        "id": place,
        "name": told.name,
        "headline": headline(told),
        "alarms": alarms(told),
        "models": models_table(told),
        "tasks": tasks_table(told),
        "probes": probes_table(told),
        "shots": shots_table(told),
        "fidelity": fidelity_table(told),
        "charts": [_picture(chart, place) for chart in part.charts],
        "gallery": part.gallery,
        "notes": part.notes,
        "skipped": skipped_table(told),
        "commands": commands(told),
        "origins": origins_table(told),
    }


def _picture(chart: Chart, place: str) -> dict[str, Any]:
    return {
        "id": f"{place}-{chart.name}",
        "title": chart.title,
        "svg": chart.svg(),
        "about": chart.about,
    }


def _contents(
    runs: Sequence[Mapping[str, Any]], together: Sequence[Chart]
) -> list[dict[str, str]]:
    """Links to the parts of the page."""
    entries = [{"id": f"all-{one.name}", "title": one.title} for one in together]
    for run in runs:
        if len(runs) > 1:
            entries.append({"id": run["id"], "title": run["name"]})
            continue
        entries += [{"id": c["id"], "title": c["title"]} for c in run["charts"]]
        if run["gallery"]:
            entries.append({"id": f"{run['id']}-gallery", "title": "Real answers"})
    return entries
