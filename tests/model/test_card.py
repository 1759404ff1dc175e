"""The model card's words."""

from __future__ import annotations

import ast
from typing import Any

from tinyclip.model.card import model_card

BLOCKS = [{"heads": 3, "ffn": 50}, {"heads": 0, "ffn": 7, "attention_layers": 0}]
SIZES = {"total": 1000, "encoder": 500}
CONFIG: dict[str, Any] = {
    "provenance": {"teacher": "builtin:pico"},
    "sizes": SIZES,
    "share": {"total": 0.5, "encoder": 0.25},
    "shape": {
        "image": {"width": 24, "blocks": BLOCKS},
        "text": {"width": 16, "blocks": BLOCKS[:1]},
    },
}


def test_the_widths_of_every_block_stand_in_one_table() -> None:
    _, _, rest = model_card(CONFIG, None, None).partition("## Widths\n\n")
    assert rest.splitlines()[:4] == [
        "| tower | embed | heads by layer | ffn by layer |",
        "|---|---|---|---|",
        "| image | 24 | 3 – | 50 7 |",
        "| text | 16 | 3 | 50 |",
    ]


def test_fewer_dims_and_a_basis_stand_in_the_table() -> None:
    blocks = [{"heads": 4, "ffn": 50, "dims": 3}]
    basis = {"norm": "rms", "full_width": 24, "head_width": 6, "norm_pre": True}
    image = {"width": 15, "blocks": blocks, **basis}
    shape = {**CONFIG["shape"], "image": image}
    card = model_card({**CONFIG, "shape": shape}, None, None)
    assert "| image | 15 directions of 24, behind a stem | 4×3 | 50 |" in card


def test_the_words_on_loading_import_nothing_that_a_reader_lacks() -> None:
    _, _, rest = model_card(CONFIG, None, None).partition("```python\n")
    tree = ast.parse(rest.partition("```")[0])
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in imports if node.level]
