"""Types of numbers by all their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tinyclip import dtypes
from tinyclip.errors import UserError


@pytest.mark.parametrize("name", dtypes.DTYPES)
def test_a_name_is_torchs_own(name: str) -> None:
    assert dtypes.get(name).torch == getattr(torch, name)


@pytest.mark.parametrize("name", dtypes.DTYPES)
def test_a_safetensors_file_names_it_so(name: str, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_file({"x": torch.zeros(2, dtype=getattr(torch, name))}, path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["x"]["dtype"] == dtypes.get(name).stored


@pytest.mark.parametrize("one", dtypes.DTYPES.values())
def test_either_spelling_names_it(one: dtypes.Dtype) -> None:
    assert dtypes.get(one.name) is dtypes.get(one.short) is one


def test_an_unknown_type_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'float16'"):
        dtypes.get("float61")
