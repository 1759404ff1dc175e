"""Code that comes with somebody's model or data: it never runs or travels on."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tinyclip import load
from tinyclip.config.load import load_recipe
from tinyclip.formats.format import Job
from tinyclip.formats.parity import random_probe
from tinyclip.formats.registry import FORMATS
from tinyclip.formats.tensors import read_tensors
from tinyclip.model.store import save_model

from .data import WHOLE, head, member, pairs
from .families import Attack, family
from .sources import copied_hf, transformers_folder

PLANTED = "planted"  # a word that only the stranger wrote
RAN = "ran"  # the file that the code makes
FILES = (
    *("config.json", "tokenizer_config.json", "tokenizer.json"),
    *("preprocessor_config.json", "processor_config.json"),
    *("special_tokens_map.json", "generation_config.json", "added_tokens.json"),
)
CLASSES = ("AutoConfig", "AutoModel", "AutoTokenizer", "AutoProcessor")
CLASSES += ("AutoImageProcessor", "AutoImageProcessorFast")


def module(folder: Path) -> str:
    """A module that leaves a trace when it is imported."""
    return f"open({str(folder / RAN)!r}, 'w').close()\nclass Planted: ...\n"


def plant(names: tuple[str, ...], key: str, value: Any, folder: Path) -> None:
    """A key in files of a whole source, and the module that it names beside them."""
    copied = copied_hf(folder)
    (copied / "planted.py").write_text(module(folder))
    for name in names:
        path = copied / name
        text = path.read_text() if path.exists() else "{}"
        path.write_text(json.dumps({**json.loads(text), key: value}))


def untouched(folder: Path) -> None:
    assert not (folder / RAN).exists(), "the stranger's code ran"


def loaded(folder: Path) -> str:
    """Load the source, write it in our form and look for what was planted."""
    model = load(f"hf:{folder / 'm'}")
    untouched(folder)
    save_model(
        folder / "saved",
        model.model,
        model.preprocess,
        model.tokenizer,
        provenance={"source": "hf:m"},
        teacher_sizes=None,
    )
    return clean(folder, "saved")


def clean(folder: Path, name: str) -> str:
    """That nothing of the stranger's lies in what we wrote, or ran when it was read."""
    untouched(folder)
    for path in sorted((folder / name).rglob("*")):
        if path.is_file():
            assert PLANTED.encode() not in path.read_bytes(), (
                f"it travels in {path.name}"
            )
    return "nothing travels"


def exported(kind: str, folder: Path) -> str:
    """Export the source; what that wrote, loaded as its card says, runs nothing."""
    model = load(f"hf:{folder / 'm'}")
    FORMATS[kind].write(Job(model, folder / "out", "random"))
    clean(folder, "out")
    if kind == "huggingface":
        line = "from transformers import AutoModel as M, AutoProcessor as P\n"
        line += "for A in (M, P): A.from_pretrained('out', trust_remote_code=True)"
        subprocess.run(
            [sys.executable, "-c", line],
            cwd=folder,
            env={**os.environ, "HF_MODULES_CACHE": str(folder / "modules")},
            capture_output=True,
            timeout=300,
            check=True,
        )
    untouched(folder)
    return "nothing travels"


class Payload:
    """A pickle that makes a file when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder / RAN),)


def pickled(name: str, folder: Path) -> None:
    (folder / name).write_bytes(pickle.dumps({"a": Payload(folder)}, protocol=2))


def read_weights(name: str, folder: Path) -> str:
    try:
        read_tensors(folder / name)
    finally:
        untouched(folder)
    return ""


def recipe(text: str, folder: Path) -> None:
    words = text.replace("RAN", str(folder / RAN))
    (folder / "r.yaml").write_text(words)


def read_recipe(folder: Path) -> str:
    try:
        load_recipe(str(folder / "r.yaml"))
    finally:
        untouched(folder)
    return ""


TAGS = (
    "a: !!python/object/apply:os.mkdir ['RAN']",
    "a: !!python/object/new:os.mkdir ['RAN']",
    "a: !!python/object/apply:subprocess.check_output [[touch, 'RAN']]",
    "a: !!python/name:os.system",
    "a: !!python/module:os",
    "teacher: !!python/object/apply:os.mkdir ['RAN']",
    "? !!python/object/apply:os.mkdir ['RAN']\n: b",
)
PICTURES = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    "a pickle": pickle.dumps([1, 2]),
    "a module": b"#!/bin/sh\ntouch ran\n",
}


def pictured(content: bytes, folder: Path) -> None:
    """A picture that needs a program, and that program on the path."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("gs", "gswin64c", "rsvg-convert", "convert"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {folder / RAN}\n")
        (programs / name).chmod(0o755)
    more = b"".join(
        member(b"9%d.png" % i, content) + member(b"9%d.txt" % i, b"a") for i in range(2)
    )
    (folder / "x.tar").write_bytes(WHOLE + more + bytes(1024))


def read_pictures(folder: Path) -> str:
    os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    told = pairs("tars", "x.tar", folder)
    untouched(folder)
    return told


def linked(kind: bytes, target: bytes, folder: Path) -> None:
    """A member that is a link out of the tar."""
    link = head(b"9.png", b"%011o\0" % 0, kind, _157=target)
    (folder / "x.tar").write_bytes(WHOLE + link + member(b"9.txt", b"a") + bytes(1024))


def mapped() -> dict[str, list[str] | str]:
    both = ("AutoTokenizer",)
    return {
        name: ["planted.Planted", "planted.Planted"]
        if name in both
        else "planted.Planted"
        for name in CLASSES
    }


def values() -> dict[str, Any]:
    """What a stranger may write under keys that libraries look at."""
    return {
        "auto_map": mapped(),
        "custom_pipelines": {PLANTED: {"impl": "planted.Planted"}},
        "chat_template": "{{ 'planted' }}",
        "processor_class": "PlantedProcessor",
        "trust_remote_code": True,
        "_planted": {"a": 1},
        "planted": "x",
        "_name_or_path": "somebody/planted",
        "response_schema": {PLANTED: "x"},
    }


@family("strangers' code")
def strangers() -> Iterator[Attack]:
    """Keys that name code, in every file; pickles, tags, pictures of programs."""
    transformers_folder()
    random_probe(2)
    for key, value in values().items():
        for name in FILES:
            made = partial(plant, (name,), key, value)
            told = f"{key} in {name}"
            yield Attack(told, made, loaded, harmless=True, writes=True)
    for kind in FORMATS:
        made = partial(plant, FILES, "auto_map", mapped())
        yield Attack(f"auto_map to {kind}", made, partial(exported, kind), writes=True)
    for name in ("w.pt", "w.bin", "w.ckpt", "w.safetensors", "w.npz"):
        yield Attack(
            f"a pickle in {name}", partial(pickled, name), partial(read_weights, name)
        )
    for number, tag in enumerate(TAGS):
        yield Attack(f"a tag {number}", partial(recipe, tag), read_recipe)
    for name, content in PICTURES.items():
        yield Attack(f"a picture of {name}", partial(pictured, content), read_pictures)
    links: dict[str, tuple[bytes, bytes]] = {
        "a link to a file of the system": (b"2", b"/etc/passwd"),
        "a hard link above": (b"1", b"../../../etc/passwd"),
        "a link to a device": (b"2", b"/dev/zero"),
    }
    for told, (kind, target) in links.items():
        yield Attack(
            told,
            partial(linked, kind, target),
            partial(pairs, "tars", "x.tar"),
            harmless=True,
        )
