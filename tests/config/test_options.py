"""Values from Python and words of a command line: one checker, no YAML between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyclip.cli import cache, compress
from tinyclip.cli.parser import build_parser
from tinyclip.config.load import load_recipe
from tinyclip.config.options import typed, with_options, with_values
from tinyclip.config.schema import Data, Recipe, Stage
from tinyclip.errors import UserError


@pytest.fixture(scope="module")
def smoke() -> Recipe:
    return load_recipe("smoke")


@pytest.mark.parametrize(
    ("name", "value", "held"),
    [
        ("vocab", None, None),
        ("vocab", Path("words.txt"), "words.txt"),
        ("towers", ("image",), ("image",)),
        ("towers", ["text"], ("text",)),
        ("about", "a # b: [c", "a # b: [c"),
        ("teacher", "no", "no"),
        ("precision", "bfloat16", "bf16"),
        ("max_skipped_share", 1, 1.0),
        ("max_skipped_share", np.float32(0.5), 0.5),
        ("max_skipped_share", np.float64(0.5), 0.5),
        ("max_skipped_share", np.int64(1), 1.0),
        ("seed", np.int64(3), 3),
        ("cache", "1e-4", "1e-4"),
    ],
)
def test_a_value_of_python_is_itself(
    smoke: Recipe, name: str, value: Any, held: Any
) -> None:
    recipe = with_values(smoke, {name: value}, "compress")
    assert recipe == replace(smoke, **{name: held})
    assert type(getattr(recipe, name)) is type(held)


@pytest.mark.parametrize(
    ("data", "held"),
    [
        ("csv:x # y", Data(source="csv:x # y")),
        (
            {"augmentations": 3, "exclude": ("*.gif",)},
            Data(augmentations=3, exclude=("*.gif",)),
        ),
        (Path("x.csv"), Data(source="x.csv")),
        ({"val": Path("v.csv")}, Data(val="v.csv")),
        (Data(source="csv:x", crop=0.5), Data(source="csv:x", crop=0.5)),
    ],
)
def test_data_is_a_source_a_table_or_settings(
    smoke: Recipe, data: Any, held: Data
) -> None:
    assert with_values(smoke, {"data": data}, "compress").data == held


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sede": 1}, "compress: sede: unknown key 'sede'. Did you mean 'seed'?"),
        ({"seed": "1"}, "compress: seed: wants a whole number, not the text '1'"),
        ({"seed": -1}, "compress: seed: must be at least 0, not -1"),
        ({"round_to": 0}, "compress: round_to: must be at least 1, not 0"),
        (
            {"towers": ("imge",)},
            "compress: towers[0]: cannot be the text 'imge'. Did you mean 'image'?",
        ),
        ({"towers": "image"}, "compress: towers: wants a list, not the text 'image'"),
        ({"towers": ()}, "compress: towers: wants each tower once, at least one"),
        ({"name": "a/b"}, "compress: name: 'a/b' cannot name a folder. Use"),
        ({"vocab": ""}, "compress: vocab: names no file. Name one of texts"),
        ({"data": {"crop": 2}}, "compress: data.crop: must be at most 1, not 2.0"),
        ({"data": Data(crop=2.0)}, "compress: data.crop: must be at most 1, not 2.0"),
        ({"data": 3}, "compress: data: wants a source as text, or settings"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(
    smoke: Recipe, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        with_values(smoke, values, "compress")
    assert str(caught.value).startswith(message)


def test_compress_takes_values_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    import tinyclip
    from tinyclip.pipeline import api

    monkeypatch.setattr(api, "execute", lambda request: request)
    asked: Any = tinyclip.compress(
        "smoke", vocab=None, towers=("image",), about="a # b", data="csv:x", target=0.5
    )
    assert asked.recipe == replace(
        load_recipe("smoke"),
        towers=("image",),
        about="a # b",
        data=Data(source="csv:x"),
        tasks=(),  # a shipped recipe's are those of its own pairs
        stages=asked.recipe.stages,
    )
    assert asked.recipe.stages[-1].target == 0.5
    with pytest.raises(UserError, match=r"^target: 2.0 is not between 0 and 1"):
        tinyclip.compress("smoke", target=2)


def test_compress_takes_stages_as_a_number_or_as_the_recipes_own_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tinyclip
    from tinyclip.pipeline import api

    monkeypatch.setattr(api, "execute", lambda request: request.recipe.stages)
    asked: Any = tinyclip.compress("smoke", stages=np.int64(2), target=np.float32(0.5))
    assert [stage.target for stage in asked] == [0.75, 0.5]
    asked = tinyclip.compress("smoke", stages=[{"target": 0.5}, Stage(target=0.25)])
    assert asked == (Stage(target=0.5), Stage(target=0.25))
    (tmp_path / "own.yaml").write_text("{batch: 6, target: 0.5}")
    entry = {"use": str(tmp_path / "own.yaml"), "target": 0.4}
    assert tinyclip.compress("smoke", stages=(entry,)) == (Stage(batch=6, target=0.4),)


@pytest.mark.parametrize(
    ("recipe", "arguments", "message"),
    [
        ("smoke", {"target": "0.5"}, "target: wants a number, not the text '0.5'"),
        ("smoke", {"target": True}, "target: wants a number, not True"),
        ("smoke", {"stages": "3"}, "compress: stages: wants a whole number, or a list"),
        ("smoke", {"stages": 3.0}, "compress: stages: wants a whole number, or a list"),
        ("smoke", {"stages": [{"traget": 1}]}, "compress: stages[0]: unknown key"),
        ("smoke", {"stages": [{"use": "x"}]}, "compress: stages[0].use: unknown stage"),
        ("smoke", {"stages": [3]}, "compress: stages[0]: wants settings by name, not"),
        (
            "smoke",
            {"stages": [{"target": 0.5}], "target": 0.5},
            "compress: target: goes with a number of stages",
        ),
        ("smoke", {"out": 3}, "compress: out: wants a path, not 3"),
        (3, {}, "compress: wants the name of a recipe, a file or a Recipe, not 3"),
        (Recipe(), {"seed": 1}, "compress: settings go with a recipe's name"),
        (Recipe(), {"stages": [{}]}, "compress: settings go with a recipe's name"),
    ],
)
def test_compress_refuses_what_is_of_another_kind(
    recipe: Any, arguments: dict[str, Any], message: str
) -> None:
    import tinyclip

    with pytest.raises(UserError) as caught:
        tinyclip.compress(recipe, **arguments)
    assert str(caught.value).startswith(message)


def spelled(smoke: Recipe, **words: str) -> Recipe:
    return with_options(
        smoke,
        compress.SETTINGS,
        {f"--{key.replace('_', '-')}": w for key, w in words.items()},
    )


def test_words_become_what_their_settings_are(smoke: Recipe) -> None:
    recipe = spelled(smoke, round_to="8", towers="text, image", vocab="8", data="csv:1")
    assert recipe == replace(
        smoke, round_to=8, vocab="8", data=replace(smoke.data, source="csv:1")
    )
    assert spelled(smoke, towers="text").towers == ("text",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"round_to": "0"}, "--round-to: must be at least 1, not 0"),
        ({"round_to": "x"}, "--round-to: wants a whole number, not the text 'x'"),
        ({"layout": "unifrom"}, "--layout: cannot be the text 'unifrom'. Did you mean"),
        (
            {"towers": "imge"},
            "--towers: cannot be the text 'imge'. Did you mean 'image'",
        ),
        ({"towers": "image,image"}, "--towers: towers: wants each tower once"),
        ({"towers": ""}, "--towers: cannot be the text ''"),
    ],
)
def test_a_wrong_word_is_refused_by_its_option(
    smoke: Recipe, words: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        spelled(smoke, **words)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("verb", [compress, cache])
def test_every_option_that_is_a_setting_is_an_option(verb: Any) -> None:
    name = verb.__name__.rpartition(".")[2]
    needed = ["--teacher", "t", "--data", "d", "--out", "o"]
    args = build_parser(name).parse_args([name, *needed])
    words = typed(vars(args), verb.SETTINGS)
    assert set(words) == set(verb.SETTINGS)
    assert {text for text in words.values() if text} <= {"t", "d"}
