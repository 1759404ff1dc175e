"""`tinyclip.repair`: one map of a model's text features, learnt on swapped captions.

Legend: N pictures, K captions, E joint embedding.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config.load import load_recipe
from ..config.options import path_from, with_values
from ..config.override import override
from ..config.place import Place
from ..config.schema import Data
from ..data.broken import counts_by_kind, table_of_kinds, too_many_broken
from ..data.protocol import Pairs
from ..data.refused import refuse_unsound
from ..data.swaps import TASK, Parts, Swaps, parts_of
from ..data.task import Task
from ..data.tasks import tasks_of
from ..data.views import rows_of
from ..errors import UserError
from ..evaluation.features import Encoder
from ..evaluation.mapped import Mapped
from ..evaluation.suite import encoder_of
from ..files import refuse_unwritable
from ..formats.folder import check_free
from ..formats.pytorch import opened
from ..formats.source import json_of, load_source
from ..model.repair import Repair, apply
from ..model.store import Loaded
from ..training.repair import Frozen, Scale, Strength, at_strength, best, fit, weighed
from .plainly import told_plainly
from .quality import named_teacher
from .repaired import measured, write
from .unfinished import usable

log = logging.getLogger("tinyclip")
BASE = "standard"  # the recipe whose settings of the data are changed
DATA, STEPS = "builtin:pictograms", 1000
MORE = 2**63  # than a whole number in a model's configuration may be
MEMORY = "Give it more, or fewer pairs: --set data.limit=1000"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Learnt:
    """A map, and how it was come by.

    Args:
        chosen: the strength, with what it was chosen by.
        pairs, swapped: pictures it was learnt from, and captions with a swapped form.
        seconds: of the features, and of the steps.
    """

    map_EE: Tensor
    chosen: Strength
    weighed: Sequence[Strength]
    pairs: int
    swapped: int
    seconds: Mapping[str, float]


def repair(
    model: str | Path,
    data: str | Path | Mapping[str, Any] | Data = DATA,
    out: str | Path = "",
    *,
    fold: bool = False,
    steps: int = STEPS,
    seed: int = 0,
    say: Say | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Repair what a model's text features say of the order of words (LABCLIP), with
    both towers as they are, and write it to `out`.

    Args:
        model: a model directory, a run (of one that still goes, its last whole stage),
            an exported folder with weights, or another source.
        data: pairs whose captions name several things; a source, or a table of the
            data's settings.
        out: the folder, which must not be there.
        fold: whether the map goes into the weights; else it lies beside them, which
            stay as they are, and whoever loads them applies it.
        steps: of training.
        seed: of the captions, their swapped forms, and the batches.
        say: told what is done next.
        settings: of the data, as a recipe's `data` has them.

    Returns:
        What `tinyclip repair --json` prints.

    Raises:
        UserError: the model, the data or a setting cannot be used, its captions have
            too few words to swap, or the folder is in use.
        StorageError: the folder cannot be written.
        TinyclipError: what was written is not the repaired model.
    """
    folder = path_from(out, "--out")
    check_free(folder)  # before anything is loaded
    refuse_unwritable(folder)
    for name, value, least in ("--steps", steps, 1), ("--seed", seed, 0):
        if not least <= value < MORE:
            what = f"wants {least} or more, and less than 2^63, not {value}"
            raise UserError(name, what)
    recipe = with_values(load_recipe(BASE), {"data": data, "seed": seed}, "repair")
    for name, value in settings.items():
        recipe = override(recipe, ["data", name], value, Place("repair", name))
    tell = say or (lambda line: None)
    with told_plainly(folder, memory=MEMORY):
        return _repair(str(model), recipe.data, folder, fold, steps, seed, tell)


def _repair(
    model: str, data: Data, folder: Path, fold: bool, steps: int, seed: int, say: Say
) -> dict[str, Any]:
    parts = parts_of(data, seed)
    tasks = _tasks(data, parts)
    name = usable(model, say)
    loaded = opened(load_source(name, "MODEL")).loaded
    certificate = json_of(name, "certificate.json")
    parts = parts.read_by(loaded.tokenizer)
    parts.refuse_few(data.source)
    encoder = encoder_of(loaded)
    learnt = _learnt(encoder, parts, data, steps, seed, say)
    names = ", ".join([TASK, *(task.name for task in tasks)])
    say(f"measuring it before and after on {names} ...")
    teacher = named_teacher(loaded, say)
    beside = None if teacher is None else encoder_of(teacher)
    told, metrics = measured(
        encoder, beside, learnt.map_EE, (parts.tell.task(), *tasks)
    )
    about = _about(loaded, data, learnt, steps, seed, told[TASK])
    proof = write(
        folder,
        _applied(loaded, learnt.map_EE) if fold else loaded,
        Repair({**about, "folded": fold}, None if fold else learnt.map_EE),
        Mapped(encoder, learnt.map_EE),
        parts.tell.texts,
        certificate=certificate,
        metrics=metrics,
    )
    return {
        "model": model,
        "out": str(folder),
        "data": data.source,
        "folded": fold,
        **{key: about[key] for key in about if key not in ("data", "right")},
        "strengths": [vars(each) for each in learnt.weighed],
        "seconds": dict(learnt.seconds),
        "written": proof,
        "gain": told[TASK],
        "alarms": metrics["alarms"],
        "tasks": {task: entry for task, entry in told.items() if task != TASK},
    }


