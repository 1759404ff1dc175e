"""A folder that stock transformers loads: `AutoModel.from_pretrained`.

Legend: B batch, T tokens, S image size, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn import functional as F

from ...files import write_bytes, write_json
from ...model.card import model_card
from ...model.clip import Clip
from ...model.store import Loaded, describe
from ...shapes import ClipShape
from ..conversion import in_words
from ..folder import whole_folder
from ..parity import Probe, compare_agreeing, with_edges
from ..stock import stock_shape
from .keymap import to_huggingface
from .read_back import quiet, read_model
from .write_config import CODE, custom_config, stock_config
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
from .written import written_as

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
    more: Probe | None = None,
    code: str | None = None,
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out` for stock transformers; returns what its `parity.json` says.

    A model that `CLIPModel` or `SiglipModel` can hold becomes one; every other, the
    ragged ones among them, brings its own code.

    Args:
        more: pairs that the loss of a conversion is measured on.
        code: `stock` or `own`, where one of them is wanted.
        certificate, metrics: of the model, if it has them; the card shows them.

    Raises:
        UserError: pictures are padded, which no processor there does; no stock class
            holds what was to be one; `out` is taken or cannot be written.
        TinyclipError: transformers does not make the same features of it.
    """
    refuse_padding(loaded.preprocess)
    with whole_folder(out) as draft, quiet():
        hf = write_tokenizer(loaded.tokenizer, draft, loaded.model.shape.text)
        row = _Row(hf, pad_source(loaded.tokenizer, hf, loaded.model.shape.text))
        wanted = row.shape(stock_shape(loaded.model.shape))
        written = written_as(loaded, wanted, ids_of(hf), (probe, more), code)
        loaded, family = written.loaded, written.family
        shape, state = row.shape(loaded.model.shape), row.state(loaded.model)
        write_processor(loaded.preprocess, hf, draft, siglip=family == "siglip")
        forget_places(draft)
        if family is None:
            pad_id = hf.pad_token_id if hf.padding_side == "right" else None
            config, weights = custom_config(shape, pad_id), state
            for module in CODE:
                file = Path(__file__).with_name(f"{module}.py")
                write_bytes(draft / file.name, file.read_bytes())
            words = {"how": CUSTOM, "trust": TRUST}
        else:
            config = stock_config(shape, family, ids_of(hf))
            weights = to_huggingface(state, shape)
            words = {"how": STOCK, "trust": ""}
        write_json(draft / "config.json", config)
        write_bytes(draft / WEIGHTS, save_tensors(weights, {"format": "pt"}))
        load = LOAD.format_map(words) + (PADDED if hf.pad_token == PAD else "")
        if written.conversion.loss is not None:
            load += f"\n{in_words(written.conversion.loss)}\n"
        told = describe(loaded), certificate, metrics
        card = model_card(*told, load, library="transformers")
        write_bytes(draft / "README.md", card.encode())
        parity = {"format": "huggingface", "class": config["architectures"][0]}
        found = _read_back(written.conversion.same_as, draft, probe)
        parity.update(written.conversion.told(found))
        write_json(draft / "parity.json", parity)
    return parity


@dataclass(frozen=True)
class _Row:
    """The row of the token embedding that a padding token takes, if the tokenizer of
    transformers needs one: that of the `source`, which ours pads with."""

    hf: Any
    source: int | None

    def shape(self, shape: ClipShape) -> ClipShape:
        """The shape with it."""
        text = shape.text
        if self.source is None:
            return shape
        rows = max(text.vocab_size, self.hf.pad_token_id + 1)
        text = replace(text, vocab_size=rows)
        if text.pool == "argmax":  # end-of-text is no longer the largest id
            text = replace(text, pool="eos", eos_id=self.hf.eos_token_id)
        return shape.with_towers(text=text)

    def state(self, model: Clip) -> dict[str, Tensor]:
        """Float32 weights with it."""
        state = {n: v.detach().cpu().float() for n, v in model.state_dict().items()}
        if self.source is None:
            return state
        table_VD, row = state["text.token_embedding"], self.hf.pad_token_id
        more = max(0, row + 1 - len(table_VD))
        table_VD = F.pad(table_VD, (0, 0, 0, more)).clone()
        table_VD[row] = table_VD[self.source]
        return {**state, "text.token_embedding": table_VD}


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
