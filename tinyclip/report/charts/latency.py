"""How much faster students are, beside how much less they compute."""

from __future__ import annotations

import numpy as np

from ... import cost
from ...shapes import ClipShape
from ..chart import COLOURS, INK, Chart, drawing, panels
from ..collect import Told


def latency(run: Told) -> Chart | None:
    """Time of one picture, and what it would be if time went with multiplications;
    None where it was not measured."""
    models = [model for model in run.models if model.latency is not None]
    whole = run.teacher
    if len(models) < 2 or whole.latency is None or whole.shape is None:
        return None
    names = [f"{model.name}, {100 * model.share:.3g} %" for model in models]
    measured = [float(model.latency or 0) for model in models]
    ideal = [
        whole.latency * macs(model.shape) / macs(whole.shape)
        for model in models
        if model.shape is not None
    ]
    place = np.arange(len(models))
    with drawing("latency"):
        figure, ((axes,),) = panels(1, 1, 7.2, 1.2 + 0.42 * len(models))
        axes.barh(place, measured, 0.62, color=COLOURS[0], label="measured")
        axes.plot(
            ideal, place, "|", color=COLOURS[1], markersize=18, mew=3, label="ideal"
        )
        for y, value in zip(place, measured, strict=True):
            axes.annotate(
                f"{value:.3g} ms",
                (value, y),
                (4, 0),
                textcoords="offset points",
                va="center",
                color=INK,
            )
        axes.set_yticks(place, names)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
        axes.set_xlabel("ms for one picture, median")
        figure.legend(loc="outside upper left", ncols=2)
    told = ", ".join(
        f"{n}: {m:.3g} ms (ideal {i:.3g})"
        for n, m, i in zip(names, measured, ideal, strict=True)
    )
    return Chart(
        "latency",
        "Latency against the ideal",
        f"Time of one picture of {run.name}: {told}.",
        "The ideal is the teacher's time times the student's share of its image "
        "tower's multiply-accumulates. Measured on the machine that made the run.",
        figure,
    )


def macs(shape: ClipShape) -> float:
    """Multiply-accumulates of one picture."""
    return float(cost.tower_macs(shape.image, shape.embed_dim))
