"""Quality against the pictures that a student saw, and against its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .table import MAIN, in_words

KINDS = {
    "samples": "pictures seen in training",
    "seconds": "processor seconds of cutting and training",
}
FORMATS = ("png", "svg")
# a colour a family of methods; stages differ in the line
COLOURS = {
    "cut": "#d62728",
    "basis": "#e377c2",
    "magnitude": "#1f77b4",
    "taylor": "#17becf",
    "hessian": "#2ca02c",
    "gates": "#ff7f0e",
    "manual": "#9467bd",
    "scratch": "#8c564b",
    "original": "#000000",
}
OTHER = "#7f7f7f"
LEAST = 0.7  # where nothing was trained, on an axis of logarithms


def draw(report: Mapping[str, Any], folder: Path, stem: str) -> list[Path]:
    """Write both figures in both formats; returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    # the same report gives the same bytes
    matplotlib.rcParams["svg.hashsalt"] = "tinyclip"
    from matplotlib import pyplot

    written = []
    for kind in KINDS:
        figure = _figure(report, kind, pyplot)
        for suffix in FORMATS:
            path = folder / f"{stem}-{kind}.{suffix}"
            undated = {"Date": None} if suffix == "svg" else {"Software": None}
            figure.savefig(path, dpi=120, metadata=undated)
            written.append(path)
        pyplot.close(figure)
    return written


def _figure(report: Mapping[str, Any], kind: str, pyplot: Any) -> Any:
    """A panel for each share of the encoder (columns) and choice of data (rows)."""
    entries = report["summary"]
    targets = sorted({e["target"] for e in entries}, reverse=True)
    data = sorted({e["data"] for e in entries})
    figure, axes = pyplot.subplots(
        len(data),
        len(targets),
        figsize=(1.5 + 3.6 * len(targets), 1.2 + 3.1 * len(data)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, choice in enumerate(data):
        for column, target in enumerate(targets):
            panel = axes[row][column]
            here = [e for e in entries if (e["target"], e["data"]) == (target, choice)]
            if not here:  # nothing was measured there
                panel.set_axis_off()
                continue
            _panel(panel, here, report["titles"], kind)
            panel.set_title(
                f"{100 * target:g} % of the encoder\n{in_words(choice)}", fontsize=9
            )
            panel.set_xlabel(KINDS[kind])
            if not column or not axes[row][column - 1].axison:
                panel.set_ylabel("retention of the held-out designer, %")
                panel.tick_params(labelleft=True)
    handles: dict[str, Any] = {}
    for panel in axes.flat:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    order = [title for title in report["titles"].values() if title in handles]
    figure.legend(
        [handles[title] for title in order],
        order,
        loc="outside right upper",
        fontsize=8,
        frameon=False,
    )
    return figure


def _panel(
    panel: Any,
    entries: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    kind: str,
) -> None:
    for method in (
        name for name in titles if any(e["method"] == name for e in entries)
    ):
        own = [e for e in entries if e["method"] == method]
        points = sorted((_along(entry, kind), *_quality(entry)) for entry in own)
        x, y, low, high = zip(*points, strict=True)
        several = method.partition("-")
        panel.errorbar(
            x,
            y,
            yerr=[
                [value - below for value, below in zip(y, low, strict=True)],
                [above - value for value, above in zip(y, high, strict=True)],
            ],
            label=titles[method],
            color=COLOURS.get(several[0], OTHER),
            linestyle="--" if several[2] else "-",
            marker="s" if several[2] else "o",
            markersize=3.5,
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
        )
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    panel.axhline(100, color="#bbbbbb", linewidth=0.8, zorder=0)
    if kind == "samples":
        least = min((e["samples"] for e in entries if e["samples"]), default=1)
        panel.set_xscale("symlog", linthresh=least, linscale=LEAST)
        panel.set_xlim(left=-0.3 * least)
        samples = sorted({e["samples"] for e in entries})
        panel.set_xticks(samples, [_short(count) for count in samples])
        panel.minorticks_off()
    else:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.minorticks_off()
    panel.grid(alpha=0.25, linewidth=0.5)
    panel.set_ylim(bottom=0)


def _along(entry: Mapping[str, Any], kind: str) -> float:
    if kind == "samples":
        return float(entry["samples"])
    return max(0.1, float(entry["cpu_seconds"]))


def _quality(entry: Mapping[str, Any]) -> tuple[float, float, float]:
    """Median, lowest and highest retention, per cent."""
    task = entry["tasks"][MAIN]
    whole = task["teacher"] or 1.0
    return tuple(100 * task[key] / whole for key in ("value", "low", "high"))


def _short(count: int) -> str:
    """9,600 as 9.6k."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.3g}k"
