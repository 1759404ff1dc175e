"""YAML in, frozen settings out, and the same YAML back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyclip.config.describe import commented_yaml
from tinyclip.config.load import (
    fingerprint,
    load_recipe,
    load_stage,
    parse,
    recipe_to_dict,
    resolve,
    to_yaml,
)
from tinyclip.config.place import Place
from tinyclip.config.schema import Data, Distil, Learn, Optim, Recipe, Score, Stage
from tinyclip.config.setting import setting, without_later
from tinyclip.errors import UserError
from tinyclip.pipeline.plan import stage_fingerprints

Write = Callable[..., str]
ONE_STAGE = "stages: [{target: 0.5}]\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file into the current folder and gives its name."""
    monkeypatch.chdir(tmp_path)

    def file(text: str | bytes, name: str = "half.yaml") -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(data)
        return name

    return file


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(name)
    return str(caught.value)


# --- reading


def test_a_recipe_is_called_after_its_file_unless_it_says_otherwise(
    write: Write,
) -> None:
    assert load_recipe(write(ONE_STAGE)).name == "half"
    assert load_recipe(write(f"name: other\n{ONE_STAGE}")).name == "other"


def test_what_a_recipe_does_not_say_is_the_default(write: Write) -> None:
    expected = Recipe(name="half", stages=(Stage(target=0.5),))
    assert load_recipe(write(ONE_STAGE)) == expected


def test_a_byte_order_mark_is_no_part_of_the_first_key(write: Write) -> None:
    assert load_recipe(write("\ufeffseed: 3\n" + ONE_STAGE)).seed == 3


def test_a_wrong_key_far_inside_is_named_with_its_file_and_its_path(
    write: Write,
) -> None:
    text = "stages: [{target: 0.5}, {target: 0.25, sites: [heds]}]"
    assert refusal(write(text)) == (
        "half.yaml: stages[1].sites[0]: cannot be the text 'heds'. "
        "Did you mean 'heads'?"
    )


def test_a_learning_rate_without_a_dot_is_explained(write: Write) -> None:
    text = "stages: [{target: 0.5, distil: {optim: {lr: 1e-4}}}]"
    assert refusal(write(text)).endswith(
        "lr: wants a number, not the text '1e-4'. YAML reads it as text: write 1.0e-4"
    )


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("seed: 1\nseed: 2\n", "line 2", "'seed' is written twice"),
        ("a: 1\ndata: {source: x, source: y}", "line 2", "'source' is written twice"),
        ("seed: 1\nstages: [\n", "line 3", "is not valid YAML"),
        ("a:\n\t- b", "line 2", "cannot start any token"),
        ("seed: 1\n--- {}\n", "line 2", "is not valid YAML"),
        ("seed: !!python/object:os.system 1", "line 1", "is not valid YAML"),
        ("{[1]: 2}", "line 1", "is not valid YAML"),
        ("name: 2020-13-45", "half.yaml", "is not valid YAML"),
        ("a: &a {b: *a}", "line 1", "is not valid YAML"),
        ("[" * 1000, "half.yaml", "nested too deeply"),
        (b"\xff\xfe\xff", "half.yaml", "is not UTF-8 text"),
        ("a: \x00", "half.yaml", "is not valid YAML"),
        ("", "half.yaml", "wants settings by name, not nothing"),
        ("- 1", "half.yaml", "wants settings by name, not the list [1]"),
        ("stages: 3", "half.yaml: stages", "wants a list, not 3"),
        ("stages: [3]", "half.yaml: stages[0]", "wants settings by name, not 3"),
        ("stages: []", "half.yaml: stages", "there is none"),
        ("data: [1]", "half.yaml: data", "wants settings by name"),
    ],
)
def test_what_is_no_recipe_is_refused_with_the_place(
    write: Write, text: str | bytes, where: str, words: str
) -> None:
    message = refusal(write(text))
    assert message.startswith("half.yaml")
    assert where in message
    assert words in message
    assert "\n" not in message


def test_merge_keys_may_be_overridden(write: Write) -> None:
    text = "stages: [&a {target: 0.5, batch: 8}, {<<: *a, target: 0.25}]"
    recipe = load_recipe(write(text))
    assert [(s.target, s.batch) for s in recipe.stages] == [(0.5, 8), (0.25, 8)]


def test_an_unknown_recipe_gets_the_nearest_name(write: Write) -> None:
    assert refusal("demp") == "recipe: unknown recipe 'demp'. Did you mean 'demo'?"


@pytest.mark.parametrize("name", ["none.yaml", "folder/none", "none.yml"])
def test_a_missing_file_is_told_from_an_unknown_name(write: Write, name: str) -> None:
    assert refusal(name).startswith(f"{name}: there is no such file. ")


