"""From packages to a teacher: every script of the embedded set, on a set of a few
drawings, without a network."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="clip-arts come as a Debian package"
)
# faces; the hash that decides splits keeps the last two out of training
CODES = [*(f"1f6{number:02x}" for number in range(10)), "1f60c", "1f627"]
CLIPARTS = ("owl", "red star", "blue car", "tall tree", "grey cat", "old key", "moon")
MEASURED = {
    *("dev@1", "dev@5", "test_designer@1", "test_designer@5"),
    *("unseen_group@1", "unseen_subgroup@1"),
}


def circle(number: int, designer: int) -> str:
    colour = f"#{40 * designer % 256:02x}{20 * number % 256:02x}80"
    return f'<circle cx="8" cy="8" r="{3 + number % 5}" fill="{colour}"/>'


def pack(where: Path, name: str, files: dict[str, bytes]) -> None:
    """An archive as `npm pack` makes it."""
    with tarfile.open(where / name, "w:gz") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def icons(designer: int) -> dict[str, bytes]:
    shapes = {f"face-{n}": {"body": circle(n, designer)} for n in range(len(CODES))}
    chars = {code: f"face-{n}" for n, code in enumerate(CODES)}
    files = {"icons.json": {"icons": shapes}, "chars.json": chars}
    return {name: json.dumps(value).encode() for name, value in files.items()}


def words() -> dict[str, bytes]:
    entries = [
        {
            "group": n % 2,
            "subgroup": n % 3,
            "label": f"face number {chr(97 + n)}",
            "tags": [f"word{chr(97 + n)}"],
            "hexcode": code.upper(),
            "emoji": chr(int(code, 16)),
        }
        for n, code in enumerate(CODES)
    ]
    groups = {
        "groups": {"0": "smileys", "1": "people"},
        "subgroups": {"0": "round", "1": "flat", "2": "odd"},
    }
    codes = {f"en/shortcodes/{n}.json": {} for n in ("github", "iamcal")}
    codes |= {f"en/shortcodes/{n}.json": {} for n in ("joypixels", "cldr")}
    files = {"meta/groups.json": groups, "en/data.json": entries, **codes}
    return {name: json.dumps(value).encode() for name, value in files.items()}


def bitmaps() -> dict[str, bytes]:
    files = {}
    for n, code in enumerate(CODES):
        buffer = io.BytesIO()
        Image.new("RGBA", (32, 32), (20 * n, 90, 200, 255)).save(buffer, "WEBP")
        files[f"assets/{code}.webp"] = buffer.getvalue()
    return files


def clip_art(title: str, number: int) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16">'
        f"<metadata><dc:title>{title}</dc:title><dc:subject><rdf:Bag><rdf:li>"
        f"thing{number}</rdf:li></rdf:Bag></dc:subject></metadata>"
        f"{circle(number, number)}</svg>"
    )


def debian(where: Path, name: str, version: str) -> None:
    root = where / "deb"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: nobody <a@b.c>\nDescription: for tests\n"
    )
    svg = root / "usr/share/openclipart/svg/things"
    svg.mkdir(parents=True)
    for number, title in enumerate(CLIPARTS):
        text = clip_art(title, number).replace(
            "<metadata>", '<metadata xmlns:dc="dc" xmlns:rdf="rdf">'
        )
        (svg / f"{number}.svg").write_text(text)
    quoted = version.replace(":", "%3a")
    out = where / f"{name}_{quoted}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--build", str(root), str(out)], check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def packages(pictoset: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of the names and versions that the builder wants."""
    where = tmp_path_factory.mktemp("packages")
    for designer, package in enumerate(pictoset.fetch.packages()):
        name = f"{package.folder}-{package.version}.tgz"
        if package.debian:
            debian(where, package.name, package.version)
        elif package.name == "emojibase-data":
            pack(where, name, words())
        elif package.name == "emojilib":
            pack(where, name, {"dist/emoji-en-US.json": b"{}"})
        elif package.name.endswith("3d"):
            pack(where, name, bitmaps())
        else:
            pack(where, name, icons(designer))
    return where


