"""The model card: what a student is, in words that a person reads first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..config.front_matter import with_front_matter
from ..quoting import code_span, markdown
from ..shapes import TOWERS
from ..sites import SITES, USUAL, WIDTH, basis_of, in_line, width_in_words
from ..typed import Maybe, misfit
from ..words import on_a_line
from .figures import is_probe
from .limits import Limit, limits, parts_of
from .metadata import metadata
from .repair import in_words as repaired

ELSEWHERE = ("licence", "licences", "hub", "skipped")  # of a provenance
SKIPPED = {"of": Maybe(int), "kinds": {str: int}}

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
    library: str = "tinyclip",
) -> str:
    """The card in markdown, from what the other files of the directory say.

    Args:
        load: how to load it.
        library: what loads it, as the Hub calls that.
    """
    provenance, sizes, share = config["provenance"], config["sizes"], config["share"]
    teacher = _teacher(provenance)
    kind = "A small CLIP" if share["total"] < 1 else "A CLIP"
    lines = [
        f"# {kind}, made from {code_span(teacher)}",
        "",
        f"{sizes['total']:,} parameters ({100 * share['total']:.1f} % of the "
        f"teacher's), of them {sizes['encoder']:,} in the encoders "
        f"({100 * share['encoder']:.1f} %). Made by tinyclip.",
        "",
        *_lost(metrics),
        *_limits(metrics),
        load.strip(),
        "",
        *_widths(config["shape"]),
        "",
        "## Where it comes from",
        "",
        *_origin(provenance),
        *_left_out(provenance),
        *(["", repaired(config["repair"])] if config.get("repair") else []),
        *_certified(certificate),
        *_measured(metrics),
        *_probed(metrics),
        "",
        "## Licence",
        "",
        *_licence(provenance),
    ]
    head = metadata(config, metrics, library)
    return with_front_matter(head, "\n".join(lines) + "\n")


def _teacher(provenance: Mapping[str, Any]) -> Any:
    return provenance.get("teacher") or provenance.get("source", "an unnamed source")


def _origin(provenance: Mapping[str, Any]) -> Iterator[str]:
    """A line each of what is known, but for what has a place of its own in the card."""
    for key, value in sorted(provenance.items()):
        if key not in ELSEWHERE:
            yield f"- {markdown(key)}: {markdown(on_a_line(value))}"


def _left_out(provenance: Mapping[str, Any]) -> list[str]:
    """What training did without, by kind, the most frequent first."""
    told = provenance.get("skipped")
    if told is None or misfit(told, SKIPPED) or not told["kinds"]:
        return []
    kinds = sorted(told["kinds"].items(), key=lambda kind: (-kind[1], kind[0]))
    of = told.get("of")
    which = "samples" if of is None else f"of {of:,} pairs"
    counts = ", ".join(f"{count:,} {markdown(kind)}" for kind, count in kinds)
    count = sum(told["kinds"].values())
    return ["", f"{count:,} {which} could not be used and were left out: {counts}."]


def _certified(certificate: Mapping[str, Any] | None) -> list[str]:
    if certificate is None:
        return []
    lines = [
        "",
        f"Inheritance changed normalised features by at most "
        f"{certificate['max_abs_diff']:.1e} on {certificate['n']} real pairs.",
    ]
    if "solved" in certificate:
        lines += [
            "Layers were solved anew after it, which is meant to change them: the same "
            "formulas in float64 differ by "
            f"{certificate['solved']['max_abs_diff']:.1e}.",
        ]
    return lines


def _licence(provenance: Mapping[str, Any]) -> list[str]:
    """What the sources say of their licences, and nothing that they do not say."""
    if own := provenance.get("licence"):
        return [markdown(own)]
    teacher, told = code_span(_teacher(provenance)), provenance.get("licences")
    if not isinstance(told, Mapping) or not told:
        return [
            f"Not stated: whatever the weights of {teacher} and the data were licensed "
            "under applies to this model too."
        ]
    named = {"teacher": teacher, "data": code_span(provenance.get("data", "unnamed"))}
    lines = [
        f"- The {what} {name}: {markdown(told[what])}, as its source says."
        if told.get(what)
        else f"- The {what} {name}: not stated."
        for what, name in named.items()
    ]
    return [
        "This model is made of its teacher's weights, by the data: what they were "
        "licensed under applies to it too.",
        "",
        *lines,
    ]


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


def _limits(metrics: Mapping[str, Any] | None) -> list[str]:
    """What probes found against the model, a line each."""
    found = list(limits((metrics or {}).get("tasks") or {}))
    if not found:
        return []
    return [
        "**What it cannot tell.** Probes ask for a picture's true text among false "
        "ones, and for both things in a picture of two:",
        "",
        *(f"- {markdown(limit.probe)}: {_in_words(limit)}." for limit in found),
        "",
    ]


def _in_words(limit: Limit) -> str:
    chance = f"{100 * limit.chance:.1f} %"
    words = [
        f"{100 * limit.value:.1f} % right ({100 * limit.low:.1f} to "
        f"{100 * limit.high:.1f})"
    ]
    if limit.is_guessed:
        below = limit.high < limit.chance
        words.append(
            f"{'less than by chance' if below else 'not surely above chance'}, {chance}"
        )
    elif limit.parts:
        parts = (
            f"{markdown(part.name)} ({_percent(part.value)} %, by chance "
            f"{_percent(part.chance)} %)"
            for part in limit.parts
        )
        words.append(f"not surely above chance in {', '.join(parts)}")
    words += [
        f"{markdown(part.name)} {_percent(part.value)} % of the time, where "
        f"{_percent(part.chance)} % is without bias"
        for part in limit.biases
    ]
    if limit.lost:
        words.append(
            f"surely worse than the teacher's {_percent(limit.teacher)} %, by "
            f"{100 * limit.lost:.1f} points or more"
        )
    elif limit.teacher is not None:
        words.append(f"the teacher has {_percent(limit.teacher)} %")
    return "; ".join(words)


def _measured(metrics: Mapping[str, Any] | None) -> list[str]:
    tasks = (metrics or {}).get("tasks") or {}
    rows = [
        f"| {markdown(name)} | {markdown(task['metric'])} | "
        f"{100 * task['value']:.1f} | {_interval(task['ci95'])} | {task['n']} | "
        f"{_percent(task.get('teacher'))} | {_percent(task.get('retention'), ' %')} |"
        for name, task in tasks.items()
        if not is_probe(task)
    ]
    if not rows:
        return []
    head = "| task | metric | value | 95 % | n | teacher | retention |"
    return ["", "## Measured", "", head, "|---|---|---|---|---|---|---|", *rows]


def _probed(metrics: Mapping[str, Any] | None) -> list[str]:
    """Every probe, and its parts under it."""
    tasks = (metrics or {}).get("tasks") or {}
    rows = []
    for name, task in tasks.items():
        if not is_probe(task):
            continue
        rows.append(
            f"| {markdown(name)} | {100 * task['value']:.1f} | "
            f"{_interval(task['ci95'])} | {task['n']} | "
            f"{_percent(task.get('chance'))} | {_percent(task.get('teacher'))} |"
        )
        for part in parts_of(task):
            rows.append(
                f"| {markdown(name)}, {markdown(part.name)} | {100 * part.value:.1f} | "
                f"{_interval((part.low, part.high))} | {part.items or '–'} | "
                f"{_percent(part.chance)} | {_percent(part.teacher)} |"
            )
    if not rows:
        return []
    head = "| probe | right | 95 % | n | chance | teacher |"
    return ["", "## Probes", "", head, "|---|---|---|---|---|---|", *rows]


def _percent(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{100 * value:.1f}{unit}"


def _interval(ci95: Sequence[float]) -> str:
    low, high = ci95
    return f"{100 * low:.1f} to {100 * high:.1f}"
