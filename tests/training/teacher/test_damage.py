"""Damaged files, and folders that are no cache: one message each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tinyclip.errors import UserError
from tinyclip.sealed import write_sealed
from tinyclip.training.teacher.index import is_part
from tinyclip.training.teacher.shards import Shards


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as refused:
        call()
    assert "Traceback" not in str(refused.value)
    return str(refused.value)


def test_every_flipped_byte_of_a_shard_is_noticed_or_harmless(
    studio, tmp_path, small_shards
) -> None:
    index, _ = studio.make(tmp_path, studio.loader(list(range(20))))
    path = tmp_path / "image-00001.safetensors"
    content, number = path.read_bytes(), 1

    def read() -> torch.Tensor:
        shards = Shards(index.images, tmp_path, index.fingerprint, "again")
        rows = index.images.span(number)
        return torch.stack([shards.feature(r, a) for r in rows for a in range(3)])

    expected, noticed = read(), 0
    header = 8 + int.from_bytes(content[:8], "little")
    tried = [*range(header), *range(header, len(content), 7)]
    for at in tried:
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            assert torch.equal(read(), expected), f"byte {at}"
        except UserError as refused:
            assert "image-00001.safetensors: is damaged" in str(refused)
            assert "Only it is made anew by: again" in str(refused)
            noticed += 1
    assert noticed > 0.8 * len(tried)


@pytest.mark.parametrize("name", ["image-00000", "text-00000", "keys"])
@pytest.mark.parametrize("damage", ["cut", "missing", "pipe"])
def test_a_damaged_file_is_told_at_start_up(cache, use, name, damage) -> None:
    path = cache / f"{name}.safetensors"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-9])
    if damage == "pipe":
        os.mkfifo(path)
    message = refusal(lambda: use(cache))
    assert message.startswith(f"{path}: is damaged")
    assert "tinyclip cache again" in message


def test_a_flipped_byte_of_the_keys_is_told(cache, use) -> None:
    path = cache / "keys.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "keys.safetensors: is damaged: its checksum" in refusal(lambda: use(cache))


def edited(folder: Path, **values: Any) -> None:
    """The index of whoever counts its checksum anew."""
    path = folder / "index.json"
    value = {**json.loads(path.read_text()), **values}
    write_sealed(path, {k: v for k, v in value.items() if k != "seal"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format_version": 3}, "is a cache of version 3, and this tinyclip reads 2"),
        ({"format_version": None}, "is no index of a teacher cache"),
        ({"images": {}}, "is damaged"),
        ({"made_of": {"seed": 1}}, "is damaged"),
        ({"images": 3}, "is damaged"),
        ({"whole": False}, "is not finished. Go on with: tinyclip cache again"),
    ],
    ids=["newer", "none", "empty", "lacking", "number", "unfinished"],
)
def test_an_index_that_cannot_be_used_is_refused(cache, use, values, said) -> None:
    edited(cache, **values)
    assert said in refusal(lambda: use(cache))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '"a"', '{"format_version": 1}', "[" * 100_000]
)
def test_an_index_that_is_none_is_refused(cache, use, text) -> None:
    (cache / "index.json").write_text(text)
    refusal(lambda: use(cache))


@pytest.mark.parametrize(("name", "value"), [("each", 0), ("rows", -1), ("kind", 3)])
def test_a_layout_of_no_shards_is_refused(cache, use, name, value) -> None:
    layout = json.loads((cache / "index.json").read_text())["images"]
    edited(cache, images={**layout, name: value})
    assert "index.json: is damaged" in refusal(lambda: use(cache))


def test_a_changed_index_is_refused_and_made_anew_around_its_shards(cache, use) -> None:
    path = cache / "index.json"
    path.write_text(path.read_text().replace('"salt": 0', '"salt": 1'))
    message = refusal(lambda: use(cache))
    assert "index.json: was changed since the run wrote it" in message
    assert "whole shards stay" in message
    names = {entry.name for entry in cache.iterdir()} - {"index.json"}
    assert all(map(is_part, names))


def test_an_index_of_before_seals_is_read_and_told(cache, use, caplog) -> None:
    path = cache / "index.json"
    value = json.loads(path.read_text())
    del value["seal"]
    path.write_text(json.dumps({**value, "format_version": 1}))
    use(cache)
    assert "has no seal" in caplog.text


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_a_folder_that_is_no_cache_is_refused(tmp_path, use, kind) -> None:
    path = tmp_path / "no"
    if kind == "empty":
        path.mkdir()
    if kind == "file":
        path.write_text("a file")
    message = refusal(lambda: use(path))
    assert "is no teacher cache. Make one with: tinyclip cache" in message
