"""The index of a teacher cache: what it was made of, and where each sample lies.

    DIR/index.json              what it was made of; `whole` once all of it is there
    DIR/image-00000.safetensors ...   features of the pictures (shards.py)
    DIR/text-00000.safetensors ...    features of the captions
    DIR/keys.safetensors        sorted hashes of keys and captions, and their places

Legend: N names that are stored, M names that are looked up.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ...bounded import open_regular
from ...config.load import fingerprint
from ...data.seeds import number
from ...differences import differences
from ...dtypes import DTYPES
from ...errors import UserError
from ...files import write_bytes
from ...sealed import UNSEALED, read_sealed, write_sealed
from ...typed import misfit
from .shards import Layout

log = logging.getLogger("tinyclip")
INDEX, KEYS = "index.json", "keys.safetensors"
VERSION = 2
UNSEALED_VERSION = 1  # the same, but for the seal
LAYOUT = {
    "kind": str,
    "rows": int,
    "augmentations": int,
    "embed_dim": int,
    "dtype": str,
    "each": int,
}
KIND = {
    "made_of": {"precision": str, "augmentations": int},
    "images": LAYOUT,
    "texts": LAYOUT,
    "again": str,
    "whole": bool,
    "salt": int,
    "keys": str,
    "content": str,
}
PART = re.compile(r"(image|text)-\d{5,}\.safetensors|keys\.safetensors")
AGAIN = "Delete that file and run `tinyclip cache` as before: whole shards stay"
BROKEN, MISSING = -1, -2  # in place of a place
# what a run and its cache must have in common, in the words of messages
FITTING = ("teacher", "tokenizer", "transform", "augmentations", "crop", "seed")
ONLY_AUGMENTED = ("crop", "seed")  # a picture that is not augmented depends on neither
MAKE = "Make one with: tinyclip cache --teacher SOURCE --data SOURCE --out DIR"


@dataclass(frozen=True)
class Index:
    """What `index.json` says.

    Args:
        made_of: fingerprints of teacher, tokenizer, transform and data; augmentations,
            crop, seed, dtype, precision.
        images, texts: how the features lie.
        again: the command that made it, and that goes on or repairs it.
        whole: whether everything is there.
        salt: of the hashes, so that no two names share one.
        keys: SHA-256 of the file of keys.
        content: fingerprint of every feature.
    """

    made_of: dict[str, Any]
    images: Layout
    texts: Layout
    again: str
    whole: bool = False
    salt: int = 0
    keys: str = ""
    content: str = ""

    @property
    def fingerprint(self) -> str:
        """Of what it was made of."""
        return fingerprint(self.made_of)

    def write(self, folder: Path) -> None:
        """Put it in its place; raises `StorageError`."""
        write_sealed(folder / INDEX, {"format_version": VERSION, **asdict(self)})


def is_part(name: str) -> bool:
    """Whether a file of a cache, beside its index, has this name."""
    return PART.fullmatch(name) is not None


def read_index(folder: Path) -> Index:
    """The index of a cache, whole or not.

    Raises:
        UserError: the folder holds none, or one of another version.
    """
    path = folder / INDEX
    if not path.is_file():
        raise UserError(str(folder), "is no teacher cache", MAKE)
    read = read_sealed(path, {}, AGAIN)
    version = read.value.get("format_version")
    if version is None:
        raise UserError(str(path), "is no index of a teacher cache", MAKE)
    if version not in (VERSION, UNSEALED_VERSION):
        raise UserError(
            str(path),
            f"is a cache of version {version}, and this tinyclip reads {VERSION}",
            "Make it again, or use the tinyclip that made it",
        )
    if read.fault == UNSEALED and version == UNSEALED_VERSION:
        log.warning("%s: %s", path, UNSEALED)
    elif read.fault:
        raise UserError(str(path), read.fault, AGAIN)
    return _index_of(read.value, path)


def _index_of(value: dict[str, Any], path: Path) -> Index:
    wrong = misfit(value, KIND)
    try:
        if wrong:
            raise ValueError(wrong)
        values = {name: field for name, field in value.items() if name in _FIELDS}
        images, texts = Layout(**value["images"]), Layout(**value["texts"])
        index = Index(**{**values, "images": images, "texts": texts})
        _ = [DTYPES[layout.dtype] for layout in (images, texts)]
        _ = [index.made_of[name] for name in (*FITTING, "precision")]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(str(path), f"is damaged ({error})", AGAIN) from None
    return index


_FIELDS = tuple(Index.__dataclass_fields__)


def mismatches(
    stored: Mapping[str, Any],
    current: Mapping[str, Any],
    names: Iterable[str] = FITTING,
) -> list[str]:
    """Why a cache does not fit, as `seed: 0 in the cache, 1 here`; empty if it does."""
    unaugmented = stored["augmentations"] == current["augmentations"] == 1
    compared = [name for name in names if not (unaugmented and name in ONLY_AUGMENTED)]
    there, here = (
        {name: made_of.get(name) for name in compared} for made_of in (stored, current)
    )
    return [
        f"{name}: {before} in the cache, {now} here"
        for name, before, now in differences(there, here)
    ]


def find_index(folder: Path, current: Mapping[str, Any]) -> tuple[Path, Index]:
    """The cache that fits, of one folder or of several side by side in it.

    Args:
        current: the run's values of `FITTING`.

    Raises:
        UserError: there is none, none that fits (with the reason for each), more than
            one, or one that is not finished.
    """
    if (folder / INDEX).exists() or not folder.is_dir():
        caches = [folder]
    else:
        caches = sorted(path.parent for path in folder.glob(f"*/{INDEX}")) or [folder]
    indices = {cache: read_index(cache) for cache in caches}
    reasons = {cache: mismatches(indices[cache].made_of, current) for cache in caches}
    fitting = [cache for cache in caches if not reasons[cache]]
    if not fitting:
        lines = [f"\n  {cache}: {'; '.join(why)}" for cache, why in reasons.items()]
        raise UserError(
            str(folder), f"holds no cache for this run:{''.join(lines)}", MAKE
        )
    if len(fitting) > 1:
        names = ", ".join(map(str, fitting))
        raise UserError(str(folder), f"several caches fit: {names}", "Name one of them")
    index = indices[fitting[0]]
    if not index.whole:
        todo = f"Go on with: {index.again}"
        raise UserError(str(fitting[0]), "is not finished", todo)
    return fitting[0], index


def hashes_of(names: Iterable[str], salt: int) -> NDArray[np.int64]:
    """63 bits for each name, (M)."""
    return np.fromiter((number("cache", salt, name) for name in names), dtype=np.int64)


class Places:
    """Where names lie, by their hashes.

    Args:
        hash_N: ascending.
        place_N: row in the shards, or `BROKEN`.
        salt: of the hashes.
    """

    def __init__(
        self, hash_N: NDArray[np.int64], place_N: NDArray[np.int64], salt: int
    ) -> None:
        self.hash_N, self.place_N, self.salt = hash_N, place_N, salt

    def of(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The place of each name, (M); `MISSING` where it is not stored."""
        hash_M = hashes_of(names, self.salt)
        if not len(self.hash_N):
            return np.full(len(hash_M), MISSING)
        at_M = np.searchsorted(self.hash_N, hash_M)
        at_M = np.minimum(at_M, len(self.hash_N) - 1)
        stored_M = self.hash_N[at_M] == hash_M
        place_M: NDArray[np.int64] = np.where(stored_M, self.place_N[at_M], MISSING)
        return place_M


