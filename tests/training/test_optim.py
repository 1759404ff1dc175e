"""The named optimiser."""

from __future__ import annotations

import torch

from tinyclip.config.schema import Optim
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.training.optim import NamedAdamW, decays


def step(optimizer: NamedAdamW, model: Clip, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.torch.step()
    optimizer.torch.zero_grad()


def test_matrices_decay_and_biases_norms_and_embeddings_do_not(pico_clip: Clip) -> None:
    named = dict(pico_clip.named_parameters())
    decayed = {name for name, value in named.items() if decays(name, value)}
    assert "image.blocks.0.attention.q.weight" in decayed
    assert not {n for n in decayed if "norm" in n or n.endswith(("bias", "position"))}
    assert "text.token_embedding" not in decayed


def test_loaded_moments_go_on_as_if_nothing_had_happened(pico_clip: Clip) -> None:
    import copy

    twin = copy.deepcopy(pico_clip)
    whole = NamedAdamW(pico_clip, Optim(), None, 0.0)
    for seed in range(4):
        step(whole, pico_clip, seed)
    first = NamedAdamW(twin, Optim(), None, 0.0)
    step(first, twin, 0)
    step(first, twin, 1)
    second = NamedAdamW(twin, Optim(), None, 0.0)
    second.load(first.state())
    step(second, twin, 2)
    step(second, twin, 3)
    for mine, theirs in zip(twin.parameters(), pico_clip.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_schedule_does_not_touch_the_gates(pico_clip: Clip) -> None:
    optimizer = NamedAdamW(pico_clip, Optim(lr=0.1), Gates(pico_clip), 0.05)
    assert optimizer.set_lr_share(0.5) == 0.05
    *weights, gates = optimizer.torch.param_groups
    assert [group["lr"] for group in weights] == [0.05, 0.05]
    assert gates["lr"] == 0.05
    optimizer.set_lr_share(0.1)
    assert gates["lr"] == 0.05
