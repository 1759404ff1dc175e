"""Whether what was written is the same model: measured after loading it again.

Legend: B batch, E joint embedding, T tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config.schema import Data
from ..data.pairs import open_pairs
from ..data.pictures import Broken
from ..errors import TinyclipError, UserError
from ..model.clip import Clip
from ..tokenizers.protocol import TokenizerLike

log = logging.getLogger("tinyclip")
BOUND = 1e-5
COUNT = 32  # pairs that are compared
CALIBRATE = 128  # pairs that give int8 its ranges
RANDOM = "random"


@dataclass(frozen=True)
class Probe:
    """Pictures and captions that both models see.

    Args:
        source: where they come from, as `parity.json` says it.
        captions: of the pictures, and maybe more.
    """

    source: str
    images: tuple[Image.Image, ...]
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


def real_probe(source: str, count: int = COUNT) -> Probe:
    """Whole pairs of a data source, from all over it.

    Raises:
        UserError: the source cannot be opened, or has fewer than 16 whole pairs.
    """
    pairs = open_pairs(Data(source=source))
    images: list[Image.Image] = []
    captions: list[str] = []
    step = max(1, len(pairs) // count)
    for i in [i for first in range(step) for i in range(first, len(pairs), step)]:
        if len(images) == count:
            break
        try:
            images.append(pairs.image(i))
        except Broken as broken:
            log.warning("%s: %s is left out (%s)", source, pairs.key(i), broken)
            continue
        captions.append(pairs.captions(i)[0])
    if len(images) < 16:
        raise UserError(
            "--data",
            f"{source} has {len(images)} whole pairs, and the comparison needs 16",
            f"Name another source, or --data {RANDOM}",
        )
    return Probe(source, tuple(images), tuple(captions))


def random_probe(count: int = COUNT) -> Probe:
    """Noise as pictures, numbers and words as captions; the same every time."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (count, 48, 56, 3), dtype=np.uint8)
    captions = [f"a picture of {i} things, no. {i * i}" for i in range(count)]
    return Probe(RANDOM, tuple(map(Image.fromarray, pixels)), tuple(captions))


def with_edges(probe: Probe, tokenizer: TokenizerLike) -> Probe:
    """The probe and the captions whose ids depend on how a tokenizer cuts and pads.

    They repeat the shortest word of the probe's own: no time at all, as often as just
    fills the context, once less, once more, and far too often.
    """
    words, room = " ".join(probe.captions).split(), tokenizer.context_length
    short = min(words, key=len, default="a")
    rows_BT = tokenizer([" ".join([short] * count) for count in range(room + 2)])
    # from here on a word more changes nothing
    alike = (torch.equal(*rows_BT[n : n + 2]) for n in range(room + 1))
    full = next((n for n, same in enumerate(alike) if same), room)
    counts = sorted({0, max(0, full - 1), full, full + 1, 4 * room})
    edges = [" ".join([short] * count) for count in counts]
    return replace(probe, captions=(*probe.captions, *edges))


def probe_of(source: str) -> Probe:
    """The probe that `--data` asks for.

    Raises:
        UserError: as `real_probe`.
    """
    return random_probe() if source == RANDOM else real_probe(source)


def apart(source: str) -> tuple[Probe, Probe | None]:
    """Pairs to compare on, and others to calibrate on; few pairs do both.

    Raises:
        UserError: as `real_probe`.
    """
    count = COUNT + CALIBRATE
    both = random_probe(count) if source == RANDOM else real_probe(source, count)
    if len(both) < count:
        return both, None
    every = count // COUNT

    def part(rows: list[int]) -> Probe:
        images, captions = both.images, both.captions
        return Probe(
            source, tuple(images[i] for i in rows), tuple(captions[i] for i in rows)
        )

    measured = [i for i in range(count) if i % every == 0]
    return part(measured), part([i for i in range(count) if i % every])


@torch.no_grad()
def compare(
    ours: Clip,
    theirs: Any,
    pixels: tuple[Tensor, Tensor],
    tokens: tuple[Tensor, Tensor],
) -> dict[str, float]:
    """Largest differences of normalised features, float32 on the CPU.

    Args:
        theirs: anything with open_clip's `encode_image` and `encode_text`.
        pixels: (B, 3, S, S) as each side makes them; tokens: (B, T) likewise.

    Raises:
        TinyclipError: a difference is over 1e-5, or not a number.
    """
    ours, theirs = ours.eval().cpu(), theirs.eval().cpu()

    def gap(
        mine: Callable[..., Tensor], their: Callable[..., Tensor], x: tuple[Tensor, ...]
    ) -> float:
        first_BE, second_BE = mine(x[0], normalize=True), their(x[1], normalize=True)
        return float((first_BE - second_BE).abs().amax())

    image = gap(ours.encode_image, theirs.encode_image, pixels)
    text = gap(ours.encode_text, theirs.encode_text, tokens)
    if not (image <= BOUND and text <= BOUND):
        raise TinyclipError(
            f"the export is not the same model: features differ by {image:.2e} (image) "
            f"and {text:.2e} (text), and {BOUND:.0e} is allowed. Nothing was written. "
            "This is a bug, or weights that are not finite"
        )
    return {"max_abs_diff": max(image, text), "image": image, "text": text}


def compare_agreeing(
    ours: Clip,
    theirs: Any,
    probe: Probe,
    pixels: tuple[Tensor, Tensor],
    tokens: tuple[Tensor, Tensor],
    same_B: Tensor,
    whose: str,
    why: str = "",
) -> dict[str, Any]:
    """What `parity.json` says of a library that prepares its inputs itself.

    Inputs that it makes otherwise are told, and compared as ours.

    Args:
        pixels, tokens: as each side makes them.
        same_B: whether the captions' ids are the same.
        whose: the library, for the log; `why` its pixels may differ.

    Raises:
        TinyclipError: all of a kind are others, ids are more or fewer, or the features
            differ.
    """
    if tokens[0].shape != tokens[1].shape:
        raise TinyclipError(
            f"the exported tokenizer makes {tokens[1].shape[1]} ids of a caption, and "
            f"{tokens[0].shape[1]} are wanted"
        )
    gap_B = (pixels[0] - pixels[1]).abs().flatten(1).amax(dim=1)
    images_B = gap_B <= BOUND
    if not same_B.any():
        raise TinyclipError("the exported tokenizer makes other ids of every caption")
    if not images_B.any():
        raise TinyclipError(f"{whose} makes other pixels of every picture")
    for caption, equal in zip(probe.captions, same_B, strict=True):
        if not equal:
            log.warning("%s's tokenizer makes other ids of %r", whose, caption[:80])
    others = int((~images_B).sum())
    if others:
        pictures = f"{others} of {len(probe)} pictures{why}"
        log.warning("%s makes other pixels of %s", whose, pictures)
    taken_pixels = torch.where(images_B[:, None, None, None], pixels[1], pixels[0])
    taken_tokens = torch.where(same_B[:, None], tokens[1], tokens[0])
    gaps = compare(ours, theirs, (pixels[0], taken_pixels), (tokens[0], taken_tokens))
    return {
        **gaps,
        "n": len(probe),
        "inputs": probe.source,
        "dtype": "float32",
        "captions": len(probe.captions),
        "captions_with_equal_ids": int(same_B.sum()),
        "images_with_equal_pixels": int(images_B.sum()),
    }
