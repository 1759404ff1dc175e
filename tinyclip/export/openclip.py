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
from torch import Tensor

from ..adapters.openclip import preprocess_cfg, to_openclip
from ..errors import TinyclipError
from ..model.card import model_card
from ..model.files import write_bytes, write_json
from ..model.store import Loaded, describe
from ..model.tokenizer import Tokenizer
from .folder import check_free, whole_folder
from .parity import Probe, compare

log = logging.getLogger("tinyclip")
# of two names that open_clip prefers over all others the first; Hugging Face's own
# `model.safetensors` would be taken for something else
WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
START, END = "<|startoftext|>", "<|endoftext|>"
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
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out` for stock open_clip; returns what its `parity.json` says.

    Args:
        certificate, metrics: of the model, if it has them; the card shows them.

    Raises:
        UserError: the model is ragged; `out` is taken or cannot be written.
        TinyclipError: open_clip does not make the same features of it.
    """
    check_free(out)
    cfg, weights = to_openclip(loaded.model)
    tokenizer = loaded.tokenizer
    if not tokenizer.is_stock:
        # any name will do: under local-dir open_clip reads the folder itself
        cfg["text_cfg"]["hf_tokenizer_name"] = "tokenizer"
        cfg["text_cfg"]["tokenizer_kwargs"] = {"clean": tokenizer.clean}
    with whole_folder(out) as draft:
        floats = {name: value.float() for name, value in weights.items()}
        write_bytes(draft / WEIGHTS, save_tensors(floats, {"format": "pt"}))
        settings = preprocess_cfg(loaded.preprocess)
        write_json(draft / CONFIG, {"model_cfg": cfg, "preprocess_cfg": settings})
        if not tokenizer.is_stock:
            write_tokenizer(tokenizer, draft)
        card = model_card(describe(loaded), certificate, metrics, LOAD)
        write_bytes(draft / "README.md", card.encode())
        found = {"format": "openclip", **_read_back(loaded, draft, probe)}
        write_json(draft / "parity.json", found)
    return found


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """The vocabulary as Hugging Face keeps it: that form open_clip finds in a folder.

    The pad token stays end-of-text. Padding with '!' to get id 0, as open_clip's own
    tokenizer pads, would make '!' a special token and split captions that hold it;
    and what follows the first end-of-text changes no feature.
    """
    from transformers import CLIPTokenizer

    vocab = dict(tokenizer.encoder)
    start, end = vocab.pop("<start_of_text>"), vocab.pop("<end_of_text>")
    ranks = tokenizer.bpe_ranks
    merges: Any = [pair for pair in sorted(ranks, key=ranks.__getitem__) if pair]
    CLIPTokenizer(
        vocab={**vocab, START: start, END: end},
        merges=merges,
        model_max_length=tokenizer.context_length,
    ).save_pretrained(folder)


def _read_back(loaded: Loaded, folder: Path, probe: Probe) -> dict[str, Any]:
    """Load the folder with stock open_clip and compare all the way from the input."""
    import open_clip

    name = f"local-dir:{folder}"
    with _quiet():
        model, _, preprocess = open_clip.create_model_and_transforms(name)
        tokenizer = open_clip.get_tokenizer(name)
    mine = torch.stack([loaded.preprocess(image) for image in probe.images])
    theirs = torch.stack([preprocess(image) for image in probe.images])
    ids, ids_theirs = loaded.tokenizer(probe.captions), tokenizer(list(probe.captions))
    end = loaded.tokenizer.vocab_size - 1
    same = [_same(a, b, end) for a, b in zip(ids, ids_theirs, strict=True)]
    if not any(same):
        raise TinyclipError("the exported tokenizer makes other ids of every caption")
    for caption, equal in zip(probe.captions, same, strict=True):
        if not equal:
            log.warning("open_clip's tokenizer makes other ids of %r", caption)
    equal_B = torch.tensor(same)
    tokens = (ids, torch.where(equal_B[:, None], ids_theirs, ids))
    gaps = compare(loaded.model, model, (mine, theirs), tokens)
    return {
        **gaps,
        "n": len(probe),
        "inputs": probe.source,
        "dtype": "float32",
        "captions_with_equal_ids": sum(same),
    }


def _same(mine_T: Tensor, theirs_T: Tensor, end: int) -> bool:
    """Whether two rows agree up to the first end-of-text; what follows is padding."""
    length = int((mine_T == end).int().argmax()) + 1
    return torch.equal(mine_T[:length], theirs_T[:length])


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
