"""`tinyclip stages`."""

from __future__ import annotations

import argparse

from . import shelf


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    shelf.add_arguments(parser, "stages")


def run(args: argparse.Namespace) -> int:
    """Do one action."""
    return shelf.run(args, "stages")
