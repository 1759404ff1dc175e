"""The sets that come with the package, and what each is measured on.

Another set is a parquet file in `builtin/` and an entry in `EMBEDDED`; another task of
a set is a line in its entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..config.schema import Data
from ..errors import UserError, nearest
from .pictograms import Pictograms, is_pictograms, open_pictograms

TRAIN = "train"  # the split to train on
EMOJI_TEMPLATES = ("an emoji of {}", "{}", "a picture of {}")
THINGS = """
bat bird butterfly camel cat crab dog elephant fish frog horse octopus pig rabbit snake
spider swan turtle whale
banana carrot egg lemon pear strawberry teapot tomato
airplane bus castle cloud helicopter star tent umbrella
anchor backpack bed bell chair crown dress key kite laptop scarf telephone trophy
"""


@dataclass(frozen=True)
class Naming:
    """Zero-shot: name the pictures of a split by what a column says of them.

    Args:
        task: what the task is called.
        split, kind: of its rows.
        column: whose values, over all rows of that kind, are the classes.
        templates: sentences with ``{}`` for the name.
    """

    task: str
    split: str
    kind: str = "emoji"
    column: str = "name"
    templates: tuple[str, ...] = EMOJI_TEMPLATES


@dataclass(frozen=True)
class Finding:
    """Retrieval: find a picture's captions, and the other way round.

    Args:
        task: what the task is called.
        split, kind: of its rows.
        keywords: None takes the rows' own captions; a number makes one of a row's name
            and its first keywords, and leaves out rows that share it.
    """

    task: str
    split: str
    kind: str
    keywords: int | None = None


@dataclass(frozen=True)
class Probing:
    """Name pictures of a split after labelled ones of another were seen, by every kind
    of probe; measured where it is asked for.

    Args:
        train, split: whose rows are learnt from, and named.
        kind: of its rows.
        column: whose values are the classes.
    """

    train: str
    split: str
    column: str
    kind: str = "emoji"


@dataclass(frozen=True)
class Wording:
    """Probes on captions, which are what a column says of the pictures of a split.

    Args:
        split, kind: of its rows.
        column: holds a text of each.
    """

    split: str
    kind: str = "emoji"
    column: str = "name"


@dataclass(frozen=True)
class Composing:
    """Probes on scenes of two things, which are cut out of drawings of a split.

    Args:
        things: what is cut out: single plain nouns, each of another look, of drawings
            that are one thing by itself.
        split, kind: of its rows.
        column: says what each shows.
        templates: sentences with ``{}`` for the name.
    """

    things: tuple[str, ...]
    split: str
    kind: str = "emoji"
    column: str = "name"
    templates: tuple[str, ...] = EMOJI_TEMPLATES


@dataclass(frozen=True)
class Embedded:
    """A set: a parquet file with splits, and what is measured on them.

    Args:
        file: its name in `builtin/`; it has the columns `image` (bytes), `key`,
            `captions` (a list), `split` and `kind`, and those that its tasks name.
        measures: its tasks, in the order in which they are told.
        validation: the split that is validated on; None: some of the training pairs.
        probing: what its probes learn.
        wording: what its probes on captions are made of.
        composing: what its probes on scenes are made of.
        concept: the column that says what a picture shows, where several show one
            thing; None: each is a thing of its own.
    """

    file: str
    measures: tuple[Naming | Finding, ...]
    validation: str | None = None
    probing: Probing | None = None
    wording: Wording | None = None
    composing: Composing | None = None
    concept: str | None = None

    @property
    def path(self) -> Path:
        return Path(str(files("tinyclip.data"))) / "builtin" / self.file


EMBEDDED = {
    "pictograms": Embedded(
        "pictograms.parquet",
        (
            Naming("designer", "test_designer"),
            Naming("unseen_groups", "test_unseen", column="group"),
            Naming("unseen_subgroups", "test_unseen", column="subgroup"),
            Finding("clipart", "test_clipart", "clipart", keywords=3),
            Naming("dev", "dev"),
        ),
        validation="dev",
        probing=Probing("train", "test_designer", "subgroup"),
        wording=Wording("test_designer"),
        composing=Composing(tuple(THINGS.split()), "test_designer"),
        concept="name",
    ),
}


@dataclass(frozen=True)
class EmbeddedFile:
    """One set, in the package or in a file of its form."""

    about: Embedded
    path: Path

    def open(self, data: Data, split: str) -> Pictograms:
        """The pairs of a split; raises `UserError`."""
        return open_pictograms(data, self.path, split)

    def held_out(self, data: Data) -> Pictograms:
        """The pairs of all splits but the one to train on."""
        return Pictograms(self.path, data.source, lambda split, _: split != TRAIN)


def embedded_in(data: Data) -> EmbeddedFile | None:
    """The set that a source names; None for a source of another kind.

    ``builtin:NAME``, or a ``parquet:`` file with the columns of the pictograms.

    Raises:
        UserError: nothing of that name is embedded.
    """
    scheme, _, rest = data.source.partition(":")
    if scheme == "builtin":
        if rest not in EMBEDDED:
            raise UserError(
                "--data", f"unknown builtin {rest!r}", nearest(rest, EMBEDDED)
            )
        return EmbeddedFile(EMBEDDED[rest], EMBEDDED[rest].path)
    path = Path(rest).expanduser()
    if scheme == "parquet" and is_pictograms(path):
        return EmbeddedFile(EMBEDDED["pictograms"], path)
    return None
