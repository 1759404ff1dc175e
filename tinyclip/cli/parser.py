"""The verbs, their options, and a help that is a quick start."""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import UserError, nearest
from .show import complain

# verb -> what it does; its module, of the same name, is imported only when asked for
VERBS = {
    "bench": "latency, throughput and MACs of several models, side by side",
    "cache": "a teacher's features of a data set, computed once and stored",
    "compare": "evaluate for several models, and how sure their differences are",
    "compress": "make a family of smaller models: the main job",
    "evaluate": "zero-shot, retrieval, and retention against the teacher",
    "export": "write a model in another format, re-loaded and compared",
    "inspect": "sizes, widths per layer, MACs, where a model came from",
    "objectives": "list or explain what a stage's losses may name",
    "recipes": "list, show, copy or check whole recipes",
    "repair": "one map of text features that tells captions from swapped ones",
    "report": "one page about runs: quality, sizes, training, real answers",
    "stages": "list, show, copy or check single stages",
}
QUICK_START = """\
Make CLIP models small: learned masks, exact inheritance, distillation.

  tinyclip compress                        try it: embedded teacher and pictures
  tinyclip compress --teacher openclip:ViT-B-32@model.safetensors --data csv:pairs.csv
  tinyclip inspect runs/demo               sizes and widths of what came out
  tinyclip export runs/demo --to safetensors --out small
"""
DONE, WRONG_INPUT = 0, 2  # exit codes of design §3.1


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one message, like all others."""

    def error(self, message: str) -> NoReturn:
        complain(f"error: {message}. See {self.prog} --help")
        raise SystemExit(WRONG_INPUT)


class Help(argparse.RawDescriptionHelpFormatter):
    """argparse's, whose column of words leaves room for the longest verb: verbs stand
    further in than it counts."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        self._action_max_length = max(self._action_max_length, 4 + max(map(len, VERBS)))


def build_parser(verb: str | None) -> Parser:
    """The parser, with the options of `verb` alone."""
    parser = Parser(
        prog="tinyclip",
        description=QUICK_START,
        formatter_class=Help,
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, words in VERBS.items():
        added = verbs.add_parser(name, help=words, description=words)
        if name == verb:
            module = importlib.import_module(f"{__package__}.{name}")
            module.add_arguments(added)
            added.set_defaults(run=module.run, usage=added.format_usage())
    return parser


def _verb(argv: Sequence[str]) -> str | None:
    """The verb among the arguments, if any."""
    return next((word for word in argv if not word.startswith("-")), None)


def _refuse_unknown(unknown: Sequence[str], usage: str) -> None:
    """Arguments that nobody asked for are an error; a mistyped option gets its name."""
    if not unknown:
        return
    word, near = unknown[0].partition("=")[0], ""
    if word.startswith("--"):
        # without the dashes, which all of them share
        known = {name[2:]: name for name in re.findall(r"--[\w-]+", usage)}
        close = difflib.get_close_matches(word[2:], known, n=1)
        near = f"Did you mean {known[close[0]]!r}?" if close else ""
        if not close and "set" in known:
            near = _as_setting(word)
    raise UserError(unknown[0], "unknown argument", near)


def _as_setting(word: str) -> str:
    """How to say what is no option, but a setting."""
    from ..config.schema import Recipe

    name = word.removeprefix("--").replace("-", "_")
    if name not in vars(Recipe()):
        return ""
    return f"It is a setting: --set {name}=..."


def answer(argv: Sequence[str]) -> int:
    """Run the verb that is asked for; returns the exit code.

    Raises:
        TinyclipError: what the verb raises, and for arguments that are wrong.
    """
    verb = _verb(argv)
    if verb is not None and verb not in VERBS:
        raise UserError("VERB", f"unknown verb {verb!r}", nearest(verb, VERBS))
    parser = build_parser(verb)
    try:
        args, unknown = parser.parse_known_args(argv)
    except SystemExit as ending:  # --help, --version, a wrong option
        return int(ending.code or DONE)
    _refuse_unknown(unknown, getattr(args, "usage", ""))
    if args.verb is None:
        parser.print_help()
        return DONE
    return int(args.run(args))
