"""Which of open_clip's models can be compressed: asked of each configuration.

`python -m tinyclip.formats.survey` prints the tables of docs/models.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..cost import sizes
from ..errors import UserError
from ..shapes import ClipShape
from .openclip.config import shape_of


@dataclass(frozen=True)
class Verdict:
    """What becomes of one of open_clip's models.

    Args:
        family: of a supported one, e.g. `SigLIP`.
        notes: what is special about a supported one; why another is refused.
        shape: of a supported one.
    """

    name: str
    supported: bool
    family: str
    notes: str
    shape: ClipShape | None = None


def survey() -> list[Verdict]:
    """Every model that the installed open_clip knows, in its order."""
    import open_clip

    names = open_clip.list_models()
    return [verdict(name, open_clip.get_model_config(name)) for name in names]


def verdict(name: str, cfg: dict[str, Any]) -> Verdict:
    """Whether a configuration is supported, and why not."""
    try:
        shape = shape_of(cfg, name)
    except UserError as refusal:
        why = refusal.what.removeprefix("is not supported: ")
        return Verdict(name, False, "", why)
    notes = "; ".join(_notes(cfg, shape))
    return Verdict(name, True, _family(shape), notes, shape)


def _family(shape: ClipShape) -> str:
    """What a model of such switches is called."""
    image, text = shape.image, shape.text
    if image.pool == "map":
        return "SigLIP 2" if text.activation == "gelu_tanh" else "SigLIP"
    if image.pool == "mean":
        return "CLIPA"
    return "CLIP, many languages" if text.pool == "eos" else "CLIP"


def _notes(cfg: dict[str, Any], shape: ClipShape) -> Iterator[str]:
    for name, tower in shape.towers().items():
        if tower.activation == "gelu_tanh":
            yield f"tanh-GELU ({name})"
    if shape.text.activation == "quick_gelu":
        yield "quick-GELU"
    if shape.image.layer_scale or shape.text.layer_scale:
        yield "layer scale"
    tokenizer = cfg["text_cfg"].get("hf_tokenizer_name")
    if tokenizer:
        yield f"tokenizer `{tokenizer}`"


def tables(verdicts: Iterable[Verdict]) -> str:
    """Two tables in Markdown: the supported models, and the others by reason."""
    verdicts = list(verdicts)
    supported = [verdict for verdict in verdicts if verdict.supported]
    lines = [
        f"### Supported: {len(supported)} of {len(verdicts)}",
        "",
        "| `openclip:` | family | picture | image tower | text tower | parameters "
        "| notes |",
        "|---|---|---|---|---|---|---|",
        *map(_row, supported),
        "",
        f"### Refused: {len(verdicts) - len(supported)} of {len(verdicts)}",
        "",
        "| `openclip:` | why |",
        "|---|---|",
    ]
    reasons: dict[str, list[str]] = {}
    for verdict in verdicts:
        if not verdict.supported:
            reasons.setdefault(verdict.notes, []).append(f"`{verdict.name}`")
    lines += [f"| {', '.join(names)} | {why} |" for why, names in reasons.items()]
    return "\n".join(lines) + "\n"


def _row(verdict: Verdict) -> str:
    assert verdict.shape is not None  # it is supported
    image, text = verdict.shape.image, verdict.shape.text
    cells = (
        f"`{verdict.name}`",
        verdict.family,
        f"{image.image_size} px in {image.patch_size}",
        f"{len(image.blocks)} × {image.width}",
        f"{len(text.blocks)} × {text.width}",
        f"{sizes(verdict.shape)['total'] / 1e6:,.0f} M",
        verdict.notes,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(tables(survey()))
