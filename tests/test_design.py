"""What a comment cites stands in docs/design.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DESIGN = (ROOT / "docs" / "design.md").read_text()
ROOMS = ("tinyclip", "tests", "benchmarks", "recipes", "stages")
SECTION = re.compile(r"^#+ (\d+(?:\.\d+)?)\.? ", re.MULTILINE)
LAW = re.compile(r"^(\d+)\. \*\*", re.MULTILINE)
# a citation may break over two lines, and name several laws at once
CITED_SECTION = re.compile(r"\bdesign[\s#]+§[\s#]*(\d+(?:\.\d+)?)")
CITED_LAW = re.compile(r"\b[Ll]aws?[\s#]+(\d+)((?:(?:,| and| to)[\s#]+\d+)*)")


def cited(text: str) -> tuple[set[str], set[str]]:
    """The sections and the laws that a text cites."""
    laws = {number for found in CITED_LAW.findall(text) for number in numbers(found)}
    return set(CITED_SECTION.findall(text)), laws


def numbers(found: tuple[str, str]) -> Iterator[str]:
    first, rest = found
    yield first
    yield from re.findall(r"\d+", rest)


def sources() -> list[Path]:
    found = [p for room in ROOMS for p in (ROOT / room).rglob("*") if p.is_file()]
    found += [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]
    return [p for p in found if p.suffix in (".py", ".md", ".yaml")]


def test_sections_and_laws_are_numbered_without_a_gap() -> None:
    assert [int(number) for number in LAW.findall(DESIGN)] == list(range(1, 10))
    whole = [n for n in SECTION.findall(DESIGN) if "." not in n]
    assert [int(number) for number in whole] == list(range(1, len(whole) + 1))


def test_every_citation_leads_to_a_section_or_a_law() -> None:
    known = set(SECTION.findall(DESIGN)), set(LAW.findall(DESIGN))
    lost = {
        str(path.relative_to(ROOT)): missing
        for path in sources()
        if path != Path(__file__)
        for found in [cited(path.read_text(encoding="utf-8"))]
        if (missing := (found[0] - known[0]) | (found[1] - known[1]))
    }
    assert not lost


@pytest.mark.parametrize(
    ("text", "sections", "laws"),
    [
        ("as in design §3.9.", {"3.9"}, set()),
        ("    # the constants of design\n    # §7", {"7"}, set()),
        ("TOLERANCE = 0.005  # law 20", set(), {"20"}),
        ("laws 1, 2 and 13 hold", set(), {"1", "2", "13"}),
        ("Sennrich et al. 2016, §3.2", set(), set()),  # a paper's section
    ],
)
def test_a_citation_is_seen(text: str, sections: set[str], laws: set[str]) -> None:
    assert cited(text) == (sections, laws)


def test_the_code_cites_the_design_at_all() -> None:
    texts = [p.read_text() for p in (ROOT / "tinyclip").rglob("*.py")]
    sections, laws = (set().union(*found) for found in zip(*map(cited, texts)))  # noqa: B905
    assert {"3.1", "3.4", "5"} <= sections
    assert {"1", "2", "3", "4", "6"} <= laws


def test_the_rooms_of_the_design_are_the_rooms_of_the_package() -> None:
    table = DESIGN.split("## 6. Rooms")[1]
    named = set(
        re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", table, re.M)))
    )
    package = ROOT / "tinyclip"
    there = {
        path.stem
        for path in package.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert named == {name for name in there if not name.startswith("_")}


def test_the_design_fits_two_pages() -> None:
    assert len(DESIGN.splitlines()) <= 180
