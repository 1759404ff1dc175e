"""What a format is to the rest of the house: its words here, its work when asked for.

A format is one class with one line in `registry.py`. Its file imports nothing heavy at
its top: the command line asks every format for its words before any work begins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..quoting import as_source, python

if TYPE_CHECKING:
    from ..model.store import Loaded

FOREIGN = "tokenizer=PATH is for models of open_clip and transformers"
# a model's quality by name of the task and metric, and the number of pairs behind it
Measure = Callable[[Any], tuple[Mapping[str, float], int]]


@dataclass(frozen=True)
class Option:
    """A choice that one format offers: `--NAME` of `tinyclip export`.

    Args:
        choices: in the order in which help shows them.
        default: what goes without it, as help says it.
        help: what else there is to say.
    """

    name: str
    choices: tuple[str, ...]
    default: str
    help: str = ""


@dataclass(frozen=True)
class Job:
    """A model that is to be written.

    Args:
        loaded: with its preprocess and tokenizer; `config` says where it comes from.
        out: the folder, which is not there yet.
        data: source of the pairs that the export is compared on.
        options: those of the format that were given.
        certificate, metrics: of the model, if it has them; they go along.
        measure: tells the quality of a model, for a format that is `measured`.
    """

    loaded: Loaded
    out: Path
    data: str
    options: Mapping[str, str] = field(default_factory=dict)
    certificate: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None
    measure: Measure | None = None

    @property
    def extras(self) -> dict[str, Any]:
        """What goes along with the model, as the writers take it."""
        return {"certificate": self.certificate, "metrics": self.metrics}


@dataclass(frozen=True)
class Opened:
    """A model that is ready to run.

    Args:
        loaded: `model`, `preprocess`, `tokenizer` and `config`, as `store.Loaded`;
            the model has at least its `shape` and both `encode_` methods.
        runtime: `pytorch` or `onnxruntime`.
        precision: of the weights as they run.
        bytes: of the weights, likewise.
        sizes: of the model, by `cost.sizes`.
    """

    loaded: Any
    runtime: str
    precision: str
    bytes: int
    sizes: Mapping[str, int]


class Format(ABC):
    """One kind of folder that a model is written to, and read from again."""

    name: ClassVar[str]
    # what it writes, in one line for help and documents
    writes: ClassVar[str]
    # how the folder is used then; {source} stands for the literal that names it
    loads: ClassVar[str]
    # what that literal says; {out} stands for the folder
    source: ClassVar[str] = "{out}"
    options: ClassVar[tuple[Option, ...]] = ()
    # whether what is written may differ from the model by more than rounding
    measured: ClassVar[bool] = False

    def how_to_load(self, parity: Mapping[str, Any], out: str) -> str:
        """The line that says how a folder is used, once it is written.

        Args:
            parity: what `write` returned.
        """
        return self.loads.format(source=self.literal(out))

    def literal(self, out: str) -> str:
        """The Python string that names a folder to whoever loads it."""
        return python(self.source.format(out=as_source(out)))

    def require(self) -> None:  # noqa: B027 (most need none)
        """Check for the packages that writing takes.

        Raises:
            UserError: one is missing.
        """

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether an existing folder is of this format."""

    @abstractmethod
    def write(self, job: Job) -> dict[str, Any]:
        """Write the folder, load it again and compare; returns its `parity.json`.

        Raises:
            UserError: the format cannot hold the model, or the folder is taken.
            TinyclipError: what was written is not the same model.
        """

    @abstractmethod
    def describe(self, folder: Path) -> dict[str, Any]:
        """What `inspect` tells of a folder, from its files' headers.

        Raises:
            UserError: a file is missing or damaged, or contradicts another.
        """

    @abstractmethod
    def read(self, folder: Path, where: str, options: Mapping[str, str]) -> Loaded:
        """The folder's model, its preprocess and its tokenizer, with all weights.

        Args:
            where: the option that named it, for the message.
            options: of the source; `tokenizer` is a path to take it from instead.

        Raises:
            UserError: it is damaged or not supported, or its weights are not those of
                a model that can be gone on with.
        """

    @abstractmethod
    def load(self, folder: Path, where: str) -> Opened:
        """The folder's model, on a GPU where there is one and the runtime uses it.

        Args:
            where: the option that named it, for the message.

        Raises:
            UserError: it cannot be loaded.
        """
