"""The models that come with tinyclip: a teacher of drawings, two that know nothing."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UserError, nearest
from ..model.clip import Clip
from ..model.licences import licence_beside
from ..model.preprocess import Preprocess
from ..model.store import WEIGHTS, Loaded
from ..model.weights import read_weights
from ..shapes import BlockShape, ClipShape, ImageShape, TextShape
from ..tokenizers.clip import ClipTokenizer
from .openclip.model import from_openclip, preprocess_of

BUILTIN = Path(__file__).parent / "builtin" / "pictoclip"
MERGES = "bpe_8192.txt.gz"
NAMES = ("pictoclip", "pico", "pico-siglip")
PICO_SEED = 0
PICO_BLOCKS = (BlockShape(heads=4, ffn=128),) * 2


def load_builtin(name: str, where: str) -> Loaded:
    """`pictoclip`, `pico` or `pico-siglip`.

    Raises:
        UserError: there is none of that name, or it is not installed.
    """
    if name == "pictoclip":
        return _pictoclip(where)
    if name in NAMES:
        return _pico(name, where)
    raise UserError(where, f"unknown builtin {name!r}", nearest(name, NAMES))


def _file_of_teacher(name: str, where: str) -> bytes:
    """A file of the embedded teacher.

    Raises:
        UserError: it is not installed.
    """
    try:
        return (BUILTIN / name).read_bytes()
    except OSError:
        raise UserError(
            where,
            f"the embedded teacher is not installed ({BUILTIN / name} is missing)",
            "Install tinyclip again",
        ) from None


def _pictoclip(where: str) -> Loaded:
    """The embedded teacher: a small CLIP of drawings."""
    cfg = json.loads(_file_of_teacher("open_clip_config.json", where))
    merges = _file_of_teacher(MERGES, where)
    _file_of_teacher(WEIGHTS, where)
    weights = read_weights(BUILTIN / WEIGHTS)
    model = from_openclip(cfg["model_cfg"], weights, "builtin:pictoclip")
    shape = model.shape
    stated = {"source": "builtin:pictoclip", "licence": licence_beside(BUILTIN)}
    return Loaded(
        model,
        preprocess_of(cfg["preprocess_cfg"], shape.image.image_size),
        ClipTokenizer(merges, shape.text.context_length),
        {"provenance": stated},
    )


def _pico(name: str, where: str) -> Loaded:
    """A tiny model that never learned anything: for tests and for trying things."""
    siglip = name == "pico-siglip"
    image = ImageShape(
        width=32,
        head_width=8,
        blocks=PICO_BLOCKS,
        image_size=16,
        patch_size=8,
        class_token=not siglip,
        patch_bias=siglip,
        norm_pre=not siglip,
        pool="map" if siglip else "class",
        pool_block=PICO_BLOCKS[0] if siglip else None,
        projection=not siglip,
        eps=1e-6 if siglip else 1e-5,
    )
    text = TextShape(
        width=32,
        head_width=8,
        blocks=PICO_BLOCKS,
        context_length=16,
        vocab_size=8192,
        causal=not siglip,
        pool="last" if siglip else "argmax",
        projection_bias=siglip,
        eps=1e-6 if siglip else 1e-5,
    )
    embed_dim = image.width if siglip else 16
    shape = ClipShape(embed_dim=embed_dim, image=image, text=text, logit_bias=siglip)
    return Loaded(
        Clip(shape).init_weights(PICO_SEED).eval(),
        Preprocess(image.image_size, resize_mode="squash"),
        ClipTokenizer(_file_of_teacher(MERGES, where), text.context_length),
        {"provenance": {"source": f"builtin:{name}"}},
    )
