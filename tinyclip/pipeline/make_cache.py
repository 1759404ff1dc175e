"""`tinyclip.cache`: a teacher's features of a data set, computed once and stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import dtypes
from ..config.load import as_setting, load_recipe
from ..config.options import path_from, with_values
from ..config.override import override
from ..config.place import Place
from ..config.schema import Data, Recipe
from ..data.broken import skipped_of, table_of_kinds
from ..data.loader import Loader
from ..data.pairs import open_pairs
from ..errors import Interrupted, UserError
from ..files import drop_drafts, is_draft, make_folder
from ..formats.source import load_source
from ..leaving import gently, going_on
from ..model.store import Loaded
from ..quoting import command
from ..training.engine import Engine
from ..training.loop import Watcher
from ..training.teacher.index import INDEX, Index, is_part
from ..training.teacher.live import LiveTeacher
from ..training.teacher.make import begin, make
from .caches import fitting, model_fingerprint
from .loading import loader_of
from .lock import LOCK, locked
from .plainly import told_plainly

log = logging.getLogger("tinyclip")
BASE = "standard"  # the recipe that a teacher and data of one's own run under
DTYPE = "float16"
MEMORY = "Give it more, or take fewer workers: --set data.workers=1"


def cache(
    teacher: str | Path,
    data: str | Path | Mapping[str, Any] | Data,
    out: str | Path,
    *,
    dtype: str = DTYPE,
    seed: int | None = None,
    precision: str | None = None,
    watcher: Watcher | None = None,
    stop: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> dict[str, Any]:
    """Compute a teacher's features of all pairs once; runs then take them from `out`
    (`cache="out"` in a recipe). What is there already stays.

    Args:
        teacher: a source: `openclip:...`, `hf:...`.
        data: a source, `csv:FILE`, `tars:...`; or a table of the data's settings,
            `source` among them.
        out: the folder; a new one, or that of the same cache, which goes on.
        dtype: how features are stored: `float16`, `bfloat16` or `float32`; here and
            everywhere, `fp16`, `bf16` and `fp32` mean the same.
        seed: of the augmentations, as the run's.
        precision: of the arithmetic: `fp32`, `bf16` or `fp16`.
        watcher: told how far it is (`phase`, `step`), as that of a run.
        stop: asked after each part; True ends it.
        settings: of the data, as a recipe's `data` has them: `augmentations=2`,
            `crop=0.8`, `caption_column="text"`, `workers=8`; they go before a table's.

    Returns:
        What `tinyclip cache --json` prints: `pairs`, `captions`, `embed_dim`, `shards`,
        `kept` (shards that were there), `bytes`, `broken` (samples skipped, by kind),
        what it is `made_of`, and more.

    Raises:
        UserError: teacher, data, a setting or the folder cannot be used.
        StorageError: a file cannot be written; the shards before it stay.
        Interrupted: `stop` said so; the shards that are whole stay.
    """
    folder = path_from(out, "cache: out")
    if "source" in settings:
        raise UserError("cache: source", "is what `data` names", "Leave it out")
    values: dict[str, Any] = {"teacher": teacher, "data": data}
    values |= {"seed": seed} if seed is not None else {}
    values |= {"precision": precision} if precision is not None else {}
    recipe = with_values(load_recipe(BASE), values, "cache")
    for name, value in settings.items():
        recipe = override(recipe, ["data", name], value, Place("cache", name))
    request = CacheRequest(recipe, recipe.teacher, recipe.data.source, folder, dtype)
    return make_cache(request, watcher, stop)


@dataclass(frozen=True)
class CacheRequest:
    """A cache that is asked for.

    Args:
        base: what says seed, precision, and how the data is read and augmented.
        teacher, data: sources.
        dtype: of the stored features, in either spelling.

    Raises:
        UserError: there is no such type.
    """

    base: Recipe
    teacher: str
    data: str
    out: Path
    dtype: str = DTYPE

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtypes.get(self.dtype).name)

    @property
    def recipe(self) -> Recipe:
        """The recipe whose teacher, data and augmentations the cache is for."""
        data = replace(self.base.data, source=self.data)
        return replace(self.base, teacher=self.teacher, data=data)

    @property
    def command(self) -> str:
        """The line that goes on with it, or repairs it."""
        plain, own = asdict(load_recipe(BASE)), asdict(self.recipe)
        settings = [
            as_setting(f"data.{name}", value)
            for name, value in own["data"].items()
            if name != "source" and value != plain["data"][name]
        ]
        figures = {n: own[n] for n in ("seed", "precision") if own[n] != plain[n]}
        return command(
            "cache",
            teacher=self.teacher,
            data=self.data,
            out=self.out,
            set=settings,
            **figures,
            dtype=self.dtype,
        )


def make_cache(
    request: CacheRequest, watcher: Watcher | None, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Make a cache, or go on with one; returns what is told of it.

    Raises:
        UserError, StorageError, Interrupted: as `cache`.
    """
    if request.base.data.has_unpaired:
        raise UserError(
            "data.images, data.texts",
            "a cache is of pairs; of what has no pair a run makes the teacher's "
            "features itself, where that is less work",
            "Leave them out here, and name them where the cache is used",
        )
    begun: list[int] = []

    def progress(done: int, total: int) -> None:
        if watcher is not None:
            if not begun:
                watcher.phase(0, "teacher features", 0, total)
                begun.append(total)
            watcher.step({"step": done})
        if stop():
            what = "Stopped; the shards that are whole stay"
            raise Interrupted(what, request.command)

    with told_plainly(request.out, request.command, MEMORY):
        return _make(request, progress)


