"""A folder that stock transformers loads: `AutoModel.from_pretrained`.

Legend: B batch, T tokens, S image size, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn import functional as F

from ...files import write_bytes, write_json
from ...model.card import model_card
from ...model.store import Loaded, describe
from ...shapes import ClipShape
from ..folder import whole_folder
from ..parity import Probe, compare_agreeing, with_edges
from .keymap import to_huggingface
from .read_back import quiet, read_model
from .write_config import CODE, custom_config, family_of, stock_config
from .write_processor import read_processor, refuse_padding, write_processor
from .write_tokenizer import (
    PAD,
    encode,
    forget_places,
    ids_of,
    pad_source,
    same_ids,
    write_tokenizer,
)

LOAD = """
In transformers, {how}:

```python
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

folder = "path/to/it"
model = AutoModel.from_pretrained(folder{trust}).eval()
processor = AutoProcessor.from_pretrained(folder, backend="pil"{trust})
inputs = processor(
    text=["a photo of a cat", "a photo of a dog"],
    images=Image.open("picture.jpg"),
    padding="max_length",
    truncation=True,
    return_tensors="pt",
)
with torch.no_grad():
    print(model(**inputs).logits_per_image)
```

`backend="pil"` resizes pictures as in training; the torchvision backend's pixels differ
a little. The tokenizer does not mend broken text (HTML entities, wrongly decoded or
curly quotes) as open_clip's does: mend captions before, if yours need it.
"""
WEIGHTS = "model.safetensors"
WHY_PIXELS = (
    " (its image processor cuts the middle out one pixel beside open_clip's where the "
    "margin is odd)"
)
PADDED = """
The padding token is new here: one row more in the token embedding, a copy of that of
the id with which captions were padded in training.
"""
TRUST = ", trust_remote_code=True"
STOCK = "with no code but its own"
CUSTOM = "with the code beside the weights (tinyclip is not needed)"


def export_huggingface(
    loaded: Loaded,
    out: Path,
    probe: Probe,
    *,
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out` for stock transformers; returns what its `parity.json` says.

    A model that `CLIPModel` or `SiglipModel` can hold becomes one; every other, the
    ragged ones among them, brings its own code.

    Args:
        certificate, metrics: of the model, if it has them; the card shows them.

    Raises:
        UserError: pictures are padded, which no processor there does; `out` is taken
            or cannot be written.
        TinyclipError: transformers does not make the same features of it.
    """
    refuse_padding(loaded.preprocess)
    with whole_folder(out) as draft, quiet():
        hf = write_tokenizer(loaded.tokenizer, draft, loaded.model.shape.text)
        shape, state = _with_padding(loaded, hf)
        family = family_of(shape, ids_of(hf))
        write_processor(loaded.preprocess, hf, draft, siglip=family == "siglip")
        forget_places(draft)
        if family is None:
            pad_id = hf.pad_token_id if hf.padding_side == "right" else None
            config, weights = custom_config(shape, pad_id), state
            for module in CODE:
                code = Path(__file__).with_name(f"{module}.py")
                write_bytes(draft / code.name, code.read_bytes())
            words = {"how": CUSTOM, "trust": TRUST}
        else:
            config = stock_config(shape, family, ids_of(hf))
            weights = to_huggingface(state, shape)
            words = {"how": STOCK, "trust": ""}
        write_json(draft / "config.json", config)
        write_bytes(draft / WEIGHTS, save_tensors(weights, {"format": "pt"}))
        load = LOAD.format_map(words) + (PADDED if hf.pad_token == PAD else "")
        card = model_card(describe(loaded), certificate, metrics, load)
        write_bytes(draft / "README.md", card.encode())
        parity = {"format": "huggingface", "class": config["architectures"][0]}
        parity.update(_read_back(loaded, draft, probe))
        write_json(draft / "parity.json", parity)
    return parity


def _with_padding(loaded: Loaded, hf: Any) -> tuple[ClipShape, dict[str, Tensor]]:
    """Shape and float32 weights; a padding token that the tokenizer of transformers
    needs has the embedding of what ours pads with."""
    model = loaded.model
    state = {n: v.detach().cpu().float() for n, v in model.state_dict().items()}
    text = model.shape.text
    source = pad_source(loaded.tokenizer, hf, text)
    if source is not None:
        table_VD, row = state["text.token_embedding"], hf.pad_token_id
        more = max(0, row + 1 - len(table_VD))
        table_VD = F.pad(table_VD, (0, 0, 0, more)).clone()
        table_VD[row] = table_VD[source]
        state["text.token_embedding"] = table_VD
        text = replace(text, vocab_size=len(table_VD))
        if text.pool == "argmax":  # end-of-text is no longer the largest id
            text = replace(text, pool="eos", eos_id=hf.eos_token_id)
    return model.shape.with_towers(text=text), state


def _read_back(loaded: Loaded, folder: Path, probe: Probe) -> dict[str, Any]:
    """Load the folder with stock transformers, compare all the way from the input.

    A caption or picture of which transformers makes other ids or pixels is named, and
    the model is compared on ours.

    Raises:
        TinyclipError: there are others of every one, or the features differ.
    """
    probe = with_edges(probe, loaded.tokenizer)
    processor, text = read_processor(folder), loaded.model.shape.text
    hf = processor.tokenizer
    ids_BT = loaded.tokenizer(probe.captions)
    theirs_BT = encode(processor, probe.captions)
    source = pad_source(loaded.tokenizer, hf, text)
    if source is None:
        as_ours_BT = theirs_BT
    else:
        as_ours_BT = theirs_BT.masked_fill(theirs_BT == hf.pad_token_id, source)
    same_B = torch.tensor(same_ids(ids_BT, as_ours_BT, text))
    pixels = torch.stack([loaded.preprocess(image) for image in probe.images])
    processed = [processor(images=i, return_tensors="pt") for i in probe.images]
    theirs = torch.cat([inputs["pixel_values"] for inputs in processed])
    return compare_agreeing(
        loaded.model,
        read_model(folder),
        probe,
        (pixels, theirs),
        (ids_BT, theirs_BT),
        same_B,
        "transformers",
        WHY_PIXELS,
    )
