"""A folder that stock open_clip loads: `open_clip.create_model_and_transforms`.

Legend: B batch, T tokens.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors

from ...files import write_bytes, write_json
from ...model.card import model_card
from ...model.store import Loaded, describe
from ..conversion import convert, in_words, refuse_loss
from ..folder import check_free, whole_folder
from ..huggingface.write_tokenizer import same_ids
from ..parity import Probe, compare_agreeing, with_edges
from ..stock import stock_shape
from .layout import CONFIG, OWN_WEIGHTS
from .model import preprocess_cfg, to_openclip
from .write_config import OUT, WHERE, config_of
from .write_tokenizer import write_for_openclip

WEIGHTS = OWN_WEIGHTS[0]  # transformers takes `model.safetensors` for its own
LOAD = """
In open_clip:

```python
import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:path/to/it")
tokenizer = open_clip.get_tokenizer("local-dir:path/to/it")
```
"""


def export_openclip(
    loaded: Loaded,
    out: Path,
    probe: Probe,
    *,
    more: Probe | None = None,
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out` for stock open_clip; returns what its `parity.json` says.

    Args:
        more: pairs that the loss of a conversion is measured on.
        certificate, metrics: of the model, if it has them; the card shows them.

    Raises:
        UserError: no stock configuration holds the model, or open_clip cannot make
            its ids; `out` is taken or cannot be written.
        TinyclipError: open_clip does not make the same features of it.
    """
    check_free(out)
    config_of(stock_shape(loaded.model.shape))  # refused before anything is computed
    conversion = convert(loaded, probe, more)
    refuse_loss(conversion, WHERE, f"{OUT} --code own")
    loaded, load = conversion.loaded, LOAD
    if conversion.loss is not None:
        load += f"\n{in_words(conversion.loss)}\n"
    cfg, weights = to_openclip(loaded.model)
    text = loaded.model.shape.text
    with whole_folder(out) as draft:
        cfg["text_cfg"].update(write_for_openclip(loaded.tokenizer, draft, text))
        floats = {name: value.float() for name, value in weights.items()}
        write_bytes(draft / WEIGHTS, save_tensors(floats, {"format": "pt"}))
        settings = preprocess_cfg(loaded.preprocess)
        write_json(draft / CONFIG, {"model_cfg": cfg, "preprocess_cfg": settings})
        told = describe(loaded), certificate, metrics
        card = model_card(*told, load, library="open_clip")
        write_bytes(draft / "README.md", card.encode())
        found = _read_back(conversion.same_as, draft, probe)
        parity = {"format": "openclip", **conversion.told(found)}
        write_json(draft / "parity.json", parity)
    return parity


def _read_back(loaded: Loaded, folder: Path, probe: Probe) -> dict[str, Any]:
    """Load the folder with stock open_clip and compare all the way from the input.

    A caption or picture of which open_clip makes other ids or pixels is named, and the
    model is compared on ours.

    Raises:
        TinyclipError: there are others of every one, or the features differ.
    """
    import open_clip

    probe = with_edges(probe, loaded.tokenizer)
    name = f"local-dir:{folder}"
    with _quiet():
        model, _, preprocess = open_clip.create_model_and_transforms(name)
        tokenizer = open_clip.get_tokenizer(name)
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    theirs = torch.stack([preprocess(image) for image in probe.images])
    ids_BT, theirs_BT = (
        loaded.tokenizer(probe.captions),
        tokenizer(list(probe.captions)),
    )
    same_B = torch.tensor(same_ids(ids_BT, theirs_BT, loaded.model.shape.text))
    return compare_agreeing(
        loaded.model,
        model,
        probe,
        (pixels, theirs),
        (ids_BT, theirs_BT),
        same_B,
        "open_clip",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip tells every step on the root logger; only errors are for our users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
