"""Law 1: the gated model and the sliced student are the same function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinyclip.inherit.certify import spread
from tinyclip.inherit.slicing import inherit, slice_named
from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.masks.choose import gates_of
from tinyclip.model.clip import Clip
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape, TowerShape

Draw = Any
LEAST = 0.05000000074505806  # a kept gate's least value, as float32 has it


def random_model(shape: ClipShape, seed: int) -> Clip:
    """Biases not 0 and norms not 1, so that every term counts."""
    model, generator = Clip(shape), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + noise if is_norm else noise)
    return model.eval()


# blocks that lost one of their layers before
HALVES = [
    BlockShape(heads=0, ffn=9, attention_layers=0),
    BlockShape(heads=3, ffn=0, ffn_layers=0),
]


@st.composite
def shapes(draw: Draw) -> ClipShape:
    def blocks() -> tuple[BlockShape, ...]:
        whole = st.builds(
            BlockShape,
            heads=st.integers(0, 4),
            dims=st.none() | st.integers(0, 6),
            ffn=st.sampled_from([0, 1, 9, 16]),
        )
        block = whole | st.sampled_from(HALVES)
        return tuple(draw(st.lists(block, min_size=1, max_size=3)))

    pool = draw(st.sampled_from(["class", "mean", "map"]))
    width = draw(st.integers(4, 20))
    projection = draw(st.booleans())
    switch = st.booleans()

    def norm() -> dict[str, Any]:
        full = draw(st.none() | st.integers(8, 24))
        return {"norm": "rms" if full else "layer", "full_width": full}

    image_norm = norm()
    if image_norm["full_width"] and pool != "map":
        projection = True
    joint = image_norm["full_width"] if pool == "map" else None
    return ClipShape(
        embed_dim=draw(st.integers(2, 9)) if projection else joint or width,
        logit_bias=draw(switch),
        image=ImageShape(
            width=width,
            head_width=draw(st.integers(1, 5)),
            blocks=blocks(),
            image_size=8,
            patch_size=4,
            activation=draw(st.sampled_from(["gelu", "quick_gelu", "gelu_tanh"])),
            layer_scale=draw(switch),
            class_token=pool == "class" or draw(switch),
            patch_bias=draw(switch),
            norm_pre=draw(switch),
            pool=pool,
            norm_after_pool=draw(switch),
            pool_block=BlockShape(heads=2, ffn=5) if pool == "map" else None,
            projection=projection,
            projection_bias=projection and draw(switch),
            **image_norm,
        ),
        text=TextShape(
            **norm(),
            width=draw(st.integers(4, 20)),
            head_width=draw(st.integers(1, 5)),
            blocks=blocks(),
            context_length=6,
            vocab_size=30,
            layer_scale=draw(switch),
            causal=draw(switch),
            pool=draw(st.sampled_from(["argmax", "eos", "last", "first"])),
            eos_id=29,
            projection_bias=draw(switch),
        ),
    )


@st.composite
def keeps(draw: Draw, shape: ClipShape, sites: tuple[str, ...]) -> ClipKeep:
    """Any survivors of the given sites, softly open; the other sites stay whole."""

    def site(name: str, total: int) -> Keep:
        if name not in sites:
            return Keep.everything(total)
        least = 1 if name == "embed" else 0
        chosen = draw(st.sets(st.integers(0, max(0, total - 1)), min_size=least))
        kept = tuple(sorted(index for index in chosen if index < total))
        soft = st.floats(LEAST, 1.0, width=32)
        return Keep(kept, total, tuple(draw(soft) for _ in kept))

    def layers(name: str, blocks: tuple[BlockShape, ...]) -> list[Keep]:
        return [site(name, getattr(block, name)) for block in blocks]

    def tower(old: TowerShape) -> TowerKeep:
        attention = layers("attention_layers", old.blocks)
        ffn = layers("ffn_layers", old.blocks)
        both = list(zip(old.blocks, attention, ffn, strict=True))
        kept = [i for i, (_, one, other) in enumerate(both) if len(one) + len(other)]
        # a layer that is gone takes its heads and units along
        heads = [
            site("heads", b.heads) if len(a) else Keep((), b.heads) for b, a, _ in both
        ]
        dims = [
            site("dims", b.dims) if len(a) else Keep((), b.dims) for b, a, _ in both
        ]
        units = [site("ffn", b.ffn) if len(f) else Keep((), b.ffn) for b, _, f in both]
        by_site = {
            "heads": heads,
            "dims": dims,
            "ffn": units,
            "attention_layers": attention,
            "ffn_layers": ffn,
        }
        blocks = {
            name: tuple(keeps[i] for i in kept) for name, keeps in by_site.items()
        }
        return TowerKeep(
            {"embed": (site("embed", old.width),), **blocks},
            Keep(tuple(kept), len(old.blocks)),
        )

    image, pool = tower(shape.image), shape.image.pool_block
    if pool is not None:
        pooled = {
            "pool_heads": (site("heads", pool.heads),),
            "pool_ffn": (site("ffn", pool.ffn),),
        }
        image = replace(image, units={**image.units, **pooled})
    return ClipKeep(image=image, text=tower(shape.text))


def inputs(shape: ClipShape) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    size = shape.image.image_size
    pixels = torch.randn(6, 3, size, size, generator=generator)
    length, words = shape.text.context_length, shape.text.vocab_size
    return pixels, torch.randint(0, words, (6, length), generator=generator)


@torch.no_grad()
def largest_difference(model: Clip, keep: ClipKeep, student: Clip) -> float:
    pixels, tokens = inputs(model.shape)
    gated = model(pixels, tokens, gates=gates_of(keep, model.shape))
    sliced = student(pixels, tokens)
    joint = keep.image["embed"][0] if model.shape.image.joint_is_stream else None
    image = (gated.image_BE - spread(sliced.image_BE, joint)).abs().max()
    text = (gated.text_BE - spread(sliced.text_BE, joint)).abs().max()
    assert torch.isfinite(image + text)
    return float(torch.maximum(image, text))


SITES = st.sampled_from(
    [
        ("heads",),
        ("ffn",),
        ("embed",),
        ("heads", "ffn"),
        ("dims",),
        ("heads", "ffn", "embed"),
        ("heads", "dims", "ffn", "embed"),
        ("attention_layers",),
        ("ffn_layers",),
        ("attention_layers", "ffn_layers"),
        ("heads", "ffn", "embed", "attention_layers", "ffn_layers"),
        ("heads", "dims", "ffn", "embed", "attention_layers", "ffn_layers"),
    ]
)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), shape=shapes(), sites=SITES, seed=st.integers(0, 2**31))
def test_the_student_is_the_gated_model(
    data: Any, shape: ClipShape, sites: tuple[str, ...], seed: int
) -> None:
    model, keep = random_model(shape, seed), data.draw(keeps(shape, sites))
    student = inherit(model, keep)
    assert student.shape == keep.cut(shape)
    assert largest_difference(model, keep, student) <= 1e-5


def test_a_tower_without_a_head_or_a_unit_left_is_still_the_gated_model(
    pico_clip: Clip,
) -> None:
    def dead(shape: TowerShape) -> TowerKeep:
        return TowerKeep(
            {
                "embed": (Keep((1, 2, 5, 9), shape.width, (0.05, 1.0, 0.3, 0.7)),),
                "heads": tuple(Keep((), block.heads, ()) for block in shape.blocks),
                "ffn": tuple(Keep((), block.ffn, ()) for block in shape.blocks),
            },
            Keep.everything(len(shape.blocks)),
        )

    shape = pico_clip.shape
    keep = ClipKeep(image=dead(shape.image), text=dead(shape.text))
    student = inherit(pico_clip, keep)
    assert largest_difference(pico_clip, keep, student) <= 1e-5


def half(pico: Clip, scale: float | None) -> ClipKeep:
    def site(total: int) -> Keep:
        kept = tuple(range(0, total, 2))
        return Keep(kept, total, None if scale is None else (scale,) * len(kept))

    def tower(shape: TowerShape) -> TowerKeep:
        return TowerKeep(
            {
                "embed": (site(shape.width),),
                "heads": tuple(site(block.heads) for block in shape.blocks),
                "ffn": tuple(site(block.ffn) for block in shape.blocks),
            },
            Keep.everything(len(shape.blocks)),
        )

    return ClipKeep(image=tower(pico.shape.image), text=tower(pico.shape.text))


@pytest.mark.parametrize("scale", [None, 1.0])
def test_a_cut_without_soft_gates_copies_every_bit(
    pico_clip: Clip, scale: float | None
) -> None:
    student = inherit(pico_clip, half(pico_clip, scale))
    block, cut = pico_clip.image.blocks[0], student.image.blocks[0]
    heads_0_and_2 = [*range(6), *range(12, 18)]  # heads are 6 wide
    assert torch.equal(
        cut.attention.k.weight, block.attention.k.weight[heads_0_and_2][:, ::2]
    )
    assert torch.equal(
        cut.attention.out.weight, block.attention.out.weight[::2][:, heads_0_and_2]
    )
    assert torch.equal(cut.ffn.down.weight, block.ffn.down.weight[::2, ::2])
    assert torch.equal(student.image.patch, pico_clip.image.patch[::2])
    assert torch.equal(student.image.projection, pico_clip.image.projection[::2])
    assert torch.equal(
        student.text.token_embedding, pico_clip.text.token_embedding[:, ::2]
    )
    assert torch.equal(student.logit_scale, pico_clip.logit_scale)


def test_keeping_everything_is_the_model_itself(pico_clip: Clip) -> None:
    student = inherit(pico_clip, ClipKeep.everything(pico_clip.shape))
    for name, value in pico_clip.state_dict().items():
        assert torch.equal(student.state_dict()[name], value)


def test_the_student_shares_no_memory_with_the_model(pico_clip: Clip) -> None:
    before = {name: value.clone() for name, value in pico_clip.state_dict().items()}
    student = inherit(pico_clip, ClipKeep.everything(pico_clip.shape))
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    for name, value in pico_clip.state_dict().items():
        assert torch.equal(value, before[name])


def test_dropped_layers_go_and_the_rest_is_numbered_anew(pico_clip: Clip) -> None:
    shape = pico_clip.shape
    block = shape.image.blocks[1]
    image = TowerKeep(
        {
            "embed": (Keep.everything(shape.image.width),),
            "heads": (Keep.everything(block.heads),),
            "ffn": (Keep.everything(block.ffn),),
        },
        Keep((1,), 2),
    )
    keep = ClipKeep(image=image, text=TowerKeep.everything(shape.text))
    student = inherit(pico_clip, keep)
    assert len(student.image.blocks) == 1
    old, new = pico_clip.image.blocks[1].ffn.up.weight, student.image.blocks[0].ffn.up
    assert torch.equal(new.weight, old)


@pytest.mark.parametrize(
    ("power", "factor"), [(1, 0.25), (-1, 4.0), (-2, 16.0), (0, 1)]
)
def test_moments_are_sliced_like_weights_and_scaled_by_the_inverse(
    pico_clip: Clip, power: int, factor: float
) -> None:
    # two gates of 0.5 fold into the way down: 0.25 in all
    named = {"image.blocks.0.ffn.down.weight": torch.ones(24, 32)}
    cut = slice_named(named, half(pico_clip, 0.5), pico_clip.shape, power)
    value = cut["image.blocks.0.ffn.down.weight"]
    assert value.shape == (12, 16)
    assert value.unique().tolist() == [factor]


def test_the_gate_of_a_layer_folds_once_and_what_is_gone_has_no_moment(
    pico_clip: Clip,
) -> None:
    gone, half_open = Keep((), 1), Keep((0,), 1, (0.5,))
    image = TowerKeep(
        {"attention_layers": (half_open, gone), "ffn_layers": (gone, half_open)},
        Keep.everything(2),
    )
    keep = ClipKeep(image=image, text=TowerKeep.everything(pico_clip.shape.text))
    ones = {n: torch.ones_like(p) for n, p in pico_clip.named_parameters()}
    cut = slice_named(ones, keep, pico_clip.shape, power=-2)
    assert set(cut) == set(inherit(pico_clip, keep).state_dict())
    scaled = {name for name, value in cut.items() if value.unique().tolist() == [4.0]}
    assert scaled == {
        f"image.blocks.{place}.{part}"
        for place in ("0.attention.out", "1.ffn.down")
        for part in ("weight", "bias")
    }


def test_a_moment_is_the_gradient_that_the_student_would_have_had(
    pico_clip: Clip,
) -> None:
    keep = half(pico_clip, 0.5)
    pixels, tokens = inputs(pico_clip.shape)
    student = inherit(pico_clip, keep)

    def gradients(model: Clip, **options: Any) -> dict[str, Tensor]:
        features = model(pixels, tokens, **options)
        (features.image_BE @ features.text_BE.T).square().sum().backward()
        return {
            name: parameter.grad
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }

    before = gradients(pico_clip, gates=gates_of(keep, pico_clip.shape))
    after = gradients(student)
    sliced = slice_named(before, keep, pico_clip.shape, power=-1)
    for name, value in after.items():
        torch.testing.assert_close(sliced[name], value, rtol=1e-3, atol=1e-6)


def test_an_unknown_parameter_has_no_rule(pico_clip: Clip) -> None:
    keep = ClipKeep.everything(pico_clip.shape)
    with pytest.raises(ValueError, match="no rule for parameter 'image.extra'"):
        slice_named({"image.extra": torch.ones(3)}, keep, pico_clip.shape)


def test_a_keep_of_another_shape_is_refused(pico_clip: Clip) -> None:
    shape = pico_clip.shape
    keep = ClipKeep(
        image=TowerKeep.everything(shape.image), text=half(pico_clip, None).text
    )
    with pytest.raises(ValueError, match="does not fit"):
        slice_named({"text.position": torch.ones(8, 15)}, keep, shape)


def test_the_student_keeps_mode_and_precision(pico_clip: Clip) -> None:
    model = pico_clip.double().eval()
    student = inherit(model, half(model, 0.5))
    assert student.text.position.dtype == torch.float64
    assert not student.training
