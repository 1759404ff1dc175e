"""A chart: vector for the page, and both kinds of file."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..files import make_folder, write_bytes

INK = "#1b1c1d"  # of words and axes: on the page, the colour of its text
# told apart by people who see few colours, on white and on black (Okabe and Ito 2008);
# four are enough of them: what comes after is told by its line
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
LINES = ("-", "--", ":", "-.")
MARKS = ("o", "s", "^", "D")
FORMATS = ("svg", "png")
DPI = 144  # of the PNG
PIXELS = 96  # of a page's inch
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # words stay words: found, read out, in the page's own font
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Chart:
    """A drawn figure.

    Args:
        name: of its files.
        title: its heading.
        alt: what it shows, for who does not see it.
        about: how it is read.
    """

    name: str
    title: str
    alt: str
    about: str
    figure: Figure

    def svg(self) -> str:
        """As part of a page: as wide as there is room, words in the page's colour."""
        text = self._drawn("svg").decode()
        text = text[text.index("<svg") :].replace(INK, "currentColor")
        label = html.escape(self.alt, quote=True)
        width, height = self.figure.get_size_inches() * PIXELS
        size = f'width="{width:.0f}" height="{height:.0f}"'
        text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
        return text.replace("<svg", f'<svg role="img" aria-label="{label}" {size}', 1)

    def write(self, folder: Path) -> list[Path]:
        """Write it in both formats, on white; returns the files."""
        make_folder(folder)
        written = []
        for kind in FORMATS:
            path = folder / f"{self.name}.{kind}"
            write_bytes(path, self._drawn(kind, "white"))
            written.append(path)
        return written

    def _drawn(self, kind: str, ground: str = "none") -> bytes:
        """The bytes of a file, the same for the same figure."""
        file = io.BytesIO()
        undated = {"Date": None} if kind == "svg" else {"Software": None}
        with drawing(self.name):
            self.figure.savefig(
                file, format=kind, dpi=DPI, facecolor=ground, metadata=undated
            )
        return file.getvalue()


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Matplotlib as charts have it, and as it was afterwards.

    Args:
        name: of the chart: what its parts are called inside is its own.
    """
    settings: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        yield


def panels(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of equal panels; sizes are of one, in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for row in axes:
        for one in row:
            one.grid(True)
            one.set_axisbelow(True)
    return figure, [list(row) for row in axes]


def style(number: int) -> dict[str, Any]:
    """Colour, line and mark of the series of a number: no two are alike."""
    kinds = len(COLOURS)
    return {
        "color": COLOURS[number % kinds],
        "linestyle": LINES[number // kinds % len(LINES)],
        "marker": MARKS[number % len(MARKS)],
    }


def as_percent(axis: Any) -> None:
    """Shares of an axis as percent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
