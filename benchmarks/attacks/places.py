"""Pipes, devices and folders where a verb expects a file."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from .commands import in_process, run_verb
from .configurations import copied, pico
from .data import END, WHOLE, head, png
from .families import Attack, family
from .values import special

DEVICES = {
    "a pipe": "",
    "endless": "/dev/zero",
    "a folder": "/",
    "memory": "/proc/self/mem",
}
LARGE = 2**31  # bytes of a file with nothing in it
TABLE = "path,caption\n" + "".join(f"{i}.png,a red square {i}\n" for i in range(8))
EVALUATE = ("evaluate", "builtin:pico", "--data")
COMPRESS = ("compress", "smoke", "--dry-run", "--out", "FOLDER/run")
# where it lies, and the words of the command that reads it
PLACES: dict[str, tuple[str, ...]] = {
    "r.yaml": ("recipes", "validate", "FOLDER/r.yaml"),
    "s.yaml": ("recipes", "validate", "FOLDER/uses.yaml"),
    "words.txt": (*COMPRESS, "--vocab", "FOLDER/words.txt"),
    "x.csv": (*EVALUATE, "csv:FOLDER/x.csv"),
    "x.tsv": (*EVALUATE, "tsv:FOLDER/x.tsv"),
    "x.tar": (*EVALUATE, "tars:FOLDER/x.tar"),
    "x.parquet": (*EVALUATE, "parquet:FOLDER/x.parquet"),
    "table/0.png": (*EVALUATE, "csv:FOLDER/table/x.csv"),
    "pairs/0.txt": (*EVALUATE, "folder:FOLDER/pairs"),
    "pairs/0.png": (*EVALUATE, "folder:FOLDER/pairs"),
    "names.txt": (
        *EVALUATE,
        "folder:FOLDER/classes",
        *("--set", "data.class_names=FOLDER/names.txt"),
    ),
    "w.safetensors": ("inspect", "openclip:ViT-B-32@FOLDER/w.safetensors"),
    "w.pt": ("inspect", "openclip:ViT-B-32@FOLDER/w.pt"),
    "tokenizer.json": ("inspect", "openclip:FOLDER/m,tokenizer=FOLDER/tokenizer.json"),
    "m/config.json": ("inspect", "FOLDER/m"),
    "m/model.safetensors": ("inspect", "FOLDER/m"),
    "m/certificate.json": ("inspect", "FOLDER/m"),
    "m/metrics.json": (
        "export",
        "FOLDER/m",
        "--to",
        "safetensors",
        "--out",
        "FOLDER/out",
        "--data",
        "random",
    ),
}
HOLDS = (
    "words.txt",
    "x.csv",
    "x.tsv",
    "names.txt",
    "r.yaml",
    "m/config.json",
    "table/0.png",
    "pairs/0.txt",
)


def surroundings(folder: Path) -> None:
    """All that the commands want, but for the file in question."""
    copied(folder)
    (folder / "uses.yaml").write_text("stages: [{use: ./s.yaml, target: 0.5}]\n")
    for name in ("table", "pairs", "classes/a", "classes/b"):
        (folder / name).mkdir(parents=True)
    (folder / "table" / "x.csv").write_text(TABLE)
    for number in range(8):
        for name in ("table", "pairs", "classes/a", "classes/b"):
            (folder / name / f"{number}.png").write_bytes(png())
        (folder / "pairs" / f"{number}.txt").write_text(f"a red square {number}")


def replaced(name: str, device: str, folder: Path) -> None:
    surroundings(folder)
    special(folder / name, device)


def holed(name: str, folder: Path) -> None:
    """A file of gigabytes that takes no room."""
    surroundings(folder)
    with (folder / name).open("wb") as file:
        file.truncate(LARGE)


def said(words: tuple[str, ...], folder: Path) -> str:
    told = run_verb(folder, *(word.replace("FOLDER", str(folder)) for word in words))
    return told[:80]


def run(words: tuple[str, ...], folder: Path) -> str:
    told = in_process(folder, *(word.replace("FOLDER", str(folder)) for word in words))
    return told[:80]


@family("places")
def places() -> Iterator[Attack]:
    """Every file that somebody names, or that lies where one is looked for."""
    pico()
    for name, words in PLACES.items():
        for told, device in DEVICES.items():
            made = partial(replaced, name, device)
            yield Attack(f"{name} is {told}", made, partial(said, words), writes=True)
    for name in HOLDS:
        reading = partial(said, PLACES[name])
        yield Attack(f"{name} of gigabytes", partial(holed, name), reading, writes=True)


def nothing(folder: Path) -> None:
    """No file at all."""


def tarred(content: bytes, folder: Path) -> None:
    (folder / "x.tar").write_bytes(content)


def written(name: str, content: Callable[[], bytes], folder: Path) -> None:
    surroundings(folder)
    (folder / name).write_bytes(content())


@family("command line")
def command_line() -> Iterator[Attack]:
    """One of each kind through a process of its own, as people meet it."""
    pico()
    tar, recipe = PLACES["x.tar"], PLACES["r.yaml"]
    negative = WHOLE + head(b"a.png", b"-0000001000\0") + END
    yield Attack(
        "a member of negative size", partial(tarred, negative), partial(run, tar)
    )
    bomb = "\n".join(
        [
            "m0: &m0 {k: 1}",
            *(f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}]}}" for i in range(1, 40)),
        ]
    )
    contents: dict[str, tuple[str, Callable[[], bytes], tuple[str, ...]]] = {
        "merge keys": ("r.yaml", bomb.encode, recipe),
        "brackets": ("m/config.json", lambda: b"[" * 10**5, PLACES["m/config.json"]),
        "a bomb of merges": (
            "m/bpe.txt.gz",
            lambda: gzip.compress(bytes(2**28), 1) * 20,
            PLACES["m/config.json"],
        ),
        "weights of nothing": ("m/model.safetensors", bytes, PLACES["m/config.json"]),
    }
    for told, (name, content, words) in contents.items():
        yield Attack(told, partial(written, name, content), partial(run, words))
    for name in ("r.yaml", "words.txt", "x.csv", "m/config.json"):
        made = partial(replaced, name, "")
        yield Attack(f"{name} is a pipe", made, partial(run, PLACES[name]), writes=True)
    for words in (
        ("inspect", "a[/b]c"),
        ("evaluate", "x" * 300),
        ("export", "\x1b[31m"),
    ):
        yield Attack(f"{words[0]} of {words[1]!r:.20}", nothing, partial(run, words))
