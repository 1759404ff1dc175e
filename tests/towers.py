"""Drawn models of every supported family, and pairs for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.model.clip import Clip
from tinyclip.shapes import (
    ACTIVATIONS,
    BlockShape,
    ClipShape,
    ImageShape,
    TextShape,
    TowerShape,
)
from tinyclip.sites import units_of

TOKENS, WORDS, SIDE = 7, 40, 8
Draw = Callable[[st.SearchStrategy[Any]], Any]
# to explain a failure every line is traced, which takes most of the time
DRAWN = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)


@dataclass(frozen=True)
class Pairs:
    """Some pairs, as a loader gives them."""

    pixels: Tensor
    tokens_BT: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def some_pairs(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Pairs:
    """Noise, and captions whose largest id, 39, stands where each of them ends; what
    stands behind it is 0 there and then."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, WORDS - 1, (count, TOKENS), generator=draw)
    end = torch.randint(1, TOKENS, (count, 1), generator=draw)
    place = torch.arange(TOKENS)
    ids = torch.where(place == end, WORDS - 1, torch.where(place > end, 0, ids))
    pixels = torch.randn(count, 3, SIDE, SIDE, generator=draw, dtype=torch.float64)
    return Pairs(pixels.to(dtype), ids)


def noisy(
    shape: ClipShape, seed: int = 0, dtype: torch.dtype = torch.float32, by: float = 0.3
) -> Clip:
    """Noise in every weight, biases not 0, norms and layer scales not 1."""
    model, draw = Clip(shape).to(dtype), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in ("logit_scale", "logit_bias"):
                continue
            noise = torch.randn(value.shape, generator=draw, dtype=torch.float64) * by
            near_one = "scale_" in name or ("norm" in name and "weight" in name)
            value.copy_(1 + noise if near_one else noise)
    return model.eval()


def plain_shape(**image: Any) -> ClipShape:
    """A small CLIP; keywords change its image tower."""
    block = BlockShape(heads=2, ffn=12)
    return ClipShape(
        embed_dim=6,
        image=replace(
            ImageShape(
                width=12,
                head_width=5,
                blocks=(block, block),
                image_size=SIDE,
                patch_size=4,
            ),
            **image,
        ),
        text=TextShape(
            width=10,
            head_width=4,
            blocks=(block, block),
            context_length=TOKENS,
            vocab_size=WORDS,
        ),
    )


def siglip_shape(**text: Any) -> ClipShape:
    """A small SigLIP: attention pool, no image projection; keywords change its text."""
    block = BlockShape(heads=2, ffn=12)
    plain = plain_shape(
        class_token=False,
        patch_bias=True,
        norm_pre=False,
        pool="map",
        pool_block=block,
        projection=False,
    )
    tower = replace(
        plain.text, **{"causal": False, "pool": "last", "projection_bias": True, **text}
    )
    return replace(plain, embed_dim=plain.image.width, text=tower, logit_bias=True)


def blocks(draw: Draw, head_width: int) -> tuple[BlockShape, ...]:
    """One to three blocks, some without heads, units, or a whole layer."""
    block = st.builds(
        BlockShape,
        heads=st.sampled_from([0, 1, 2, 3]),
        ffn=st.sampled_from([0, 1, 9]),
        dims=st.sampled_from([None, 1, head_width - 1]),
        attention_layers=st.sampled_from([1, 1, 1, 0]),
        ffn_layers=st.sampled_from([1, 1, 1, 0]),
    ).map(_emptied)
    return tuple(draw(st.lists(block, min_size=1, max_size=3)))


def _emptied(block: BlockShape) -> BlockShape:
    """A layer that is not there has no units; dims may go on being counted."""
    heads = block.heads if block.attention_layers else 0
    return replace(block, heads=heads, ffn=block.ffn if block.ffn_layers else 0)


