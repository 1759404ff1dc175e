"""A directory that stock open_clip loads: `local-dir:DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save as save_tensors

from ..adapters.openclip import to_openclip
from ..errors import TinyclipError
from ..model.files import write_bytes, write_json
from ..model.preprocess import Preprocess
from ..model.store import Loaded
from ..model.tokenizer import Tokenizer
from .parity import Comparison, compare_features, real_inputs

START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """The tokenizer as `tokenizer.json`, which open_clip finds in the directory.

    open_clip looks for a merges file relative to the working directory, so only a
    Hugging Face tokenizer makes a directory that can be moved.
    """
    from transformers import CLIPTokenizer

    ids = sorted(tokenizer.encoder.items(), key=lambda item: item[1])
    vocab = {token: number for token, number in ids[:-2]}
    vocab[START], vocab[END] = ids[-2][1], ids[-1][1]
    merges = [pair for pair, _ in sorted(tokenizer.bpe_ranks.items(), key=lambda i: i[1])]
    made = CLIPTokenizer(
        vocab=vocab, merges=merges, model_max_length=tokenizer.context_length
    )
    made.save_pretrained(folder)


def preprocess_config(preprocess: Preprocess) -> dict[str, Any]:
    """open_clip's `preprocess_cfg`; the size follows from the model."""
    keys = ("mean", "std", "interpolation", "resize_mode")
    settings = preprocess.to_dict()
    return {key: settings[key] for key in keys}


def export_openclip(loaded: Loaded, out: Path) -> Comparison:
    """Write the directory, load it with stock open_clip, compare.

    Raises:
        UserError: the model is ragged.
        TinyclipError: open_clip's features or token ids differ from ours.
    """
    cfg, weights = to_openclip(loaded.model)
    out.mkdir(parents=True, exist_ok=True)
    cfg["text_cfg"] |= {
        "hf_tokenizer_name": "local",  # not empty: then the directory itself is read
        "tokenizer_kwargs": {"clean": loaded.tokenizer.clean},
    }
    config = {"model_cfg": cfg, "preprocess_cfg": preprocess_config(loaded.preprocess)}
    write_bytes(out / "open_clip_model.safetensors", save_tensors(weights))
    write_json(out / "open_clip_config.json", config)
    write_tokenizer(loaded.tokenizer, out)
    return check(loaded, out)


def check(loaded: Loaded, out: Path) -> Comparison:
    """Stock open_clip's model, transform and tokenizer against ours."""
    import open_clip

    name = f"local-dir:{out}"
    stock, _, transform = open_clip.create_model_and_transforms(
        name, require_pretrained=True
    )
    inputs = real_inputs(loaded.preprocess, loaded.tokenizer)
    theirs = real_inputs(transform, loaded.tokenizer)
    if not (inputs.pixels - theirs.pixels).abs().max() <= 1e-6:
        raise TinyclipError("open_clip's transform of the export gives other pixels")
    captions = ["a red apple", "an emoji of grinning face, happy", "12 monkeys"]
    mine = loaded.tokenizer(captions)
    found = open_clip.get_tokenizer(name)(captions)
    for ours, others in zip(mine.tolist(), found.tolist(), strict=True):
        last = ours.index(max(ours))  # padding differs and is never seen
        if ours[: last + 1] != others[: last + 1]:
            raise TinyclipError("open_clip's tokenizer of the export gives other ids")
    return compare_features(loaded.model, stock.eval(), inputs)
