"""While data are only looked at, nothing is kept of them, and no command is run."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from PIL import Image

from tinyclip.config.schema import Data
from tinyclip.data import kept
from tinyclip.data.pairs import open_pairs
from tinyclip.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A tar of one pair."""
    Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("black")
    with tarfile.open(tmp_path / "0.tar", "w") as file:
        for name in ("a.png", "a.txt"):
            file.add(tmp_path / name, name)
    return tmp_path / "0.tar"


def test_a_dry_look_runs_no_command(tmp_path: Path, cache: Path) -> None:
    with (
        kept.looking(),
        pytest.raises(UserError, match="1 of 1 shards are not in .* runs no command"),
    ):
        open_pairs(Data(source=f"pipe:touch {tmp_path}/ran"))
    assert not (tmp_path / "ran").exists()
    assert not cache.exists()


def test_a_dry_look_uses_the_shards_that_are_kept(shard: Path) -> None:
    data = Data(source=f"pipe:cat {shard}")
    open_pairs(data)
    shard.unlink()
    with kept.looking():
        assert len(open_pairs(data)) == 1


def test_a_dry_look_keeps_no_index(shard: Path, cache: Path) -> None:
    with kept.looking():
        assert len(open_pairs(Data(source=f"tars:{shard}"))) == 1
    assert not cache.exists()
    open_pairs(Data(source=f"tars:{shard}"))
    assert len(list((cache / "tinyclip" / "tars").iterdir())) == 1
