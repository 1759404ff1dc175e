"""The example in the documentation runs as it stands."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from tinyclip import cost

EXAMPLE = Path(__file__).parents[1] / "docs" / "example.py"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the example's names stand for after it ran."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)  # eight gates may all be wide open in one draw of many
    return runpy.run_path(str(EXAMPLE))


def test_the_example_makes_a_student_of_the_size_it_asks_for(
    example: dict[str, object],
) -> None:
    teacher, model = example["teacher"], example["model"]
    asked = 0.5 * cost.size(teacher.shape, "encoder")  # type: ignore[attr-defined]
    got = cost.size(model.shape, "encoder")  # type: ignore[attr-defined]
    assert abs(got / asked - 1) <= 0.005


def test_the_example_trains_every_gate(example: dict[str, object]) -> None:
    for name, alpha_U in example["gates"].alpha.items():  # type: ignore[attr-defined]
        assert alpha_U.grad is not None and alpha_U.grad.abs().sum() > 0, name


def test_the_examples_features_have_length_one(example: dict[str, object]) -> None:
    features = example["features"]
    assert isinstance(features, torch.Tensor)
    assert torch.allclose(features.norm(dim=-1), torch.ones(1))


def test_the_example_is_short() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) <= 20


def test_inherit_can_be_called_before_and_after_its_modules_are_imported() -> None:
    import tinyclip
    from tinyclip.inherit import slicing

    assert callable(tinyclip.inherit)
    assert tinyclip.inherit is not slicing.inherit  # the package, which is callable


def test_the_losses_have_the_objectives_and_the_penalty_of_a_size() -> None:
    import tinyclip

    losses = tinyclip.losses
    assert {"affinity", "contrastive", "feature", "mimic"} <= set(losses.__all__)
    multipliers = losses.Multipliers()
    p = torch.tensor(0.6, requires_grad=True)
    losses.penalty(p, losses.ramp(9, 10, 0.5, 1.0, 0.5), multipliers).backward()
    # beta is 30 and lambda 0 at the start: 2 * 30 * (0.6 - 0.5)
    assert p.grad is not None and abs(float(p.grad) - 6.0) < 1e-5
