"""`tinyclip objectives`: ls, show."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tinyclip.cli.main import main
from tinyclip.config.load import load_stage
from tinyclip.config.place import Place
from tinyclip.losses import objectives
from tinyclip.losses.objectives import check_objectives, settle
from tinyclip.training.strategies import options_class, settled, strategies


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command that works and gives what it printed."""

    def run(*arguments: str) -> str:
        assert main(["objectives", *arguments]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


def test_ls_says_in_a_line_what_each_is(output: Any) -> None:
    lines = output("ls").splitlines()
    names = [*objectives, *strategies]
    assert [line.split()[0] for line in lines] == names
    assert list(json.loads(output("ls", "--json"))) == names


@pytest.mark.parametrize("name", list(strategies))
def test_a_strategy_is_shown_as_a_phase_may_have_it(output: Any, name: str) -> None:
    shown = output("show", name)
    asked = yaml.safe_load(shown[shown.index("strategies:\n") :])["strategies"]
    options = settled(asked, Place("x"))[name]
    assert options == options_class(strategies.get(name, "x"))()
    assert shown.startswith(output("ls").split(f"{name} ")[1].split(": ")[1][:20])


@pytest.mark.parametrize("name", list(objectives))
def test_show_ends_with_lines_that_a_stage_may_have(output: Any, name: str) -> None:
    shown = output("show", name)
    losses = yaml.safe_load(shown[shown.index("losses:\n") :])["losses"]
    (asked,) = settle(losses, Place("x"))
    assert (asked.name, asked.weight) == (name, 1.0)


def test_show_has_formula_source_and_options(output: Any) -> None:
    shown = output("show", "kd")
    assert "L = ℓ + λ 2T²" in shown and "Hinton et al. 2015" in shown
    assert "    temperature: 2.0  # both models' logits are divided" in shown
    told = json.loads(output("show", "kd", "--json"))
    assert told["options"]["temperature"]["default"] == 2.0
    assert told["learns"] is False
    assert json.loads(output("show", "afd", "--json"))["learns"] is True


def test_show_says_which_learn_from_what_has_no_pair(output: Any) -> None:
    assert "`data.images`, `data.texts`" in output("show", "intra")
    assert "`data.images`" not in output("show", "crd")
    shown = (json.loads(output("show", name, "--json")) for name in ("intra", "crd"))
    assert [told["unpaired"] for told in shown] == [True, False]


def test_an_unknown_one_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["objectives", "show", "crdd"]) == 2
    assert "unknown objective 'crdd'. Did you mean 'crd'?" in capsys.readouterr().err


def test_the_sum_of_clip_kd_is_a_stage() -> None:
    stage = load_stage("clip-kd")
    check_objectives(stage, Place("clip-kd"))
    assert set(stage.distil.losses) == {"contrastive", "feature", "crd", "icl"}


def test_no_strategy_is_called_like_an_objective() -> None:
    """What both log goes by their names."""
    assert not set(objectives) & set(strategies)
