"""What is kept of data: whole or absent, and nothing while they are only looked at."""

from __future__ import annotations

import fcntl
import os
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


def left(path: Path, age: float) -> Path:
    """A draft of `path` as a killed process leaves it."""
    draft = path.with_name(f"{path.name}.part-{16 * 'a'}")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text("half")
    then = draft.stat().st_mtime - age
    os.utime(draft, (then, then))
    return draft


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


def test_a_draft_that_a_killed_process_left_goes(tmp_path: Path) -> None:
    old, new = left(tmp_path / "old", kept.FRESH + 1), left(tmp_path / "new", 0)
    with kept.whole_file(tmp_path / "it") as file:
        file.write(b"whole")
    assert not old.exists()
    assert new.exists()  # whoever makes it may not have locked it yet
    assert (tmp_path / "it").read_bytes() == b"whole"


def test_a_draft_that_is_being_written_stays(tmp_path: Path) -> None:
    draft = left(tmp_path / "it", kept.FRESH + 1)
    with draft.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with kept.whole_file(tmp_path / "it"):
            pass
        assert draft.exists()


@pytest.mark.parametrize("name", ["it.part", "it.part-abc", "x.part-folder"])
def test_what_others_have_there_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with kept.whole_file(tmp_path / "it"):
        pass
    assert (tmp_path / name).is_dir()


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("before")
    with pytest.raises(KeyError), kept.whole_file(tmp_path / "it"):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert (tmp_path / "it").read_text() == "before"
