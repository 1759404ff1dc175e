"""A data source's licence is what the source says of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tinyclip.config.schema import Data
from tinyclip.data.embedded import EMBEDDED
from tinyclip.data.licences import hub_name, licence_of
from tinyclip.data.pairs import open_pairs, open_split
from tinyclip.data.views import Subset


def stated(data: Data) -> str | None:
    train, _ = open_split(data)
    return licence_of(data, train)


def test_of_the_embedded_pictures_those_that_are_trained_on_count() -> None:
    # CC-BY-4.0 stands in its tests alone
    data = Data(source="builtin:pictograms")
    assert stated(data) == "Apache-2.0, MIT, public-domain"
    some = Subset(open_pairs(data), [0, 1, 2])
    assert licence_of(data, some) == "Apache-2.0, MIT, public-domain"


def test_a_set_of_its_form_need_not_name_any(tmp_path: Path) -> None:
    table = pq.read_table(EMBEDDED["pictograms"].path)
    pq.write_table(table.drop_columns(["licence"]), tmp_path / "x.parquet")
    assert stated(Data(source=f"parquet:{tmp_path}/x.parquet")) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(60):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_a_folder_is_asked_for_its_card(folder: Path) -> None:
    data = Data(source=f"folder:{folder}")
    assert stated(data) is None
    (folder / "README.md").write_text("---\nlicense: [mit, cc0-1.0]\n---\n")
    assert stated(data) == "mit, cc0-1.0"


@pytest.mark.parametrize(
    ("licence", "told"), [("MIT", "MIT"), ("", None), ("a whole text " * 40, None)]
)
def test_a_data_set_of_the_library_describes_itself(
    tmp_path: Path, licence: str, told: str | None
) -> None:
    datasets = pytest.importorskip("datasets")
    pictures = [Image.new("RGB", (8, 8))] * 120
    columns = {"image": pictures, "text": [f"text {i}" for i in range(120)]}
    info = datasets.DatasetInfo(license=licence)
    table = datasets.Dataset.from_dict(columns, info=info)
    table.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "saved")
    data = Data(source=f"hf:{tmp_path}/saved")
    assert stated(data) == told
    assert hub_name(data) is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hf:org/pairs#train", "org/pairs"),
        ("hf:cifar10", "cifar10"),
        ("csv:org/pairs", None),
        ("folder:cifar10", None),
        ("builtin:pictograms", None),
    ],
)
def test_a_name_on_the_hub_is_no_path(source: str, name: str | None) -> None:
    assert hub_name(Data(source=source)) == name
