"""The penalty, its multipliers, and whether p follows q."""

from __future__ import annotations

import pytest
import torch

from tinyclip import cost
from tinyclip.config.schema import Learn
from tinyclip.losses.sparsity import BETA_START, Multipliers, penalty, ramp
from tinyclip.masks.expected import expected_size
from tinyclip.masks.gates import Gates
from tinyclip.shapes import ClipShape


def multipliers(lambda_: float, beta: float) -> Multipliers:
    started = Multipliers()
    started.lambda_.fill_(lambda_)
    started.beta.fill_(beta)
    return started


@pytest.mark.parametrize(("p", "q"), [(0.9, 0.5), (0.3, 0.5), (0.5, 0.5)])
@pytest.mark.parametrize("lambda_", [-2.0, 0.0, 3.0])
def test_the_penalty_is_the_formula_and_pulls_from_both_sides(
    p: float, q: float, lambda_: float
) -> None:
    p_now = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    value = penalty(p_now, q, multipliers(lambda_, 7.0))
    value.backward()
    assert value.item() == pytest.approx(lambda_ * (p - q) + 7 * (p - q) ** 2)
    assert p_now.grad.item() == pytest.approx(lambda_ + 14 * (p - q))


def test_a_hinge_leaves_a_model_under_its_budget_alone() -> None:
    p = torch.tensor(0.3, requires_grad=True)
    penalty(p, 0.5, multipliers(2.0, 7.0), "hinge").backward()
    assert p.grad.item() == 0.0


def test_a_hinge_never_holds_p_above_its_budget() -> None:
    p = torch.tensor(0.51, requires_grad=True)
    penalty(p, 0.5, multipliers(-9.0, 7.0), "hinge").backward()
    assert p.grad.item() > 0


def test_lambda_starts_at_zero_and_takes_the_sign_of_the_gap() -> None:
    above, below = Multipliers(), Multipliers()
    assert above.lambda_.item() == 0.0
    above.ascend(0.01)
    below.ascend(torch.tensor(-0.01, dtype=torch.float64))
    assert above.lambda_.item() == pytest.approx(-below.lambda_.item())
    assert above.lambda_.item() > 0
    assert above.beta.item() == pytest.approx(below.beta.item())
    assert above.beta.item() > BETA_START


def test_a_far_start_winds_nothing_up() -> None:
    near, far = Multipliers(), Multipliers()
    near.ascend(0.05)
    far.ascend(0.9)
    assert near.state_dict() == far.state_dict()


def test_the_multipliers_state_is_two_numbers() -> None:
    first = Multipliers()
    for gap in (0.3, -0.001, 0.02):
        first.ascend(gap)
    second = Multipliers()
    second.load_state_dict(first.state_dict())
    first.ascend(0.004)
    second.ascend(0.004)
    assert list(first.state_dict()) == ["lambda_", "beta"]
    assert first.state_dict() == second.state_dict()


def test_q_ramps_along_its_share_of_the_steps_and_rests() -> None:
    course = [ramp(step, 10, 0.5, 1.0, 0.5) for step in range(10)]
    assert course[:5] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    assert course[5:] == [0.5] * 5
    assert ramp(0, 10, 0.0, 1.0, 0.5) == 0.5


def follow(
    shape: ClipShape, start: str, pull: float, q_from: float, q_to: float
) -> float:
    """The largest |p − q| in the last tenth, under a task that wants all gates open."""
    steps, learn = 180, Learn()
    gates, generator = Gates(shape), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for alpha in gates.alpha.values():
            noise = torch.rand(alpha.shape, generator=generator) * 9.2 - 4.6
            alpha.copy_({"open": 4.6, "closed": -4.6}.get(start, 0.0) + 0 * noise)
            alpha += noise if start == "random" else 0
    wants = {
        n: torch.rand(len(a), generator=generator) * 2 for n, a in gates.alpha.items()
    }
    climbing = Multipliers(lr=learn.multiplier_lr)
    optimiser = torch.optim.Adam(gates.parameters(), lr=learn.gate_lr)
    full = cost.size(shape, "encoder") / q_from
    gaps = []
    for step in range(steps):
        sample = gates.sample(generator)
        flat = {}
        for name, tower in (("image", sample.image), ("text", sample.text)):
            flat[f"{name}_embed"] = tower.embed_D
            flat[f"{name}_heads"] = torch.cat(tower["heads"])
            flat[f"{name}_ffn"] = torch.cat(tower["ffn"])
        task = -pull * sum((flat[n] * want).mean() for n, want in wants.items())
        q = ramp(step, steps, learn.ramp, q_from, q_to)
        p = expected_size(gates) / full
        optimiser.zero_grad()
        (task + penalty(p, q, climbing)).backward()
        optimiser.step()
        gates.clamp_()
        gaps.append(float((p - q).detach()))
        climbing.ascend(gaps[-1])
    return max(map(abs, gaps[-steps // 10 :]))


@pytest.mark.parametrize(
    ("start", "pull", "q_from", "q_to"),
    [("open", 1.0, 1.0, 0.75), ("closed", 0.1, 1.0, 0.75), ("random", 10.0, 0.5, 0.25)],
)
def test_p_is_on_target_at_the_end_whatever_the_task_wants(
    pico_shape: ClipShape, start: str, pull: float, q_from: float, q_to: float
) -> None:
    assert follow(pico_shape, start, pull, q_from, q_to) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("start", ["open", "closed", "random"])
@pytest.mark.parametrize("pull", [-1.0, 0.0, 0.1, 1.0, 10.0])
@pytest.mark.parametrize(("q_from", "q_to"), [(1.0, 0.75), (0.5, 0.25), (1.0, 0.25)])
def test_p_is_on_target_from_every_start_against_every_task(
    pico_shape: ClipShape, start: str, pull: float, q_from: float, q_to: float
) -> None:
    assert follow(pico_shape, start, pull, q_from, q_to) <= 0.01