@pytest.fixture(scope="module")
def built(
    script: Any, packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder with both sets."""
    out = tmp_path_factory.mktemp("built")
    arguments = ("--out", out, "--fetch", packages, "--checksums", out / "absent.json")
    facts = script("pictograms/build.py", *arguments, "--processes", 1)
    assert facts == json.loads((out / "checksums.json").read_text())
    assert set(facts["sets"]) == {"pictograms.parquet", "pictograms-benchmark.parquet"}
    return out


@pytest.fixture(scope="module")
def trained(script: Any, built: Path) -> Path:
    """The folder of a teacher that took two steps."""
    data, out = built / "train.safetensors", built / "teacher"
    prepared = script(
        "pictograms/prepare.py",
        built / "pictograms-benchmark.parquet",
        *("--out", data, "--bpe", built / "bpe.txt.gz"),
    )
    assert prepared["arrays"]["pictures"] == [prepared["rows"], 4, 64, 64]
    line = script(
        *("pictograms/train_teacher.py", data, "--out", out, "--steps", 2),
        *("--concepts", 5, "--warmup", 1, "--threads", 1),
    )
    assert {"step", "seconds", "pictures", "loss", "raw", "ema"} == set(line)
    more = {"dev_openmoji@1", "dev_openmoji@5", "clipart_r@1", "clipart_r@5"}
    assert MEASURED | more == set(line["ema"])
    return out


def test_the_builder_draws_and_splits_every_source(built: Path) -> None:
    rows = pq.read_table(built / "pictograms.parquet").to_pylist()
    splits = {row["split"] for row in rows}
    assert {"train", "dev", "test_designer", "test_unseen", "test_clipart"} == splits
    assert not {row["source"] for row in rows} & {"openmoji"}  # it does not ship
    both = pq.read_table(built / "pictograms-benchmark.parquet").to_pylist()
    assert "openmoji" in {row["source"] for row in both}


def test_two_builds_are_the_same(script: Any, packages: Path, built: Path) -> None:
    out = built / "again"
    arguments = ("--out", out, "--fetch", packages)
    facts = script(
        "pictograms/build.py", *arguments, "--checksums", built / "checksums.json"
    )
    assert facts == json.loads((built / "checksums.json").read_text())


def test_the_pixels_are_measured(script: Any, built: Path) -> None:
    percentages = script("pictograms/pixel_baseline.py", built / "pictograms.parquet")
    assert set(percentages) == MEASURED


@pytest.mark.slow
def test_a_teacher_goes_on_where_it_was_stopped(
    script: Any, built: Path, trained: Path
) -> None:
    out = built / "resumed"
    shutil.copytree(trained, out)
    last = script(
        *("pictograms/train_teacher.py", built / "train.safetensors", "--out", out),
        *("--steps", 3, "--concepts", 5, "--warmup", 1, "--threads", 1, "--resume"),
    )
    assert (last["step"], last["pictures"]) == (3, 3 * 5 * 2)
    lines = (out / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [2, 3]


@pytest.mark.slow
def test_the_teacher_that_is_shipped_is_measured_and_has_its_card(
    script: Any, built: Path, trained: Path
) -> None:
    out = built / "shipped"
    measured = script(
        *("pictograms/ship_teacher.py", trained / "ema.safetensors", "--out", out),
        *("--log", trained / "log.jsonl", "--set", built / "pictograms.parquet"),
    )
    assert set(measured) == {"teacher", "pixels"}
    assert MEASURED | {"clipart_r@1", "clipart_r@5"} == set(measured["teacher"])
    card = (out / "README.md").read_text()
    assert f"top-1 | {measured['teacher']['test_designer@1']:.1f} |" in card
    assert "It stopped after 2 steps" in card
