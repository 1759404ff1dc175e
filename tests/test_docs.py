"""What the documents name exists."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tinyclip.cost import size

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/decisions.md",
    "docs/design.md",
    "docs/log.md",
    "docs/data.md",
    "docs/method.md",
    "docs/results.md",
    "docs/export.md",
    "docs/evaluation.md",
    "docs/models.md",
    "docs/objectives.md",
    "docs/scale.md",
    "docs/settings.md",
)
VERBS = re.compile(r"(?:^|\s)tinyclip ([a-z]+)", re.MULTILINE)
TARGETS = re.compile(r"^\s*make ([a-z]+)", re.MULTILINE)
LINKS = re.compile(r"\]\(([^)#\s]+)")


def blocks(document: str) -> str:
    """The code blocks of a document that a shell would run, joined."""
    text = (ROOT / document).read_text()
    return "\n".join(re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL))


def python_blocks(document: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_to_a_file_leads_somewhere(document: str) -> None:
    home = (ROOT / document).parent
    links = LINKS.findall((ROOT / document).read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (home / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_verb_in_a_code_block_is_a_verb(document: str) -> None:
    named = set(VERBS.findall(blocks(document)))
    known = {path.stem for path in (ROOT / "tinyclip" / "cli").glob("[!_]*.py")}
    assert named <= known | {"recipes", "stages"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_in_a_code_block_exists(document: str) -> None:
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(TARGETS.findall(blocks(document))) <= set(rules)


def test_the_readme_names_both_commands() -> None:
    assert {"demo", "test"} <= set(TARGETS.findall(blocks("README.md")))


def test_the_readme_s_python_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 16), "orange").save("cat.png")
    using, parts = (
        text.replace('"runs/demo/model"', '"builtin:pico"').replace(
            '"builtin:pictoclip"', '"builtin:pico"'
        )
        for text in python_blocks("README.md")
    )
    found: dict[str, Any] = {}
    exec(compile(using, "README.md", "exec"), found)
    assert found["image_features"].shape == found["text_features"][:1].shape
    found["pixels"] = found["preprocess"](found["image"])[None]
    found["tokens"] = found["tokenizer"](["a cat"])
    exec(compile(parts, "README.md", "exec"), found)
    whole, small = (
        size(found[name].shape, "encoder") for name in ("teacher", "student")
    )
    assert abs(small / whole - 0.5) <= 0.005


def test_the_picture_of_the_method_needs_nothing_from_outside() -> None:
    picture = (ROOT / "docs" / "method.svg").read_text()
    ElementTree.fromstring(picture)
    assert not re.search(r"href|url\((?!#)|@import|<image|<script", picture)


def test_contributing_fits_a_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 80
