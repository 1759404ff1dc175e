"""Sources of pictures without captions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyclip.config.data import Pictures
from tinyclip.config.schema import Data
from tinyclip.data.pairs import open_pairs
from tinyclip.data.protocol import BARE, Pairs
from tinyclip.errors import UserError

RED = (10, 20, 7)


def opened(images: str, **settings: object) -> Pairs:
    data = Data(images=images, **settings)  # type: ignore[arg-type]
    return open_pairs(Pictures.of(data))


def first_of(pairs: Pairs) -> object:
    return pairs.image(0).getpixel((0, 0))


def test_a_folder_of_pictures_alone(tmp_path: Path, picture) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for key in ("b.png", "deep/a.png", "deep/er/c.png"):
        (tmp_path / key).write_bytes(picture(RED))
    (tmp_path / "b.txt").write_text("a caption that nobody asks for")
    pairs = opened(f"folder:{tmp_path}")
    assert [pairs.key(i) for i in range(3)] == ["b.png", "deep/a.png", "deep/er/c.png"]
    assert [pairs.captions(i) for i in range(3)] == [(BARE,)] * 3
    assert first_of(pairs) == RED
    assert len(opened(f"folder:{tmp_path}", exclude=("deep/*",))) == 1


def test_tars_without_texts(tmp_path: Path, make_tar, picture) -> None:
    members = [(f"{i}.png", picture(RED)) for i in range(3)]
    make_tar(tmp_path / "0.tar", [*members, ("1.json", b"{broken")])
    pairs = opened(f"tars:{tmp_path}/0.tar")
    assert (len(pairs), dict(pairs.dropped), first_of(pairs)) == (3, {}, RED)
    # the index of the same shard, asked for captions, is another one
    with pytest.raises(UserError, match="no caption"):
        open_pairs(Data(source=f"tars:{tmp_path}/0.tar"))


def test_a_pipe_of_tars_without_texts(tmp_path: Path, make_tar, picture) -> None:
    make_tar(tmp_path / "0.tar", [("1.png", picture(RED))])
    assert len(opened(f"pipe:cat {tmp_path}/0.tar")) == 1


def test_a_table_without_captions(table) -> None:
    file = table(4)
    file.write_text("path\n0.png\n1.png\n1.png\n3.png\n")
    pairs = opened(f"csv:{file}")
    assert [pairs.key(i) for i in range(len(pairs))] == ["0.png", "1.png", "3.png"]
    assert first_of(pairs) == (0, 0, 7)


def test_a_tables_column_is_named_by_a_setting_of_its_own(table) -> None:
    file = table(2, header="here,caption")
    assert len(opened(f"csv:{file}", images_column="here")) == 2
    with pytest.raises(UserError, match=r"--set data\.images_column=NAME"):
        opened(f"csv:{file}", image_column="here")


@pytest.mark.parametrize("bytes_", [True, False])
def test_parquet_without_captions(table, tmp_path: Path, picture, bytes_: bool) -> None:
    table(3)
    cells = [picture(RED)] * 3 if bytes_ else ["2.png", "0.png", "1.png"]
    pq.write_table(pa.table({"image": cells}), tmp_path / "x.parquet")
    pairs = opened(f"parquet:{tmp_path}/x.parquet")
    assert len(pairs) == 3
    assert first_of(pairs) == (RED if bytes_ else (2, 4, 7))


def test_a_data_set_without_captions(tmp_path: Path, picture) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"image": [{"bytes": picture(RED), "path": None}] * 2}
    saved = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    saved.save_to_disk(tmp_path / "saved")
    pairs = opened(f"hf:{tmp_path}/saved")
    assert (len(pairs), first_of(pairs)) == (2, RED)


def test_what_is_of_the_pairs_alone_is_not_the_pictures() -> None:
    data = Data(
        images="folder:x",
        val="csv:v",
        limit=3,
        class_names="names",
        caption_column="said",
        exclude=("a",),
    )
    pictures = Pictures.of(data)
    assert (pictures.source, pictures.exclude) == ("folder:x", ("a",))
    assert (pictures.val, pictures.limit) == (None, None)
    assert (pictures.class_names, pictures.caption_column) == (None, None)
