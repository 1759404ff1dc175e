"""Files that are whole or absent, and what is said when one cannot be written."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from tinyclip import files
from tinyclip.errors import REMEDIES, StorageError, UserError
from tinyclip.files import (
    draft_of,
    drop_drafts,
    drop_left,
    make_folder,
    read_json,
    read_regular,
    refuse_unwritable,
    whole_file,
    whole_folder,
    write_bytes,
)


def test_a_missing_folder_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such folder: make it") as error:
        write_bytes(tmp_path / "absent" / "file", b"1")
    assert "oom" not in str(error.value)  # neither "Make room" nor "no room"


def test_a_file_in_place_of_a_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    with pytest.raises(StorageError, match="A file lies where a folder is wanted"):
        write_bytes(tmp_path / "file" / "other", b"1")
    with pytest.raises(StorageError, match="A file lies where a folder is wanted"):
        make_folder(tmp_path / "file" / "folder")


def test_a_folder_in_place_of_a_file_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="A folder of that name is in the way"):
        write_bytes(tmp_path / "taken", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_folder_that_is_someone_elses_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)  # root may write anywhere
    with pytest.raises(StorageError, match="not allowed to write there"):
        write_bytes(tmp_path / "file", b"1")


def test_a_folder_that_cannot_be_made_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_unwritable(tmp_path / "new" / "newer")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="A file lies where a folder is wanted"):
        refuse_unwritable(tmp_path / "file" / "run")
    with pytest.raises(StorageError, match="Name a shorter one"):
        refuse_unwritable(tmp_path / ("x" * 300))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match="You are not allowed to write there"):
        refuse_unwritable(tmp_path / "new" / "newer")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "Make room there"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EACCES, "not allowed to write there"),
        (errno.EROFS, "Nothing can be written to that disk"),
        (errno.EIO, "disk does not work"),
        (errno.ELOOP, "Name another place"),  # as for all that is rare
    ],
)
def test_each_reason_of_the_systems_has_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "file").write_bytes(b"before")
    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(StorageError, match=words) as error:
        write_bytes(tmp_path / "file", b"after")
    assert os.strerror(number) in str(error.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def test_a_limit_on_a_files_size_is_no_full_disk(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(StorageError, match="ulimit -f"):
            write_bytes(tmp_path / "file", bytes(100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_every_remedy_is_one_sentence_without_its_full_stop() -> None:
    # the message goes on after it: ". Go on with: ..."
    assert not [words for words in REMEDIES.values() if words.endswith(".")]


def test_a_draft_is_nobody_elses_file(tmp_path: Path) -> None:
    theirs = tmp_path / "file.part"
    theirs.write_text("years of work")
    (tmp_path / "link.part").symlink_to(theirs)
    for name in ("file", "link"):
        write_bytes(tmp_path / name, b"1")
    with whole_folder(tmp_path / "folder") as draft:
        (draft / "inside").touch()
    assert theirs.read_text() == "years of work"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["file", "file.part", "folder", "link", "link.part"]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("years of work")
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    write_bytes(tmp_path / "link", b"1")
    assert (tmp_path / "theirs").read_text() == "years of work"
    assert not (tmp_path / "link").is_symlink()


def test_a_folder_is_as_before_where_a_new_one_fails(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "folder") as draft:
        (draft / "new").touch()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    with whole_folder(tmp_path / "folder") as draft:
        (draft / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "new"]


def test_a_folder_that_was_moved_when_its_process_died_is_there_again(
    tmp_path: Path,
) -> None:
    moved = tmp_path / f"folder.before-{'0' * 16}"
    moved.mkdir()
    (moved / "old").touch()
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "folder"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


def test_a_folder_is_as_before_where_a_new_one_cannot_take_its_place(
    tmp_path: Path,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    with pytest.raises(StorageError), whole_folder(tmp_path / "folder") as draft:
        draft.rmdir()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: File too large (os error 27)"),
    ],
)
def test_a_full_disk_is_told_whatever_library_wrote(
    tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(StorageError, match="out: cannot be written"):
        with whole_folder(tmp_path / "out"):
            raise error
    assert not list(tmp_path.iterdir())


def test_what_is_told_is_the_place_and_not_its_draft(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as told, whole_folder(tmp_path / "out") as draft:
        write_bytes(draft / "none" / "file", b"1")
    assert told.value.where == str(tmp_path / "out")
    with pytest.raises(StorageError) as told, whole_folder(tmp_path / "out"):
        write_bytes(tmp_path / "none" / "file", b"1")
    assert told.value.where == str(tmp_path / "none" / "file")


def test_a_draft_that_somebody_takes_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="out: cannot be written .No such file"):
        with whole_folder(tmp_path / "out") as draft:
            draft.rmdir()
            raise ValueError("whatever a library makes of that")


def test_a_bug_in_the_block_stays_one(tmp_path: Path) -> None:
    for error in (ValueError("x"), FileNotFoundError(2, "none", "elsewhere")):
        with pytest.raises(type(error)), whole_folder(tmp_path / "out"):
            raise error


def test_a_draft_that_a_dead_process_left_goes_and_a_living_ones_stays(
    tmp_path: Path,
) -> None:
    left = draft_of(tmp_path / "out")
    left.mkdir()
    (left / "half").touch()
    with whole_folder(tmp_path / "out") as mine:
        with whole_folder(tmp_path / "out"):
            assert mine.exists()
        assert not left.exists()


def test_a_file_that_a_dead_process_left_goes_and_a_living_ones_stays(
    tmp_path: Path,
) -> None:
    draft_of(tmp_path / "out").touch()
    with whole_file(tmp_path / "out") as mine:
        drop_left(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [Path(mine.name).name]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_drafts_are_dropped(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in ("a.part", "b.part-0", ".part-" + "0" * 16)]
    for path in kept:
        path.touch()
    draft_of(tmp_path / "file").touch()
    draft_of(tmp_path / "folder").mkdir()
    drop_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none"):
        with pytest.raises(UserError):
            read_regular(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(11)
    with pytest.raises(UserError, match="11 bytes; 10 at most"):
        read_regular(tmp_path / "file", most=10)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "\xff"])
def test_what_is_no_json_is_one_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"file: is .*Restore it"):
        read_json(tmp_path / "file")
