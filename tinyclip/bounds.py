"""What a shape may be: every number of it in bounds, before anything is built of it.

The bounds are far beyond any CLIP there is (the largest has 48 layers, a width of 5,120
and 18 billion parameters), and far below what would fill a machine or take minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from .shapes import (
    ACTIVATIONS,
    BlockShape,
    ClipShape,
    ImagePool,
    ImageShape,
    NormKind,
    TextPool,
    TextShape,
    TowerShape,
    shape_from_dict,
)

Bounds = tuple[int, int]
LAYERS: Bounds = (1, 512)
WIDTH: Bounds = (1, 2**16)
PIXELS: Bounds = (1, 2**14)
IDS: Bounds = (1, 2**22)
TOKENS: Bounds = (1, 2**17)
SWITCH: Bounds = (0, 1)
PARAMETERS = 2**36  # of a whole model
WORDS = {  # fields that are one of a few words
    "activation": ACTIVATIONS,
    "norm": get_args(NormKind),
}
FLAGS = (
    *("layer_scale", "class_token", "patch_bias", "norm_pre", "norm_after_pool"),
    *("projection", "projection_bias", "causal"),
)


def check_number(name: str, value: Any, bounds: Bounds) -> None:
    """Refuse what is no whole number in bounds.

    Raises:
        ValueError: it is none.
    """
    low, high = bounds
    if type(value) is not int or not low <= value <= high:
        shown = repr(value) if isinstance(value, int | float) else type(value).__name__
        raise ValueError(f"{name} is {shown[:40]}, not a number from {low} to {high}")


def check_shape(shape: ClipShape) -> ClipShape:
    """The shape, none of whose numbers is absurd.

    Raises:
        ValueError: one is, or is no number at all, or a word is none of those known.
    """
    check_number("embed_dim", shape.embed_dim, WIDTH)
    for name, tower in shape.towers().items():
        _check_tower(f"{name}.", tower)
    _check_flag("logit_bias", shape.logit_bias)
    _check_image("image.", shape.image)
    _check_text("text.", shape.text)
    count = sum(_parameters(shape))
    if count > PARAMETERS:
        raise ValueError(f"it has {count} parameters; {PARAMETERS} at most")
    return shape


def read_shape(value: Any) -> ClipShape:
    """The shape in a configuration, as `shape_from_dict` and `check_shape`.

    Raises:
        ValueError: it describes none.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"its shape is a {type(value).__name__}")
    try:
        shape = shape_from_dict(value)
    except KeyError as error:
        raise ValueError(f"its shape lacks {error}") from None
    except (TypeError, AttributeError) as error:
        raise ValueError(f"its shape is none: {error}") from None
    return check_shape(shape)


def _check_tower(at: str, tower: TowerShape) -> None:
    check_number(f"{at}width", tower.width, WIDTH)
    check_number(f"{at}head_width", tower.head_width, WIDTH)
    if tower.full_width is not None:
        check_number(f"{at}full_width", tower.full_width, WIDTH)
    check_number(f"{at}blocks", len(tower.blocks), LAYERS)
    for number, block in enumerate(tower.blocks):
        _check_block(f"{at}blocks[{number}].", block)
    for name, words in WORDS.items():
        _check_word(f"{at}{name}", getattr(tower, name), words)
    for name in FLAGS:
        _check_flag(f"{at}{name}", getattr(tower, name, False))
    eps = tower.eps
    if not isinstance(eps, float | int) or not 0 < eps < 1 or isinstance(eps, bool):
        shown = repr(eps)[:40]
        raise ValueError(f"{at}eps is {shown}, not a number between 0 and 1")


def _check_block(at: str, block: BlockShape) -> None:
    for name in ("heads", "ffn"):
        check_number(f"{at}{name}", getattr(block, name), (0, 4 * WIDTH[1]))
    check_number(f"{at}dims", block.dims, (0, WIDTH[1]))
    for name in ("attention_layers", "ffn_layers"):
        check_number(f"{at}{name}", getattr(block, name), SWITCH)


def _check_image(at: str, image: ImageShape) -> None:
    check_number(f"{at}image_size", image.image_size, PIXELS)
    check_number(f"{at}patch_size", image.patch_size, (1, image.image_size))
    check_number(f"{at}tokens", image.tokens, TOKENS)
    _check_word(f"{at}pool", image.pool, get_args(ImagePool))
    if (image.pool == "map") != (image.pool_block is not None):
        raise ValueError(f"{at}pool_block belongs to the pool 'map', and to no other")
    if image.pool_block is not None:
        _check_block(f"{at}pool_block.", image.pool_block)
    if image.pool == "class" and not image.class_token:
        raise ValueError(f"{at}pool is 'class', and there is no class token")


def _check_text(at: str, text: TextShape) -> None:
    check_number(f"{at}context_length", text.context_length, TOKENS)
    check_number(f"{at}vocab_size", text.vocab_size, IDS)
    _check_word(f"{at}pool", text.pool, get_args(TextPool))
    if text.eos_id is not None:
        check_number(f"{at}eos_id", text.eos_id, (0, text.vocab_size - 1))
    elif text.pool == "eos":
        raise ValueError(f"{at}pool is 'eos', and there is no eos_id")


def _check_word(name: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"{name} is {str(value)[:40]!r}, not {' or '.join(words)}")


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {str(value)[:40]!r}, not true or false")


def _parameters(shape: ClipShape) -> Iterator[int]:
    """About how many there are, matrix by matrix; nothing of it is built."""
    image, text = shape.image, shape.text
    for tower in (image, text):
        for block in tower.blocks:
            yield tower.width * (4 * block.heads * block.dims + 2 * block.ffn)
        yield tower.width * (tower.tokens + shape.embed_dim)
    yield 3 * image.patch_size**2 * int(image.embed_width)
    yield text.vocab_size * text.width
