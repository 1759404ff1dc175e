"""What zero-shot says of classes: from a file, or as open_clip has it for ImageNet."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest

from tinyclip.config.schema import Data
from tinyclip.data.imagenet import imagenet_names
from tinyclip.data.tasks import tasks_of
from tinyclip.data.templates import class_templates, read_templates
from tinyclip.errors import UserError

NAMES = open_clip.IMAGENET_CLASSNAMES


def test_lines_of_a_file_are_templates(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(
        "\ufeffa {} here.\n\n{}\na {} here.\n", encoding="utf-8"
    )
    assert read_templates(str(tmp_path / "t")) == ("a {} here.", "{}")


@pytest.mark.parametrize("line", ["a photo", "{c}", "{} and {}", "a {0}", "{} }"])
def test_a_line_that_does_not_say_where_the_name_goes_is_refused(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "t").write_text(f"a {{}}\n{line}\n")
    with pytest.raises(UserError) as caught:
        read_templates(str(tmp_path / "t"))
    assert f"{line!r} does not say where the name goes" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"\xff\xfe", "is not UTF-8")]
)
def test_a_file_without_templates_is_refused(tmp_path, content, message) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_templates(str(tmp_path / "t"))


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(UserError, match="data.templates: no: No such file"):
        read_templates("no")


def test_they_are_what_a_task_says(tmp_path: Path, pictograms: Path) -> None:
    (tmp_path / "t").write_text("look, {}\n")
    data = Data(source=f"parquet:{pictograms}", templates=str(tmp_path / "t"))
    assert tasks_of(data)[0].templates == ("look, {}",)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("imagenet", open_clip.OPENAI_IMAGENET_TEMPLATES),
        ("imagenet-simple", open_clip.SIMPLE_IMAGENET_TEMPLATES),
    ],
)
def test_imagenet_s_are_open_clip_s(name: str, theirs) -> None:
    ours = class_templates(Data(templates=f"openclip:{name}"))
    assert [t.format("dog") for t in ours] == [t("dog") for t in theirs]


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'imagenet'?"):
        class_templates(Data(templates="openclip:imagnet"))


def named(*keys: str) -> list[str]:
    return list(imagenet_names("openclip:imagenet", keys, "data.class_names").values())


def test_some_wordnet_ids_have_their_names() -> None:
    # tench, goldfish, and the last of the thousand
    assert named("n01443537", "n01440764", "n15075141") == [
        NAMES[1],
        NAMES[0],
        NAMES[999],
    ]


def test_numbers_are_places_whatever_their_order() -> None:
    assert named("10", "0", "009") == [NAMES[10], NAMES[0], NAMES[9]]


def test_a_thousand_keys_are_taken_in_their_order() -> None:
    assert named(*(f"c{i:03}" for i in range(1000))) == list(NAMES)


@pytest.mark.parametrize("key", ["n99999999", "1000", "-1", "cat"])
def test_what_is_none_of_these_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=f"{key!r} is none"):
        named("n01440764", key)


def test_other_names_are_refused() -> None:
    with pytest.raises(UserError, match="open_clip has no class names 'coco'"):
        imagenet_names("openclip:coco", ["1"], "data.class_names")