def write_keys(
    folder: Path,
    index: Index,
    keys: Callable[[], Iterable[str]],
    captions: Sequence[str],
    whole: NDArray[np.bool_],
) -> Index:
    """Write where every name lies; returns the index that knows of it.

    Args:
        keys: gives those of all samples, as often as it is asked.
        whole: of each key whether its sample could be read.

    Raises:
        StorageError: the file cannot be written.
    """
    salt = 0
    while True:
        hashes_by_kind = [hashes_of(names, salt) for names in (keys(), captions)]
        if all(len(np.unique(hashes)) == len(hashes) for hashes in hashes_by_kind):
            break
        salt += 1  # two names share a hash: 1 in 100 where there are 400 million
    places = [np.where(whole, np.arange(len(whole)), BROKEN), np.arange(len(captions))]
    tensors = {}
    for kind, hashes, place in zip(
        ("image", "text"), hashes_by_kind, places, strict=True
    ):
        order = np.argsort(hashes)
        tensors[f"{kind}_hash"] = torch.from_numpy(hashes[order])
        tensors[f"{kind}_place"] = torch.from_numpy(place[order].astype(np.int64))
    content = save_tensors(tensors)
    write_bytes(folder / KEYS, content)
    return replace(index, salt=salt, keys=hashlib.sha256(content).hexdigest())


def read_keys(folder: Path, index: Index) -> tuple[Places, Places]:
    """Where the pictures lie, and where the captions do.

    Raises:
        UserError: the file is missing or was changed.
    """
    path = folder / KEYS
    try:
        with open_regular(path) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != index.keys:
            raise ValueError("its checksum is wrong")
        arrays = {
            name: tensor.numpy() for name, tensor in load_tensors(content).items()
        }
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            str(path), f"is damaged: {error}", f"It is made anew by: {index.again}"
        ) from None
    images, texts = (
        Places(arrays[f"{kind}_hash"], arrays[f"{kind}_place"], index.salt)
        for kind in ("image", "text")
    )
    return images, texts
