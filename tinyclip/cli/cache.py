"""`tinyclip cache`: a teacher's features of a data set, computed once and stored."""

from __future__ import annotations

import argparse
import logging
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Interrupted, StorageError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config.schema import Recipe
    from ..data.loader import Loader
    from ..model.store import Loaded
    from ..training.teacher.index import Index

log = logging.getLogger("tinyclip")
BASE = "standard"  # the recipe that a teacher and data of one's own run under


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add = parser.add_argument
    add("--teacher", metavar="SOURCE", required=True, help="the model to run")
    add(
        "--data",
        metavar="SOURCE",
        required=True,
        help="image-text pairs: csv:FILE, ...",
    )
    add("--out", metavar="DIR", type=Path, required=True, help="where the cache lies")
    add("--augmentations", metavar="K", help="seeded augmentations a picture; 1: none")
    add("--crop", metavar="C", help="smallest share of the picture a crop keeps")
    add("--seed", metavar="N", help="of the augmentations; the run's seed")
    add(
        "--dtype",
        choices=("float16", "bfloat16", "float32"),
        default="float16",
        help="how features are stored; float16",
    )
    add("--precision", choices=("fp32", "bf16", "fp16"), help="of the arithmetic; fp32")
    add(
        "--set",
        metavar="A.B=V",
        action="append",
        default=[],
        help="a setting of the data, e.g. data.caption_column=text, data.workers=8",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def wanted(args: argparse.Namespace) -> Recipe:
    """The recipe whose teacher, data and augmentations the arguments spell.

    Raises:
        UserError: a value is out of bounds.
    """
    from ..config.load import load_recipe

    options = {
        "data.augmentations": args.augmentations,
        "data.crop": args.crop,
        "seed": args.seed,
        "precision": args.precision,
    }
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    recipe = load_recipe(BASE, (*args.set, *given))
    data = replace(recipe.data, source=args.data)
    return replace(recipe, teacher=args.teacher, data=data)


def command(args: argparse.Namespace) -> str:
    """The line that goes on with, or repairs, what the arguments ask for."""
    words = ["tinyclip", "cache"]
    for name in ("teacher", "data", "out", "augmentations", "crop", "seed"):
        value = getattr(args, name)
        words += [] if value is None else [f"--{name}", str(value)]
    words += ["--dtype", args.dtype]
    words += ["--precision", args.precision] if args.precision else []
    for setting in args.set:
        words += ["--set", setting]
    return shlex.join(words)


def run(args: argparse.Namespace) -> int:
    """Make a cache, or go on with one.

    Raises:
        UserError: teacher, data or folder cannot be used.
        Interrupted: asked to stop; the shards that are whole stay.
    """
    recipe, again = wanted(args), command(args)
    from ..pipeline.scheduler import listening
    from .progress import watcher
    from .show import print_json

    with listening() as stop, watcher() as shown:
        started: list[int] = []

        def progress(done: int, total: int) -> None:
            if not started:
                shown.phase(0, "teacher features", 0, total)
                started.append(total)
            shown.step({"step": done})
            if stop():
                raise Interrupted("Stopped; the shards that are whole stay", again)

        try:
            found = _make(recipe, args.out, args.dtype, again, progress)
        except StorageError:
            log.warning("go on, once that is mended, with: %s", again)
            raise
    print_json(found) if args.json else _show(found)
    return 0


def _make(
    recipe: Recipe,
    folder: Path,
    dtype: str,
    again: str,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Make the cache of a recipe's teacher and data; returns what is told of it."""
    from ..formats.source import load_source
    from ..pipeline.caches import fitting
    from ..pipeline.context import model_fingerprint
    from ..pipeline.lock import locked
    from ..training.engine import Engine
    from ..training.teacher.live import LiveTeacher
    from ..training.teacher.make import begin, make

    engine = Engine(recipe.precision)
    if engine.world > 1:
        raise UserError(
            "tinyclip cache",
            f"was launched as {engine.world} processes, and works in one",
            "Start it without a launcher",
        )
    _refuse_foreign(folder)
    teacher = load_source(recipe.teacher)
    loader = _loader(recipe, teacher)
    made_of = {
        **fitting(recipe, teacher, model_fingerprint(teacher.model)),
        "data": loader.pairs.fingerprint(),
        "dtype": dtype,
        "precision": recipe.precision,
    }
    _make_folder(folder)
    with locked(folder):
        captions = loader.all_captions()
        width = teacher.model.shape.embed_dim
        index = begin(folder, made_of, loader, captions, width, again)
        live = LiveTeacher(teacher.model, engine, None)
        workers = recipe.data.workers
        index, kept = make(folder, index, live, loader, captions, progress, workers)
    return {
        "out": str(folder),
        "teacher": recipe.teacher,
        "data": recipe.data.source,
        **_figures(folder, index),
        "kept": kept,
        "broken": _told_broken(loader),
    }


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds something else is left alone."""
    from ..pipeline.lock import LOCK
    from ..training.teacher.index import INDEX

    if folder.exists() and not folder.is_dir():
        raise UserError(str(folder), "is a file", "Name another folder with --out")
    if not folder.exists() or (folder / INDEX).exists():
        return
    names = [entry.name for entry in folder.iterdir()]
    if not all(name.endswith(".part") or name == LOCK for name in names):
        raise UserError(
            str(folder),
            "is not empty, and no teacher cache",
            "Name a new folder with --out; several may lie side by side in one",
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(folder, error) from None


def _loader(recipe: Recipe, teacher: Loaded) -> Loader:
    """Pixels and tokens as the loader of a run makes them, of all pairs."""
    from ..data.loader import Loader
    from ..data.pairs import open_pairs

    pairs, data = open_pairs(recipe.data), recipe.data
    return Loader(
        pairs,
        range(len(pairs)),
        teacher.preprocess,
        teacher.tokenizer,
        seed=recipe.seed,
        batch=1,
        augmentations=data.augmentations,
        crop=data.crop,
        max_broken_share=data.max_broken_share,
        memory=0,  # every picture is wanted once
    )


def _figures(folder: Path, index: Index) -> dict[str, Any]:
    """What is told of a finished cache."""
    layouts = (index.texts, index.images)
    files = [one.path(folder, n) for one in layouts for n in range(one.count)]
    return {
        "pairs": index.images.rows,
        "captions": index.texts.rows,
        "augmentations": index.images.augmentations,
        "embed_dim": index.images.embed_dim,
        "dtype": index.images.dtype,
        "shards": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "made_of": index.made_of,
        "content": index.content,
    }


def _told_broken(loader: Loader) -> dict[str, int]:
    """How many samples were skipped, by kind; the log says so with examples."""
    from ..data.broken import skipped_of, table_of_kinds

    counts, named = skipped_of(loader.pairs.dropped, loader.broken)
    if counts:
        table = table_of_kinds(counts, named)
        log.warning("%d broken samples were skipped\n%s", sum(counts.values()), table)
    return counts


def _show(found: dict[str, Any]) -> None:
    """The lines that people read."""
    print(
        f"{found['out']}: {found['teacher']} on {found['data']}\n"
        f"  {found['pairs']:,} pairs x {found['augmentations']} augmentations, "
        f"{found['captions']:,} captions, {found['embed_dim']} wide, {found['dtype']}\n"
        f"  {found['shards']} shards ({found['kept']} were there), "
        f"{found['bytes'] / 2**20:,.1f} MiB\n\n"
        f"Use it: tinyclip compress ... --set cache={found['out']}"
    )
