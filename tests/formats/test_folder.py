"""An export is whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyclip.errors import UserError
from tinyclip.formats.folder import check_free, whole_folder


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with whole_folder(out) as draft:
        (draft / "a").write_text("1")
        assert not out.exists()
    assert (out / "a").read_text() == "1"


def test_nothing_is_left_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out") as draft:
        (draft / "a").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as draft:
        (draft / "a").write_text("1")
    assert (tmp_path / "out" / "a").exists()


def test_a_folder_that_is_not_empty_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("1")
    with pytest.raises(UserError, match="not empty"), whole_folder(tmp_path / "out"):
        pass
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_file_in_the_way_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("1")
    with pytest.raises(UserError, match="is a file"), whole_folder(tmp_path / "out"):
        pass


def test_a_place_under_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    out = tmp_path / "file" / "out"
    with pytest.raises(UserError, match="cannot be written"), whole_folder(out):
        pass


@pytest.mark.parametrize("inside", ["model", "stages/1-100to75", "basis/x/y"])
def test_where_a_run_goes_on_writing_is_no_place_for_others(
    tmp_path: Path, inside: str
) -> None:
    for name in ("recipe.yaml", "plan.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="keeps its own"):
        check_free(tmp_path / inside)
    check_free(tmp_path / "exported" / "model")
