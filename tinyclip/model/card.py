"""The model card: what a student is, in words that a person reads first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..quoting import code_span, markdown
from ..shapes import TOWERS
from ..sites import SITES, USUAL, WIDTH, basis_of, in_line, width_in_words
from .repair import in_words

LOAD = """```python
import tinyclip

model, preprocess, tokenizer = tinyclip.load("path/to/it")  # this folder
image_features = model.encode_image(preprocess(image)[None], normalize=True)
text_features = model.encode_text(tokenizer(["a photo of a cat"]), normalize=True)
```"""


def model_card(
    config: Mapping[str, Any],
    certificate: Mapping[str, Any] | None,
    metrics: Mapping[str, Any] | None,
    load: str = LOAD,
) -> str:
    """The card in markdown, from what the other files of the directory say.

    Args:
        load: how to load it.
    """
    provenance, sizes, share = config["provenance"], config["sizes"], config["share"]
    teacher = provenance.get("teacher") or provenance.get("source", "an unnamed source")
    kind = "A small CLIP" if share["total"] < 1 else "A CLIP"
    lines = [
        f"# {kind}, made from {code_span(teacher)}",
        "",
        f"{sizes['total']:,} parameters ({100 * share['total']:.1f} % of the "
        f"teacher's), of them {sizes['encoder']:,} in the encoders "
        f"({100 * share['encoder']:.1f} %). Made by tinyclip.",
        "",
        *_lost(metrics),
        load.strip(),
        "",
        *_widths(config["shape"]),
        "",
        "## Where it comes from",
        "",
    ]
    for key, value in sorted(provenance.items()):
        words = ", ".join(map(str, value)) if isinstance(value, list) else value
        lines.append(f"- {markdown(key)}: {markdown(words)}")
    if repair := config.get("repair"):
        lines += ["", in_words(repair)]
    if certificate is not None:
        lines += [
            "",
            f"Inheritance changed normalised features by at most "
            f"{certificate['max_abs_diff']:.1e} on {certificate['n']} real pairs.",
        ]
    if certificate is not None and "solved" in certificate:
        lines += [
            "Layers were solved anew after it, which is meant to change them: the same "
            "formulas in float64 differ by "
            f"{certificate['solved']['max_abs_diff']:.1e}.",
        ]
    lines += _measured(metrics)
    lines += [
        "",
        "## Licence",
        "",
        markdown(provenance["licence"])
        if provenance.get("licence")
        else f"Not stated: whatever the weights of {code_span(teacher)} and the data "
        "were licensed under applies to this model too.",
    ]
    return "\n".join(lines) + "\n"


def _widths(shape: Mapping[str, Any]) -> list[str]:
    """The widths of both towers as a table; the sites that each block has are told
    block by block, and what a rotated tower was as wide as before."""
    by_layer = [name for name in USUAL if SITES[name].in_block]
    rows = [["tower", WIDTH.name, *(f"{name} by layer" for name in by_layer)]]
    for name in TOWERS:
        tower = shape[name]
        blocks, head_width = tower["blocks"], tower.get("head_width")
        units = [in_line(blocks, site, head_width) for site in by_layer]
        width = width_in_words(tower[WIDTH.field], basis_of(tower))
        rows.append([name, width, *units])
    head, *body = [f"| {' | '.join(cells)} |" for cells in rows]
    return ["## Widths", "", head, "|" + "---|" * len(rows[0]), *body]


def _lost(metrics: Mapping[str, Any] | None) -> list[str]:
    """What the model lost, before anything else is said of its use."""
    alarms = (metrics or {}).get("alarms") or []
    if not alarms:
        return []
    lines = ["**Where it fails.** A good average would hide this:", ""]
    for alarm in alarms:
        lines.append(
            f"- {markdown(alarm['task'])}: {100 * alarm['value']:.1f} % where the "
            f"teacher has {100 * alarm['teacher']:.1f} % "
            f"({markdown(alarm['metric'])}; by chance {100 * alarm['chance']:.1f} %)"
        )
    return [*lines, ""]


def _measured(metrics: Mapping[str, Any] | None) -> list[str]:
    if not metrics or not metrics.get("tasks"):
        return []
    lines = [
        "",
        "## Measured",
        "",
        "| task | metric | value | 95 % | n | teacher | retention |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, task in metrics["tasks"].items():
        low, high = task["ci95"]
        named = f"{markdown(name)} | {markdown(task['metric'])}"
        teacher, retention = task.get("teacher"), task.get("retention")
        lines.append(
            f"| {named} | {100 * task['value']:.1f} | "
            f"{100 * low:.1f} to {100 * high:.1f} | {task['n']} | "
            f"{'–' if teacher is None else f'{100 * teacher:.1f}'} | "
            f"{'–' if retention is None else f'{100 * retention:.1f} %'} |"
        )
    return lines