def test_a_folder_is_no_recipe(write: Write, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert refusal("run").startswith("run: is a folder")


def test_a_name_too_long_for_a_file_is_refused(write: Write) -> None:
    assert "cannot be read" in refusal("a" * 5000)


def test_a_file_of_a_shipped_name_does_not_take_its_place(write: Write) -> None:
    write("seed: 77\n" + ONE_STAGE, "demo")
    assert load_recipe("demo").seed != 77
    assert load_recipe("./demo").seed == 77


# --- stages


def test_a_stage_starts_from_the_one_it_uses(write: Write) -> None:
    name = write("stages: [{use: magnitude, target: 0.5, score: {samples: 3}}]")
    (stage,) = load_recipe(name).stages
    assert stage.phases == ("score", "inherit", "distil")
    assert stage.score == Score(importance="magnitude", samples=3)
    assert stage.use is None  # its settings are written out


def test_objectives_of_a_stage_are_replaced_and_not_mixed(write: Write) -> None:
    write("distil: {steps: 7, losses: {affinity: 1.0, feature: 2.0}}", "mine.yaml")
    text = "stages: [{use: mine.yaml, target: 0.5, distil: {losses: {feature: 1.0}}}]"
    (stage,) = load_recipe(write(text)).stages
    assert stage.distil == Distil(steps=7, losses={"feature": 1.0})


def test_a_stage_file_lies_beside_its_recipe(write: Write) -> None:
    write("batch: 8", "folder/mine.yaml")
    name = write("stages: [{use: ./mine.yaml, target: 0.5}]", "folder/recipe.yaml")
    assert load_recipe(name).stages[0].batch == 8


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("lern", "half.yaml: stages[0].use: unknown stage 'lern'. Did you mean"),
        ("3", "half.yaml: stages[0].use: wants a name, not 3"),
        ("no.yaml", "no.yaml: there is no such file"),
        ("mine.yaml", "mine.yaml: unknown key 'hedas'"),
        ("again.yaml", "again.yaml: a stage cannot use another"),
        ("odd.yaml", "odd.yaml: phases: "),
    ],
)
def test_a_stage_that_cannot_be_used_is_named(
    write: Write, use: str, words: str
) -> None:
    write("hedas: 1", "mine.yaml")
    write("use: learn", "again.yaml")
    write("phases: [inherit]", "odd.yaml")
    message = refusal(write(f"stages: [{{use: {use}, target: 0.5}}]"))
    assert message.startswith(words)


def test_an_objective_takes_a_weight_or_a_weight_and_options(write: Write) -> None:
    losses = "{mimic: 1, affinity: {weight: 2, direction: image}, feature: {weight: 3}}"
    name = write(f"stages: [{{target: 0.5, distil: {{losses: {losses}}}}}]")
    assert load_recipe(name).stages[0].distil.losses == {
        "mimic": 1.0,
        "affinity": {"weight": 2.0, "direction": "image"},
        "feature": 3.0,  # however it was written
    }


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("{weight: -1}", "affinity.weight: must be at least 0, not -1.0"),
        ("{weight: much}", "affinity.weight: wants a number, not the text 'much'"),
        ("{1: 2}", "affinity: wants names as keys, not 1"),
        ("[1]", "affinity: wants a number, not the list [1]"),
    ],
)
def test_a_weight_among_options_is_checked_like_one_alone(
    write: Write, asked: str, words: str
) -> None:
    losses = f"{{affinity: {asked}}}"
    name = write(f"stages: [{{target: 0.5, distil: {{losses: {losses}}}}}]")
    assert refusal(name) == f"half.yaml: stages[0].distil.losses.{words}"


# --- writing


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, exclude_min=True, exclude_max=True)


def build(kind: Any, **parts: Any) -> st.SearchStrategy[Any]:
    """Some of the settings drawn, the others as they are by default."""
    return st.fixed_dictionaries({}, optional=parts).map(lambda kw: kind(**kw))


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
optims = build(
    Optim,
    lr=numbers(0, 1e3),
    eps=numbers(0, 1e-3),
    betas=st.tuples(numbers(0, 1), numbers(0, 1)),
    warmup=st.integers(0, 10**9),
)
options = st.dictionaries(
    text.filter(lambda name: name != "weight"), text | st.floats(0, 1), min_size=1
)
asked = st.floats(0, 1e9) | st.builds(
    lambda weight, table: {"weight": weight, **table}, st.floats(0, 1e9), options
)
weights = st.dictionaries(text, asked, max_size=3)
stages = build(
    Stage,
    target=st.none() | numbers(0, 1),
    phases=st.lists(st.sampled_from(["learn", "inherit", "distil"])).map(tuple),
    scale=st.none() | numbers(0, 100),
    carry_optimizer=st.booleans(),
    learn=build(Learn, optim=optims, losses=weights),
    distil=build(Distil, optim=optims, losses=weights),
)
recipes = build(
    Recipe,
    name=text,
    about=text,
    teacher=text,
    data=build(Data, val=st.none() | text, exclude=st.lists(text).map(tuple)),
    seed=st.integers(0, 2**63),
    stages=st.lists(stages, max_size=3).map(tuple),
)


