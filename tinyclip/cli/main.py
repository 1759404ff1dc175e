"""The command line: verbs, exit codes, and a help that is a quick start."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from .. import __version__
from ..errors import Interrupted, TinyclipError, nearest

# verb -> what it does; the module of the same name is imported only when it is asked for
VERBS = {
    "compress": "make a family of smaller models: the main job",
    "evaluate": "zero-shot, retrieval, and retention against the teacher",
    "export": "write a model in another format, re-loaded and compared",
    "inspect": "sizes, widths per layer, MACs, where a model came from",
    "recipes": "list, show, copy or check whole recipes",
    "stages": "list, show, copy or check single stages",
}
QUICK_START = """\
Make CLIP models small: learned masks, exact inheritance, distillation.

  tinyclip compress                        try it: embedded teacher and pictures
  tinyclip compress --teacher openclip:ViT-B-32@model.safetensors --data csv:pairs.csv
  tinyclip inspect runs/demo               sizes and widths of what came out
  tinyclip export runs/demo --to safetensors --out small
"""


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser, with the options of `verb` alone."""
    parser = argparse.ArgumentParser(
        prog="tinyclip",
        description=QUICK_START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, words in VERBS.items():
        added = verbs.add_parser(name, help=words, description=words)
        if name == verb:
            module = importlib.import_module(f"{__package__}.{name}")
            module.add_arguments(added)
            added.set_defaults(run=module.run)
    return parser


def _spoken(argv: Sequence[str]) -> str | None:
    """The verb among the arguments, if any."""
    return next((word for word in argv if not word.startswith("-")), None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (design: 0, 1, 2, 3)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    verb = _spoken(argv)
    if verb is not None and verb not in VERBS:
        return _fail(f"unknown verb {verb!r}. {nearest(verb, VERBS)}", 2)
    parser = build_parser(verb)
    try:
        args = parser.parse_args(argv)
        if args.verb is None:
            parser.print_help()
            return 0
        return int(args.run(args))
    except SystemExit as left:  # argparse: --help, --version, a wrong option
        return int(left.code or 0)
    except Interrupted as stopped:
        return _fail(str(stopped), stopped.exit_code, "")
    except TinyclipError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 3, "")
    except BrokenPipeError:
        # whoever read our output has gone; say nothing more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        traceback.print_exc()
        return _fail("this is a bug of tinyclip; please report the lines above", 1)


def _fail(message: str, code: int, kind: str = "error: ") -> int:
    print(f"tinyclip: {kind}{message}", file=sys.stderr)
    return code
