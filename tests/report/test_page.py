"""The page: whole in one file, and nobody else's words are markup."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tinyclip.cli.main import main
from tinyclip.report.page import report

LIMIT = 3 * 2**20


class Elements(HTMLParser):
    """Every start tag with its attributes, and all words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="session")
def made(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page.html"
    report([finished], out, None, lambda _: None)
    return out


@pytest.fixture(scope="session")
def elements(made: Path) -> Elements:
    return Elements(made.read_text())


def test_it_is_small_and_fetches_nothing(made: Path, elements: Elements) -> None:
    assert made.stat().st_size < LIMIT
    assert not elements.all("script") and not elements.all("iframe")
    for tag, attributes in elements.found:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or ""
            assert value.startswith(("", "#", "data:")[bool(value) :]), (tag, value)
    style = made.read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_every_picture_says_what_it_is_and_has_a_size(elements: Elements) -> None:
    pictures = [*elements.all("img"), *elements.all("svg")]
    assert len(pictures) > 10
    for one in pictures:
        assert one.get("alt") or one.get("aria-label")
        assert one.get("width") and one.get("height")


def test_names_of_users_are_words_and_never_markup(elements: Elements) -> None:
    words = "".join(elements.words)
    assert "it's <i>mine" in words
    assert "<b>bold<" in words  # the class's name
    assert not elements.all("i")


def test_ids_are_one_each_and_links_lead_somewhere(elements: Elements) -> None:
    own = [one for one in elements.found if not one[0].startswith("svg")]
    ids = Counter(value["id"] for tag, value in own if "id" in value and tag in PARTS)
    assert set(ids.values()) == {1}
    links = [one["href"] or "" for one in elements.all("a")]
    assert {link.removeprefix("#") for link in links} <= set(ids)


PARTS = {"section", "figure", "h2", "main", "div"}


def test_several_runs_stand_side_by_side(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    out, charts = tmp_path / "both.html", tmp_path / "charts"
    told = report([finished, other], out, charts, lambda _: None)
    assert [run["finished"] for run in told["runs"]] == [True, True]
    page = Elements(out.read_text())
    assert "Side by side, matched by size" in "".join(page.words)
    drawn = {path.relative_to(charts).as_posix() for path in charts.rglob("*.svg")}
    assert "quality.svg" in drawn and "2-other/losses.svg" in drawn


def test_without_teacher_or_data_the_rest_is_told(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinyclip.errors import UserError
    from tinyclip.report import page

    def gone(*_: Any) -> None:
        raise UserError("teacher", "is gone", "Bring it back")

    monkeypatch.setattr(page, "load_source", gone)
    told = report([finished], tmp_path / "page.html", None, lambda _: None)
    (note,) = told["runs"][0]["notes"]
    assert note == (
        "Not shown is what needs the teacher and its data: teacher: is gone. Bring it "
        "back"
    )
    assert note in "".join(Elements((tmp_path / "page.html").read_text()).words)


def test_the_command_writes_into_the_run(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(finished), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(finished / "report.html")
    assert (finished / "report.html").stat().st_size == told["bytes"]


def test_what_is_no_run_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is no run" in said
