"""Shards that come through a program's standard output."""

from __future__ import annotations

import io
import logging
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_pairs
from tinyclip.errors import UserError
from tinyclip.files import draft_of


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shards of three samples, and a cache folder of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "far"
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as shard:
            for sample in range(3):
                image = io.BytesIO()
                shade = 40 * (3 * number + sample)
                Image.new("RGB", (9, 7), (shade, 0, 0)).save(image, "PNG")
                for name, content in (
                    (f"s{sample}.png", image.getvalue()),
                    (f"s{sample}.txt", f"shade {shade}".encode()),
                ):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    shard.addfile(entry, io.BytesIO(content))
    return folder


def count(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def source(shards: Path) -> Data:
    return Data(source=f"pipe:echo run >> {shards}/log && cat {shards}/{{0..1}}.tar")


def test_a_pipe_gives_the_samples_of_its_shards(shards: Path) -> None:
    piped = open_pairs(source(shards))
    plain = open_pairs(Data(source=f"tars:{shards}/{{0..1}}.tar"))
    assert [piped.captions(i) for i in range(6)] == [
        plain.captions(i) for i in range(6)
    ]
    assert all(piped.image(i).tobytes() == plain.image(i).tobytes() for i in range(6))
    assert len({piped.key(i) for i in range(6)}) == 6


def test_a_shard_is_read_once(shards: Path) -> None:
    first = open_pairs(source(shards))
    assert count(shards / "log") == 2
    again = open_pairs(source(shards))
    assert count(shards / "log") == 2
    assert again.fingerprint() == first.fingerprint()


def test_only_the_open_shard_is_read_again_after_a_kill(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_pairs(source(shards))
    kept = sorted((tmp_path / "cache" / "tinyclip" / "pipes").glob("*.tar"))
    left = kept[1].rename(draft_of(kept[1]))  # as a kill leaves it
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert len(open_pairs(source(shards))) == 6
    assert count(shards / "log") == 3
    assert "1 of 2 shards are in" in caplog.text
    assert not left.exists()


def test_a_command_that_fails_is_named_with_its_words(shards: Path) -> None:
    with pytest.raises(UserError, match="failed with 3: .*\ngone fishing"):
        open_pairs(Data(source="pipe:echo gone fishing >&2; exit 3"))


def test_what_is_no_tar_is_refused_and_not_kept(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no tar"):
        open_pairs(Data(source="pipe:echo 404 not found"))
    assert not list((tmp_path / "cache" / "tinyclip" / "pipes").iterdir())


def test_half_a_shard_is_refused_and_not_kept(shards: Path, tmp_path: Path) -> None:
    whole = (shards / "0.tar").read_bytes()
    (shards / "0.tar").write_bytes(whole[:1500])
    data = Data(source=f"pipe:cat {shards}/0.tar")
    with pytest.raises(UserError, match="is not whole"):
        open_pairs(data)
    assert not list((tmp_path / "cache" / "tinyclip" / "pipes").iterdir())
    (shards / "0.tar").write_bytes(whole)
    assert len(open_pairs(data)) == 3


def test_half_a_shard_that_was_kept_is_read_again(shards: Path, tmp_path: Path) -> None:
    open_pairs(source(shards))
    kept = sorted((tmp_path / "cache" / "tinyclip" / "pipes").glob("*.tar"))
    kept[0].write_bytes(kept[0].read_bytes()[:1500])
    assert len(open_pairs(source(shards))) == 6
    assert count(shards / "log") == 3


def test_a_shard_that_was_changed_is_read_again(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_pairs(source(shards)).image(0).tobytes()
    kept = sorted((tmp_path / "cache" / "tinyclip" / "pipes").glob("*.tar"))
    for shard in kept:
        content = bytearray(shard.read_bytes())
        content[513] ^= 1  # of a picture: the tar's own checksums do not see it
        shard.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert open_pairs(source(shards)).image(0).tobytes() == first
    assert count(shards / "log") == 4
    assert "is not what its command wrote" in caplog.text


def test_a_shard_that_was_only_touched_is_not_read_again(
    shards: Path, tmp_path: Path
) -> None:
    open_pairs(source(shards))
    for shard in (tmp_path / "cache" / "tinyclip" / "pipes").glob("*.tar"):
        os.utime(shard, (1, 1))
    open_pairs(source(shards))
    assert count(shards / "log") == 2


@pytest.mark.parametrize("told", ["{}", "[" * 100_000, '{"sha256": 3}'])
def test_a_damaged_seal_has_its_shard_read_again(
    shards: Path, tmp_path: Path, told: str
) -> None:
    open_pairs(source(shards))
    for seal in (tmp_path / "cache" / "tinyclip" / "pipes").glob("*.json"):
        seal.write_text(told)
    assert len(open_pairs(source(shards))) == 6
    assert count(shards / "log") == 4


def test_a_shard_whose_seal_was_not_written_yet_is_kept(
    shards: Path, tmp_path: Path
) -> None:
    open_pairs(source(shards))
    for seal in (tmp_path / "cache" / "tinyclip" / "pipes").glob("*.json"):
        seal.unlink()
    open_pairs(source(shards))
    assert count(shards / "log") == 2
    assert len([*(tmp_path / "cache" / "tinyclip" / "pipes").glob("*.json")]) == 2