@settings(deadline=None, max_examples=40)
@given(recipes)
@example(Recipe(about="a\x85b", teacher="a\u2028b", name="a\u2029b"))  # line breaks
@example(Recipe(about="two\n\nlines # here", data=Data(exclude=("a\nb", "# c"))))
@example(Recipe(about="1e-4", teacher="on", name="010"))
def test_every_recipe_loads_back_as_it_was_written(recipe: Recipe) -> None:
    for text in (to_yaml(recipe), commented_yaml(recipe)):
        assert resolve(Recipe, parse(text, "x"), Place("x")) == recipe


@settings(deadline=None, max_examples=40)
@given(recipes)
def test_what_is_written_names_every_setting(recipe: Recipe) -> None:
    written = parse(to_yaml(recipe), "x")
    assert written == recipe_to_dict(recipe)
    assert set(written["data"]) == {name for name in vars(Data())}
    for stage in written["stages"]:
        assert set(stage) == set(vars(Stage())) - {"use", "inherit"}
        assert set(stage["learn"]["optim"]) == set(vars(Optim()))


def test_a_stage_loads_back_as_it_was_written(write: Write) -> None:
    stage = load_stage("score")
    assert load_stage(write(to_yaml(stage))) == stage


# --- fingerprints


def test_a_fingerprint_knows_values_and_not_their_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1, "b": [2]}) != fingerprint({"a": 1, "b": [3]})
    assert len(fingerprint({})) == 16


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    # sha256 of '{"a":1}', by another program
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2d"


def test_every_setting_changes_the_fingerprint_of_a_recipe() -> None:
    recipe = load_recipe("smoke")
    other = replace(recipe, seed=recipe.seed + 1)
    assert fingerprint(recipe_to_dict(recipe)) != fingerprint(recipe_to_dict(other))


@dataclass(frozen=True, kw_only=True)
class Before:
    a: int = setting(1, "what there always was")


@dataclass(frozen=True, kw_only=True)
class Inside(Before):
    b: tuple[str, ...] = setting((), "came later", later=True)


@dataclass(frozen=True, kw_only=True)
class After(Before):
    c: int | None = setting(None, "came later", later=True)
    inside: Inside = setting(Inside(), "settings inside")
    many: tuple[Inside, ...] = setting((), "several of them")
    section: Before = setting(Before(), "came later as a whole", later=True)


def test_a_later_setting_at_its_default_leaves_a_stored_fingerprint_alone() -> None:
    stored = {"a": 1, "inside": {"a": 2}, "many": [{"a": 3}]}
    more: dict[str, Any] = {"a": 1, "c": None, "inside": {"a": 2, "b": []}}
    more |= {"many": [{"a": 3, "b": []}], "section": {"a": 1}}
    assert without_later(After, more) == stored
    assert without_later(After, {**more, "c": 0}) == {**stored, "c": 0}
    deep = {**more, "many": [{"a": 3, "b": ["x"]}]}
    assert without_later(After, deep) == {**stored, "many": [{"a": 3, "b": ["x"]}]}


def test_a_stage_that_was_made_before_there_were_class_names_still_counts() -> None:
    recipe = replace(load_recipe("smoke"), name="any")
    shared = recipe_to_dict(recipe)
    later = "class_names", "limit", "label_column", "templates", "image_root"
    unpaired = "images", "images_column", "texts", "texts_column"
    few = "shots", "shot_draws"
    for name in (*later, *unpaired, *few):
        del shared["data"][name]
    first, *_ = shared.pop("stages")
    for name in ("rotate", "allocate", "solve", "start", "images", "texts"):
        del first[name]
    for phase in ("learn", "distil"):
        for name in ("objective_lr", "strategies", "teachers", "dropped"):
            del first[phase][name]
    del shared["more_teachers"]
    for name in ("name", "about", "checkpoints", "checkpoint_every"):
        del shared[name]
    last = fingerprint({"teacher": "t", "recipe": shared})
    expected = fingerprint({"before": last, "stage": first})
    assert stage_fingerprints(recipe, {"teacher": "t"})[0] == expected
    named = replace(recipe, data=replace(recipe.data, class_names="names.txt"))
    assert stage_fingerprints(named, {"teacher": "t"})[0] != expected
