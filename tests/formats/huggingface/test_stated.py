"""What a source says of itself is known of its model: its licence, and its name on the
Hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from tinyclip.formats.source import load_source
from tinyclip.model.licences import licence_beside

Maker = Callable[..., Path]
CARD = "---\nlicense: cc-by-4.0\n---\n\n# A model\n"


def stated(source: str) -> dict[str, Any]:
    config: dict[str, Any] = load_source(source).config
    return config["provenance"]


def test_the_embedded_teacher_states_its_licence() -> None:
    assert stated("builtin:pictoclip")["licence"] == "apache-2.0"
    assert "licence" not in stated("builtin:pico")


def test_the_card_of_a_folder_is_asked(tmp_path: Path) -> None:
    assert licence_beside(tmp_path) is None
    (tmp_path / "README.md").write_text(CARD)
    assert licence_beside(tmp_path) == "cc-by-4.0"


@pytest.mark.parametrize(
    "content",
    [
        b"# No metadata",
        b"---\nlicense: {\n---\n",
        b"---\n- mit\n---\n",
        b"---\nlicense: mit\n---\n" + b"x" * 2**20,
        b"\xff\xfe---",
        b"---\nlicense: &a [*a]\n---\n",
    ],
    ids=["none", "no yaml", "a list", "large", "no text", "endless"],
)
def test_a_card_that_cannot_be_read_names_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "README.md").write_bytes(content)
    assert licence_beside(tmp_path) is None


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "README.md")
    assert licence_beside(tmp_path) is None


def test_a_folder_of_transformers_has_a_licence_and_no_name_on_the_hub(
    hf_clip: Maker,
) -> None:
    folder = hf_clip()
    (folder / "README.md").write_text(CARD)
    told = stated(f"hf:{folder}")
    assert told["licence"] == "cc-by-4.0" and "hub" not in told


def test_what_was_fetched_from_the_hub_has_its_name(
    hf_clip: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hf_clip()
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *args, **kwargs: str(folder)
    )
    assert stated("hf:org/clip")["hub"] == {"teacher": "org/clip"}


@pytest.mark.parametrize("missing", [EntryNotFoundError, LocalEntryNotFoundError, None])
def test_a_repository_of_open_clip_need_not_have_a_card(
    missing: type[Exception] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tinyclip.formats.openclip.folder import hub_folder

    def download(identity: str, name: str, local_files_only: bool) -> str:
        if name == "README.md" and missing is not None:
            raise missing("none")
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert hub_folder("org/clip", "--teacher") == tmp_path


def test_an_export_says_whose_licence_it_has(hf_clip: Maker, tmp_path: Path) -> None:
    import tinyclip

    folder = hf_clip()
    (folder / "README.md").write_text(CARD)
    out = tmp_path / "out"
    tinyclip.export(f"hf:{folder}", to="huggingface", out=out)
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "transformers"
    assert card.text.rstrip().endswith("## Licence\n\ncc-by-4.0")
