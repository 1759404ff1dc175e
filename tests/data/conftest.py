"""Small sources of real picture files, and stand-ins for transform and tokenizer."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image


def encoded(colour: tuple[int, ...], kind: str = "PNG", size: int = 4) -> bytes:
    """A picture of one colour, as bytes of a file."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[len(colour)]
    buffer = BytesIO()
    Image.new(mode, (size, size), colour).save(buffer, kind, lossless=True)
    return buffer.getvalue()


@dataclass
class FakePreprocess:
    """Mean colour as pixels, so that a test can tell pictures apart; counts calls."""

    calls: int = 0

    def __call__(self, image: Image.Image) -> torch.Tensor:
        self.calls += 1
        mean = np.asarray(image, dtype=np.float32).reshape(-1, 3).mean(axis=0)
        return torch.from_numpy(mean).reshape(3, 1, 1)

    def augmented(self, image: Image.Image, seed: int, crop: float) -> torch.Tensor:
        return self(image) + seed % 1000 / 1000 + 10 * crop


@dataclass
class FakeTokenizer:
    """Two ids a text; remembers what it was asked."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.asked.extend(texts)
        return torch.tensor([[len(text), sum(text.encode())] for text in texts])


@dataclass(eq=False)
class Listed:
    """Row i has the captions `texts[i]`, and the key `ki`."""

    texts: list[tuple[str, ...]]
    labels: list[str] | None = None
    name: str = "listed"
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def key(self, i: int) -> str:
        return f"k{i}"

    def captions(self, i: int) -> tuple[str, ...]:
        return self.texts[i]

    def image(self, i: int) -> Image.Image:
        return Image.new("RGB", (4, 4), (i, i, i))

    def fingerprint(self) -> str:
        return "listed"


@pytest.fixture
def make_listed():
    return Listed


class FakePairs:
    """Row i is a picture of colour (i, i, i) with captions `one i`, `two i`."""

    name = "fake:pairs"
    dropped: dict[str, int] = {}

    def __init__(self, count: int, broken: tuple[int, ...] = ()) -> None:
        self.count, self.bad, self.opened = count, set(broken), 0

    def __len__(self) -> int:
        return self.count

    def key(self, i: int) -> str:
        return f"k{i}"

    def captions(self, i: int) -> tuple[str, ...]:
        return (f"one {i}", f"two {i}")

    def image(self, i: int) -> Image.Image:
        from tinyclip.data.pictures import Broken

        self.opened += 1
        if i in self.bad:
            raise Broken("truncated", f"row {i}")
        return Image.new("RGB", (2, 2), (i % 256, i // 256, 0))

    def fingerprint(self) -> str:
        return f"fake {self.count}"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Path:
    """A cache folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def write_tar(path: Path, members: list[tuple[str, bytes]], **how: object) -> Path:
    """A tar of these files."""
    with tarfile.open(path, "w", **{"format": tarfile.USTAR_FORMAT, **how}) as tar:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, BytesIO(content))
    return path


@pytest.fixture
def make_tar():
    return write_tar


@pytest.fixture
def shards(tmp_path: Path) -> str:
    """Three shards of four samples: sample i has colour (i, 2i, 7) and `colour i`."""
    for shard in range(3):
        members = []
        for i in range(4 * shard, 4 * shard + 4):
            members.append((f"{i:03d}.png", encoded((i, 2 * i, 7))))
            members.append((f"{i:03d}.txt", f"colour {i}".encode()))
        write_tar(tmp_path / f"{shard:02d}.tar", members)
    return f"tars:{tmp_path}/{{00..02}}.tar"


@pytest.fixture
def preprocess() -> FakePreprocess:
    return FakePreprocess()


@pytest.fixture
def tokenizer() -> FakeTokenizer:
    return FakeTokenizer()


@pytest.fixture
def make_pairs() -> type[FakePairs]:
    return FakePairs


@pytest.fixture
def picture():
    return encoded


@pytest.fixture
def table(tmp_path: Path):
    """A CSV of `count` coloured pictures, whose lines the caller may change."""

    def make(count: int = 4, header: str = "path,caption", name: str = "pairs.csv"):
        lines = [header]
        for i in range(count):
            (tmp_path / f"{i}.png").write_bytes(encoded((i, 2 * i, 7)))
            lines.append(f"{i}.png,colour {i}")
        file = tmp_path / name
        file.write_text("\n".join(lines) + "\n")
        return file

    return make


@pytest.fixture
def pictograms(tmp_path: Path) -> Path:
    """A parquet of the embedded set's form: 12 train, 3 dev, and every test split."""
    splits = ["train"] * 12 + ["dev"] * 3 + ["test_designer"] * 6
    splits += ["test_unseen"] * 4 + ["test_clipart"] * 5
    rows = []
    for i, split in enumerate(splits):
        clipart = split == "test_clipart" or i % 6 == 5 and split == "train"
        rows.append(
            {
                "key": f"set/{i}",
                "image": encoded((i, 9, 200), "WEBP"),
                "concept": f"c{i % 6}",
                "name": f"art {i // 2}" if clipart else f"name-{i % 6}",
                "keywords": ["red", "round", "big", "unused"],
                "captions": [f"name {i % 6}", f"an emoji of name {i % 6}"],
                "group": "clip-group" if clipart else f"group-{i % 2}",
                "subgroup": f"sub-{i % 3}",
                "source": "set",
                "licence": "MIT",
                "split": split,
                "kind": "clipart" if clipart else "emoji",
            }
        )
    file = tmp_path / "pictograms.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file
