"""Files that are whole or absent, and what is said when one cannot be written."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from tinyclip import files
from tinyclip.errors import REMEDIES, StorageError
from tinyclip.files import make_folder, refuse_unwritable, write_bytes


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