def _make(
    request: CacheRequest, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    recipe, folder = request.recipe, request.out
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
        "dtype": request.dtype,
        "precision": recipe.precision,
    }
    make_folder(folder)
    with going_on(request.command), locked(folder):
        drop_drafts(folder)  # of processes that were killed
        captions = loader.all_captions()
        width = teacher.model.shape.embed_dim
        index = begin(folder, made_of, loader, captions, width, request.command)
        live = LiveTeacher(teacher.model, engine, None)
        workers = recipe.data.workers
        with gently():
            index, kept = make(folder, index, live, loader, captions, progress, workers)
    return {
        "out": str(folder),
        "teacher": recipe.teacher,
        "data": recipe.data.source,
        **_figures(folder, index),
        "kept": kept,
        "broken": _report_broken(loader),
    }


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds something else is left alone."""
    if folder.exists() and not folder.is_dir():
        raise UserError(str(folder), "is a file", "Name another folder with --out")
    if not folder.exists() or (folder / INDEX).exists():
        return
    names = [entry.name for entry in folder.iterdir()]
    if not all(is_draft(name) or is_part(name) or name == LOCK for name in names):
        raise UserError(
            str(folder),
            "is not empty, and no teacher cache",
            "Name a new folder with --out; several may lie side by side in one",
        )


def _loader(recipe: Recipe, teacher: Loaded) -> Loader:
    """Pixels and tokens as the loader of a run makes them, of all pairs. Every picture
    is wanted once, and who makes the cache has workers of its own."""
    pairs = open_pairs(recipe.data)
    return loader_of(recipe, pairs, teacher, memory=0, workers=0)


def _figures(folder: Path, index: Index) -> dict[str, Any]:
    """What is told of a finished cache."""
    layouts = (index.texts, index.images)
    files = [layout.path(folder, n) for layout in layouts for n in range(layout.count)]
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


def _report_broken(loader: Loader) -> dict[str, int]:
    """How many samples were skipped, by kind; the log says so with examples."""
    counts, named = skipped_of(loader.pairs.dropped, loader.broken)
    if counts:
        table = table_of_kinds(counts, named)
        log.warning("%d broken samples were skipped\n%s", sum(counts.values()), table)
    return counts
