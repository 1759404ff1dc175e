"""`tinyclip cache`: a teacher's features of a data set, computed once and stored."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dtypes import DTYPES, SHORT, long_name, short_name
from ..leaving import asked
from ..quoting import command
from .show import tell

if TYPE_CHECKING:
    from ..config.schema import Recipe

BASE = "standard"  # the recipe that a teacher and data of one's own run under
SETTINGS = {  # options, and the settings of the recipe that they stand for
    "--augmentations": "data.augmentations",
    "--crop": "data.crop",
    "--seed": "seed",
    "--precision": "precision",
}
SOURCES = {"--data": "data.source", "--teacher": "teacher"}


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
        type=long_name,
        choices=tuple(DTYPES),
        default="float16",
        help="how features are stored; float16",
    )
    add(
        "--precision",
        type=short_name,
        choices=tuple(SHORT),
        help="of the arithmetic; fp32",
    )
    add(
        "--set",
        metavar="A.B=V",
        action="append",
        default=[],
        help="a setting of the data, e.g. data.caption_column=text, data.workers=8",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def base_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe that the arguments spell, but for teacher and data.

    Raises:
        UserError: a value is out of bounds.
    """
    from ..config.load import load_recipe
    from ..config.options import check_of_data, typed, with_options

    check_of_data(args.set, {**SETTINGS, **SOURCES})
    recipe = load_recipe(BASE, args.set)
    return with_options(recipe, SETTINGS, typed(vars(args), SETTINGS))


def run(args: argparse.Namespace) -> int:
    """Make a cache, or go on with one.

    Raises:
        UserError: teacher, data or folder cannot be used.
        Interrupted: asked to stop; the shards that are whole stay.
    """
    from ..pipeline.make_cache import CacheRequest, make_cache
    from .progress import watcher
    from .show import print_json

    request = CacheRequest(
        base_recipe(args), args.teacher, args.data, args.out, args.dtype
    )
    with watcher() as shown:
        report = make_cache(request, shown, asked)
    print_json(report) if args.json else _show(report)
    return 0


def _show(report: dict[str, Any]) -> None:
    """The lines that people read."""
    from ..config.load import as_setting

    tell(
        f"{report['out']}: {report['teacher']} on {report['data']}\n"
        f"  {report['pairs']:,} pairs x {report['augmentations']} augmentations, "
        f"{report['captions']:,} captions, {report['embed_dim']} wide, "
        f"{report['dtype']}\n"
        f"  {report['shards']} shards ({report['kept']} were there), "
        f"{report['bytes'] / 2**20:,.1f} MiB\n\n"
        f"Use it: {command('compress', '...', set=as_setting('cache', report['out']))}"
    )
