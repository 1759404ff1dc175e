"""A file of tensors is read whoever wrote it, or says what it is instead."""

from __future__ import annotations

import ast
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tinyclip.errors import UserError
from tinyclip.formats import huggingface
from tinyclip.formats.tensors import read_tensors

STATE = {"a.weight": torch.ones(2), "b": torch.zeros(())}


@pytest.mark.parametrize(
    "wrapped",
    [
        STATE,
        {"state_dict": STATE, "epoch": 1, "optimizer": {"state": {}}},
        {"model": STATE, "epoch": 1},
        {"model_state_dict": STATE},
        {"module": STATE, "dp_world_size": 1},
        {"model": {"state_dict": STATE}},
    ],
    ids=lambda value: "+".join(value),
)
def test_the_state_dict_of_a_checkpoint_is_found(
    wrapped: dict[str, Any], tmp_path: Path
) -> None:
    torch.save(wrapped, tmp_path / "w.pt")
    tensors = read_tensors(tmp_path / "w.pt")
    assert tensors.keys() == STATE.keys()
    assert torch.equal(tensors["a.weight"], STATE["a.weight"])


def test_other_weights_of_a_checkpoint_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    averaged = {name: value + 1 for name, value in STATE.items()}
    torch.save({"state_dict": STATE, "ema": averaged}, tmp_path / "w.pt")
    assert torch.equal(read_tensors(tmp_path / "w.pt")["b"], STATE["b"])
    assert "those under 'state_dict'; others lie under 'ema'" in caplog.text


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"epoch": 1, "args": {}}, r"no state dict: it has 'epoch \(int\)', 'args"),
        ([torch.ones(1)], "it is a list"),
        (torch.ones(1), "it is a Tensor"),
        ({}, "has no tensors"),
        ({"state_dict": {}}, "has no tensors"),
    ],
)
def test_what_a_file_without_weights_holds_is_shown(
    saved: Any, message: str, tmp_path: Path
) -> None:
    torch.save(saved, tmp_path / "w.pt")
    with pytest.raises(UserError, match=message):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.bin", "w.pt", "w"])
def test_safetensors_are_known_by_their_first_bytes(name: str, tmp_path: Path) -> None:
    save_file(STATE, tmp_path / name)
    assert read_tensors(tmp_path / name).keys() == STATE.keys()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid x", "git lfs pull"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "not a whole safetensors file"),
    ],
)
def test_a_file_that_was_not_fetched_whole_is_named(
    content: bytes, message: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_tensors(tmp_path / name)


@pytest.mark.filterwarnings("ignore")  # torch's own, of TorchScript
def test_a_program_is_called_one(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"TorchScript.*torch\.jit\.load\(FILE\)"):
        read_tensors(tmp_path / "w.pt")


ODD = {
    "sparse": torch.eye(2).to_sparse(),
    "shapes only": torch.ones(2, device="meta"),
}


@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_numbers_are_named(kind: str, tmp_path: Path) -> None:
    torch.save({**STATE, "odd": ODD[kind]}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="'odd'. Save plain tensors"):
        read_tensors(tmp_path / "w.pt")


def test_a_checkpoint_that_holds_itself_has_no_end_to_look_for(tmp_path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["model"] = circle
    torch.save(circle, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"it has 'model \(dict\)'"):
        read_tensors(tmp_path / "w.pt")


def test_a_folder_is_not_called_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_tensors(tmp_path)


def test_huggingface_knows_nothing_of_open_clips_loader() -> None:
    room = Path(huggingface.__file__).parent
    named = [
        node.module or ""
        for path in room.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    ]
    assert "tensors" in named
    assert not [name for name in named if "openclip" in name]


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.zeros(2**16)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="unpacks to more than it holds"):
        read_tensors(path)


def test_a_file_of_more_bytes_than_its_model_can_have_is_not_read(
    tmp_path: Path,
) -> None:
    for name in ("w.pt", "w.safetensors"):
        torch.save({"a": torch.zeros(9)}, tmp_path / name)
        with (tmp_path / name).open("ab") as file:
            file.truncate(2**40)
        with pytest.raises(UserError, match="bytes"):
            read_tensors(tmp_path / name, 2**20)


def test_names_of_any_depth_are_not_spelt_out(tmp_path: Path) -> None:
    name: object = ()
    for _ in range(12):
        name = (name, name)
    torch.save({name: torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="a tuple .Tensor"):
        read_tensors(tmp_path / "w.pt")
