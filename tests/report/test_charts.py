"""Charts: what they show, in which files, and the same bytes each time."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tinyclip import cost
from tinyclip.formats.source import load_source
from tinyclip.report.chart import INK, Chart, style
from tinyclip.report.charts.latency import latency, macs
from tinyclip.report.charts.quality import quality
from tinyclip.report.charts.training import budget, gates, losses
from tinyclip.report.charts.units import units
from tinyclip.report.collect import Told, collect


@pytest.fixture(scope="session")
def told(finished: Path) -> Told:
    run = collect(finished)
    shape = load_source("builtin:pico").model.shape
    return replace(run, teacher=replace(run.teacher, shape=shape))


def charts(told: Told) -> list[Chart]:
    made = [quality([told]), *(make(told) for make in (units, gates, budget, losses))]
    return [chart for chart in (*made, latency(told)) if chart is not None]


def test_there_is_one_of_every_kind(told: Told) -> None:
    names = [chart.name for chart in charts(told)]
    assert names == ["quality", "units", "gates", "budget", "losses", "latency"]


def test_a_vector_is_whole_says_what_it_shows_and_has_a_size(told: Told) -> None:
    for chart in charts(told):
        root = ET.fromstring(chart.svg())
        assert root.get("role") == "img" and root.get("aria-label") == chart.alt
        assert float(root.get("width", 0)) > 100 and float(root.get("height", 0)) > 50
        assert INK not in chart.svg()  # words have the page's colour
        assert "<text" in chart.svg()  # and stay words


def test_the_same_run_gives_the_same_bytes(told: Told) -> None:
    for one, other in zip(charts(told), charts(told), strict=True):
        assert one.svg() == other.svg()


def test_files_are_written_in_both_formats(told: Told, tmp_path: Path) -> None:
    (chart,) = [c for c in charts(told) if c.name == "latency"]
    svg, png = chart.write(tmp_path / "new" / "folder")
    assert (svg.name, png.name) == ("latency.svg", "latency.png")
    assert ET.parse(svg).getroot().tag.endswith("svg")
    with Image.open(png) as picture:
        assert picture.size[0] > 600
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_drawing_leaves_matplotlib_as_it_was(told: Told) -> None:
    before = dict(matplotlib.rcParams)
    losses(told)
    assert dict(matplotlib.rcParams) == before


def test_quality_draws_every_value_at_its_share(told: Told) -> None:
    chart = quality([told])
    assert chart is not None
    (axes,) = [a for a in chart.figure.axes if a.get_visible()]
    line = axes.lines[0]
    task = told.main_task()
    values = [model.tasks[task or ""]["value"] for model in told.models]
    assert np.array_equal(line.get_xdata(), [model.share for model in told.models])
    assert np.array_equal(line.get_ydata(), values)


def test_units_tell_what_every_layer_of_the_last_student_has(told: Told) -> None:
    chart, last = units(told), told.students[-1].shape
    assert chart is not None and last is not None
    heads = " ".join(str(block.heads) for block in last.image.blocks)
    assert f"image heads by layer: {heads};" in chart.alt
    assert f"text channels: {last.text.width}." in chart.alt
    assert "dims" not in chart.alt  # of which no head lost any


def test_gates_and_budget_end_where_the_metrics_do(told: Told) -> None:
    opened = [line for line in told.steps if line.get("open")][-1]
    chart, pushed = gates(told), budget(told)
    assert chart is not None and pushed is not None
    for site, share in opened["open"].items():
        assert f"{site.replace('_', ' ')} {100 * share:.0f} %" in chart.alt
        assert 0 < share < 1
    assert f"p is {100 * opened['p']:.1f} %" in pushed.alt


def test_ideal_latency_goes_with_multiplications(told: Told) -> None:
    shape = told.students[-1].shape
    assert shape is not None
    assert macs(shape) == cost.tower_macs(shape.image, shape.embed_dim)


def test_what_was_not_measured_or_trained_has_no_chart(told: Told) -> None:
    untrained = replace(told, steps=())
    assert [m(untrained) for m in (gates, budget, losses)] == [None] * 3
    bare = tuple(replace(s, tasks={}, latency=None) for s in told.students)
    teacher = replace(told.teacher, tasks={}, shape=None)
    unmeasured = replace(told, students=bare, teacher=teacher)
    assert quality([unmeasured]) is None
    assert latency(unmeasured) is None and units(unmeasured) is None


def test_no_two_of_sixteen_series_look_alike() -> None:
    looks = {(s["color"], s["linestyle"]) for s in map(style, range(16))}
    assert len(looks) == 16
