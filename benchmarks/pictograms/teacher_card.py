"""The README of the built-in teacher, from measured numbers alone."""

from dataclasses import dataclass

CARD = """\
---
license: apache-2.0
---

# pictoclip, the built-in teacher

A small CLIP that knows what pictograms show, so that every command of tinyclip has a
teacher without a network: `builtin:pictoclip`. It is a teacher to try things on and to
test with; it knows emoji and clip-art, not photographs.

| part | what |
|---|---|
| image tower | 64 by 64 pixels, patches of 16, width 192, 6 layers, 4 heads |
| text tower | 16 tokens of 8,192, width 192, 4 layers, 4 heads |
| joint width | 192 |
| parameters | 6.25 M, of which 4.45 M in the blocks of both towers |
| files | `model.safetensors` (float16, open_clip's names), `open_clip_config.json`, \
`bpe_8192.txt.gz` (CLIP's byte-pair merges, cut to 8,192 ids) |

## What it was trained on

The `train` rows of the Pictograms set (`tinyclip/data/builtin/`, described in
`benchmarks/pictograms/README.md`): drawings by Noto, Noto v1 and the three Fluent sets,
and clip-arts of Open Clip Art. NOTICE names the authors and licences. Never trained on:
Fx (development), Twemoji (test), a tenth of the concepts whoever drew them, and a
quarter of the clip-art titles.

## How good it is

Measured on the shipped file with open_clip's own model, preprocessing and tokenizer.
`pixels` is the nearest training picture, pixel by pixel: what a labelled gallery knows
without learning.

| % | pictoclip | pixels | chance |
|---|---|---|---|
{table}

{verdict}
Read retention against it as a share of this quality, not of a good CLIP's.

It stopped after {steps:,} steps, {pictures:,} pictures and {minutes:,.0f} CPU-minutes;
the curve is `benchmarks/pictograms/teacher_log.jsonl`, what it began from is told in
`benchmarks/pictograms/README.md`. Choices were made on the development designer only.
"""

BELOW = """\
On the held-out designer's top-1 it is still below the pixels: it was stopped by the
clock, not by the curve."""
ABOVE = "On the held-out designer's top-1 it is above the pixels."

# name in the measurement, what it says, classes to choose from
ROWS = (
    ("test_designer@1", "held-out designer (Twemoji), name of {}, top-1", "name", 1),
    ("test_designer@5", "the same, top-5", "name", 5),
    ("dev@1", "development designer (Fx), name of {}, top-1", "name", 1),
    ("dev@5", "the same, top-5", "name", 5),
    ("unseen_group@1", "unseen concepts, group of {}, top-1", "group", 1),
    ("unseen_subgroup@1", "unseen concepts, subgroup of {}, top-1", "subgroup", 1),
    ("clipart_r@1", "clip-art, caption of {}, R@1", "test_clipart", 1),
    ("clipart_r@5", "the same, R@5", "test_clipart", 5),
)


@dataclass(frozen=True)
class Effort:
    """How long the training went on."""

    steps: int
    pictures: int
    seconds: float


def card(
    teacher: dict[str, float],
    pixels: dict[str, float],
    classes: dict[str, int],
    effort: Effort,
) -> str:
    """The text of the README."""
    lines = []
    for name, title, kind, top in ROWS:
        count = classes[kind]
        # Pixels have no captions to retrieve.
        other = f"{pixels[name]:.1f}" if name in pixels else "–"
        what = title.format(f"{count:,}")
        chance = f"{100 * top / count:.2g}"
        lines.append(f"| {what} | {teacher[name]:.1f} | {other} | {chance} |")
    beaten = teacher["test_designer@1"] > pixels["test_designer@1"]
    return CARD.format(
        table="\n".join(lines),
        verdict=ABOVE if beaten else BELOW,
        steps=effort.steps,
        pictures=effort.pictures,
        minutes=effort.seconds / 60,
    )