def _tasks(data: Data, parts: Parts) -> list[Task]:
    """The usual tasks of a source, but for those whose pictures the strength is chosen
    on.

    Raises:
        UserError: one cannot be measured.
    """
    tasks = tasks_of(data, split=(parts.learn.pairs, parts.tell.pairs))
    refuse_unsound(data, tasks)
    chosen = _keys(parts.choose.pairs)
    return [task for task in tasks if not chosen & _keys(task.pairs)]


def _keys(pairs: Pairs) -> set[str]:
    return {pairs.key(row) for row in range(len(pairs))}


def _learnt(
    encoder: Encoder, parts: Parts, data: Data, steps: int, seed: int, say: Say
) -> Learnt:
    """The map of a model, from features that are computed once."""
    all_parts = parts.learn, parts.choose, parts.tell
    count = sum(len(part.pairs) for part in all_parts)
    say(f"features of {count:,} pictures and their captions, once ...")
    begun = time.perf_counter()
    parts = Parts(*(_readable(encoder, part, data) for part in all_parts))
    parts.refuse_few(data.source)
    learn, choose = (_frozen(encoder, part) for part in (parts.learn, parts.choose))
    between = time.perf_counter()
    say(f"{steps} steps on {len(learn.image_NE):,} pairs ...")
    model = encoder.model
    bias = None if model.logit_bias is None else model.logit_bias.detach().cpu()
    scale = Scale(model.logit_scale.detach().cpu().exp(), bias)
    whole_EE = fit(learn, scale, steps, seed)
    found = weighed(choose, whole_EE)
    chosen = best(found)
    seconds = {"features": between - begun, "steps": time.perf_counter() - between}
    return Learnt(
        at_strength(whole_EE, chosen.strength),
        chosen,
        found,
        len(learn.image_NE),
        int(learn.there_K.sum()),
        {name: round(value, 2) for name, value in seconds.items()},
    )


def _readable(encoder: Encoder, part: Swaps, data: Data) -> Swaps:
    """A part without the captions of pictures that cannot be read, which are told.

    Raises:
        UserError: too many cannot be read.
    """
    whole, _ = encoder.pictures(part.pairs)
    _tell_broken(encoder, part.pairs, data)
    return part.of_rows(set(whole))


def _frozen(encoder: Encoder, part: Swaps) -> Frozen:
    """The features of a part of which every picture can be read, or has no caption."""
    whole, image_NE = encoder.pictures(part.pairs)
    place = {row: i for i, row in enumerate(whole)}
    both = zip(part.texts, part.swaps, strict=True)
    numbers: dict[str, int] = {}
    return Frozen(
        image_NE,
        encoder.texts(part.texts),
        encoder.texts([swap or text for text, swap in both]),
        torch.tensor([place[row] for row in part.rows]),
        torch.tensor([numbers.setdefault(text, len(numbers)) for text in part.texts]),
        torch.tensor([swap is not None for swap in part.swaps]),
    )


def _tell_broken(encoder: Encoder, pairs: Pairs, data: Data) -> None:
    """Say which pictures cannot be read.

    Raises:
        UserError: they are more than `data.max_broken_share`.
    """
    source, rows = rows_of(pairs)
    known = encoder.seen(source).broken
    broken = {source.key(row): known[row] for row in rows if row in known}
    if len(broken) > data.max_broken_share * len(rows):
        raise too_many_broken(data.source, broken, len(rows), data.max_broken_share)
    if broken:
        table = table_of_kinds(counts_by_kind(broken), broken)
        log.warning("%d broken pictures were left out\n%s", len(broken), table)


def _about(
    loaded: Loaded,
    data: Data,
    learnt: Learnt,
    steps: int,
    seed: int,
    gain: Mapping[str, Any],
) -> dict[str, Any]:
    """What the configuration says of the repair."""
    earlier = (loaded.config.get("repair") or {}).get("times", 0)
    return {
        "data": data.source,
        "pairs": learnt.pairs,
        "swapped": learnt.swapped,
        "steps": steps,
        "seed": seed,
        "strength": learnt.chosen.strength,
        "times": earlier + 1,
        "right": {key: gain[key] for key in ("before", "after", "n")},
    }


def _applied(loaded: Loaded, map_EE: Tensor) -> Loaded:
    """The model with the map in its weights."""
    model = deepcopy(loaded.model)
    apply(model, map_EE)
    return replace(loaded, model=model)