@st.composite
def shapes(draw: Draw) -> ClipShape:
    """Any switch of both towers."""
    block = BlockShape(heads=2, ffn=5)
    pool = draw(st.sampled_from(["class", "mean", "map"]))
    flag = st.booleans()
    width = draw(st.sampled_from([9, 12]))
    image = ImageShape(
        width=width,
        head_width=4,
        blocks=blocks(draw, 4),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        eps=draw(st.sampled_from([1e-5, 1e-2])),
        layer_scale=draw(flag),
        image_size=SIDE,
        patch_size=4,
        class_token=pool == "class" or draw(flag),
        patch_bias=draw(flag),
        norm_pre=draw(flag),
        pool=pool,
        norm_after_pool=draw(flag),
        pool_block=block if pool == "map" else None,
        projection=draw(flag),
    )
    if image.projection:
        image = replace(image, projection_bias=draw(flag))
    kind = draw(st.sampled_from(["argmax", "eos", "last", "first"]))
    text = TextShape(
        width=draw(st.sampled_from([8, 11])),
        head_width=3,
        blocks=blocks(draw, 3),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        layer_scale=draw(flag),
        context_length=TOKENS,
        vocab_size=WORDS,
        causal=draw(flag),
        pool=kind,
        eos_id=WORDS - 1 if kind == "eos" else None,
        projection_bias=draw(flag),
    )
    return ClipShape(
        embed_dim=6 if image.projection else width,
        image=image,
        text=text,
        logit_bias=draw(flag),
    )


@torch.no_grad()
def gaps(one: Clip, other: Clip, pairs: Pairs) -> tuple[float, float]:
    """The largest differences of normalised features, by tower."""
    models = (one, other)
    images = [model.encode_image(pairs.pixels, normalize=True) for model in models]
    texts = [model.encode_text(pairs.tokens_BT, normalize=True) for model in models]
    image, text = (float((a - b).abs().max()) for a, b in (images, texts))
    return image, text


def first(share: float, total: int) -> Keep:
    """The first of so many units, a share of them."""
    return Keep(tuple(range(round(share * total))), total)


def tower_keep(tower: TowerShape, **shares: float) -> TowerKeep:
    """The first units of every site that is named, the same share of each layer."""
    units = {
        site: tuple(first(share, count) for count in units_of(tower, site))
        for site, share in shares.items()
    }
    return TowerKeep(units, Keep.everything(len(tower.blocks)))


def keep_of(shape: ClipShape, **shares: float) -> ClipKeep:
    """As `tower_keep`, of both towers."""
    image, text = (tower_keep(tower, **shares) for tower in shape.towers().values())
    return ClipKeep(image=image, text=text)


def watched(tower: nn.Module, inputs: Tensor) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """What every module of a forward pass took first, and gave."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def remember(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        seen[module] = args[0].detach(), out.detach()

    hooks = [module.register_forward_hook(remember) for module in tower.modules()]
    with torch.no_grad():
        tower(inputs)
    for hook in hooks:
        hook.remove()
    return seen


def filled(shape: ClipShape, seed: int = 3) -> Clip:
    """Noise in every weight and bias, norms about 1."""
    model, draw = Clip(shape), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=draw) * 0.2
            value.copy_(1 + noise if "norm" in name and "weight" in name else noise)
    return model.eval()


def in_basis(tower: Any, dims: int, full: int, **switches: Any) -> Any:
    """A uniform tower in a basis, of four heads of so many dims."""
    blocks = (BlockShape(heads=4, dims=dims, ffn=9),) * 2
    basis = {"width": 4 * dims - 1, "norm": "rms", "full_width": full}
    return replace(tower, blocks=blocks, **basis, **switches)


def inputs(
    shape: ClipShape, kind: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Five pictures and captions that fit a shape."""
    draw = torch.Generator().manual_seed(1)
    size = (5, shape.text.context_length)
    ids = torch.randint(0, shape.text.vocab_size, size, generator=draw)
    side = shape.image.image_size
    return torch.randn(5, 3, side, side, generator=draw).to(kind), ids
