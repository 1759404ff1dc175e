"""Making a teacher cache: what it holds, and what it survives."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tinyclip.cli.main import main
from tinyclip.data.broken import Broken
from tinyclip.data.loader import Loader
from tinyclip.data.seeds import number
from tinyclip.data.views import View
from tinyclip.errors import StorageError, UserError
from tinyclip.model.clip import Clip
from tinyclip.training.teacher import make as cache_make
from tinyclip.training.teacher.index import read_index, read_keys

pytestmark = pytest.mark.usefixtures("small_shards")


class Killed(BaseException):
    """Nothing may catch it, as nothing catches SIGKILL."""


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shards_are_of_a_bounded_size_and_hold_every_sample(studio, tmp_path) -> None:
    index, _ = studio.make(tmp_path)
    shards = [load_file(path)["features"] for path in sorted(tmp_path.glob("image-*"))]
    assert len(shards) == index.images.count > 5
    assert all(shard.nbytes <= 2_000 for shard in shards)
    assert torch.cat(shards).shape == (100, 3, 16)
    texts = [load_file(path)["features"] for path in sorted(tmp_path.glob("text-*"))]
    assert torch.cat(texts).shape == (100, 1, 16)


def test_features_are_the_teachers_of_the_loaders_pixels(studio, tmp_path) -> None:
    studio.make(tmp_path)
    shards = [load_file(path)["features"] for path in sorted(tmp_path.glob("image-*"))]
    loader, model = studio.loader(), studio.teacher.model
    with torch.no_grad():
        expected = model.encode_image(
            torch.stack([loader.sample(42, a) for a in range(3)]), normalize=True
        )
    torch.testing.assert_close(torch.cat(shards)[42], expected)


def test_the_cached_pixels_are_those_that_the_student_sees(
    studio, tmp_path, monkeypatch
) -> None:
    encode, encoded = Clip.encode_image, []

    def spy(self: Clip, inputs: torch.Tensor, **options: Any) -> torch.Tensor:
        encoded.append(inputs.clone())
        return encode(self, inputs, **options)

    monkeypatch.setattr(Clip, "encode_image", spy)
    studio.make(tmp_path)
    cached = torch.cat(encoded).unflatten(0, (100, 3))
    loader = studio.loader(size=50)
    for step in range(6):  # three epochs
        batch = loader.batch(step)
        pixels = cached[batch.index_B, batch.augmentation_B]
        assert torch.equal(pixels, batch.pixels)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_features_are_stored_in_the_type_asked_for(studio, tmp_path, dtype) -> None:
    index, _ = studio.make(tmp_path, dtype=dtype)
    dtypes = {load_file(p)["features"].dtype for p in tmp_path.glob("*-0*.safetensors")}
    assert dtypes == {getattr(torch, dtype)}
    assert index.images.dtype == dtype


def test_threads_change_nothing(studio, tmp_path, monkeypatch) -> None:
    studio.make(tmp_path / "one")
    pool = cache_make.ThreadPoolExecutor
    monkeypatch.setattr(cache_make, "ThreadPoolExecutor", lambda _: pool(4))
    studio.make(tmp_path / "four")
    assert files(tmp_path / "one") == files(tmp_path / "four")


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """Die at the n-th call by which a file is written; counts the calls."""

    def install(fatal: int | None) -> list[int]:
        calls: list[int] = []

        def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any) -> Any:
                calls.append(1)
                if len(calls) == fatal:
                    raise Killed
                return call(*args)

            return wrapped

        monkeypatch.undo()
        monkeypatch.setattr("tinyclip.training.teacher.shards.SHARD", 1_000)
        monkeypatch.setattr(os, "fsync", deadly(os.fsync))
        monkeypatch.setattr(Path, "replace", deadly(Path.replace))
        return calls

    return install


def test_killed_at_any_write_it_goes_on_to_the_same_files(
    studio, tmp_path, killing
) -> None:
    def ten() -> Loader:
        return studio.loader(list(range(10)))

    calls = killing(None)
    index, _ = studio.make(tmp_path / "whole", ten())
    shards = index.images.count + index.texts.count
    assert len(calls) == 3 * (shards + 3)  # and the index twice, and the keys
    for fatal in range(1, len(calls) + 1):
        folder = tmp_path / str(fatal)
        killing(fatal)
        with pytest.raises(Killed):
            studio.make(folder, ten())
        killing(None)
        _, kept = studio.make(folder, ten())
        # three calls a file, and the second is the rename
        assert kept == min(max(0, (fatal - 3) // 3), shards)
        assert files(folder) == files(tmp_path / "whole")


def test_a_finished_cache_is_left_as_it_is(studio, tmp_path) -> None:
    index, kept = studio.make(tmp_path)
    before = files(tmp_path)
    assert kept == 0
    assert studio.make(tmp_path) == (index, index.images.count + index.texts.count)
    assert files(tmp_path) == before


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_shard_alone_is_made_anew(studio, tmp_path, damage) -> None:
    index, _ = studio.make(tmp_path)
    before, path = files(tmp_path), tmp_path / "image-00002.safetensors"
    content = bytearray(path.read_bytes())
    content[-1_000] ^= 1
    path.write_bytes(content if damage == "flipped" else content[:-7])
    if damage == "missing":
        path.unlink()
    _, kept = studio.make(tmp_path)
    assert kept == index.images.count + index.texts.count - 1
    assert files(tmp_path) == before


def test_a_shard_of_another_cache_is_not_taken_for_ones_own(studio, tmp_path) -> None:
    studio.make(tmp_path / "mine")
    before = files(tmp_path / "mine")
    studio.make(tmp_path / "other", teacher="another")
    for path in (tmp_path / "other").glob("*-0*"):
        path.replace(tmp_path / "mine" / path.name)
    assert studio.make(tmp_path / "mine")[1] == 0
    assert files(tmp_path / "mine") == before


def test_another_cache_in_the_folder_is_refused_with_what_differs(
    studio, tmp_path
) -> None:
    studio.make(tmp_path)
    before = files(tmp_path)
    with pytest.raises(UserError, match="holds another cache .dtype: float32 in the"):
        studio.make(tmp_path, dtype="float16")
    assert files(tmp_path) == before


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow over that many bytes: a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_room_lets_it_go_on(studio, tmp_path) -> None:
    studio.make(tmp_path / "whole")
    folder = tmp_path / "full"
    # the shards have room, the keys have none
    with largest_file(3_000), pytest.raises(StorageError, match="ulimit -f"):
        studio.make(folder)
    assert not list(folder.glob("*.part-*"))
    assert not read_index(folder).whole
    shards = len(list(folder.glob("*-0*")))
    assert shards > 5
    assert studio.make(folder)[1] == shards
    assert files(folder) == files(tmp_path / "whole")


class Torn(View):
    """Pairs whose row 7 cannot be read."""

    def image(self, i: int) -> Image.Image:
        if i == 7:
            raise Broken("truncated", "half of it")
        return super().image(i)


def test_a_shard_that_somebody_takes_away_is_told(
    studio, tmp_path, monkeypatch
) -> None:
    real = cache_make.write_shard

    def write(path: Path, *rest: object) -> None:
        real(path, *rest)
        path.unlink()

    monkeypatch.setattr(cache_make, "write_shard", write)
    with pytest.raises(UserError, match="was written, and it is missing. Go on with"):
        studio.make(tmp_path, studio.loader(list(range(20))))


def test_broken_samples_are_kept_apart_and_counted_after_a_resume(
    studio, tmp_path
) -> None:
    def loader_with_a_broken_row() -> Loader:
        loader = studio.loader(max_broken_share=0.05)
        loader.pairs = Torn(loader.pairs)
        return loader

    index, _ = studio.make(tmp_path, loader=loader_with_a_broken_row())
    keys, _ = read_keys(tmp_path, index)
    loader = loader_with_a_broken_row()
    places = keys.of(loader.pairs.key(row) for row in range(100))
    assert np.flatnonzero(places < 0).tolist() == [7]
    assert places[8] == 8
    again, _ = studio.make(tmp_path, loader=loader)
    assert again == index
    assert list(loader.broken) == [loader.pairs.key(7)]


def test_two_names_of_one_hash_get_another_salt(studio, tmp_path, monkeypatch) -> None:
    def short(*parts: object) -> int:
        return number(*parts) % (2**13 if parts[1] != 0 else 50)

    monkeypatch.setattr("tinyclip.training.teacher.index.number", short)
    index, _ = studio.make(tmp_path)
    assert index.salt > 0
    keys, _ = read_keys(tmp_path, index)
    loader = studio.loader()
    places = keys.of(loader.pairs.key(row) for row in range(100))
    assert places.tolist() == list(range(100))


DIES = """
import os, signal, sys
from tinyclip.cli.main import main
from tinyclip.training.teacher import shards
shards.SHARD = 2_000
fsync, calls = os.fsync, []
def deadly(handle):
    calls.append(1)
    if len(calls) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)
os.fsync = deadly
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_after_sigkill_the_same_command_goes_on(drawn, tmp_path, capsys) -> None:
    def words(out: str) -> list[str]:
        source = ["--teacher", "builtin:pico", "--data", f"csv:{drawn}"]
        return ["cache", *source, "--out", str(tmp_path / out), "--json"]

    dead = subprocess.run([sys.executable, "-c", DIES, *words("killed")])
    assert dead.returncode == -signal.SIGKILL
    finished = len(list((tmp_path / "killed").glob("*-0*.safetensors")))
    assert finished > 1
    assert main(words("killed")) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == finished
    assert main(words("whole")) == 0
    killed, whole = files(tmp_path / "killed"), files(tmp_path / "whole")
    # the index names the command, which names the folder
    assert {**killed, "index.json": b""} == {**whole, "index.json": b""}
    assert read_index(tmp_path / "killed").whole
