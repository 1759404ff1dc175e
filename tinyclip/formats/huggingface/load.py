"""Hugging Face's CLIPModel and SiglipModel, and the class that our exports bring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import UserError
from ...files import expanded
from ...model.clip import Clip
from ...model.licences import licence_beside
from ...model.store import Loaded, check_tokenizer
from ...model.weights import fill, weights_limit
from ...shapes import ClipShape
from ...tokenizers.huggingface import HfTokenizer, open_tokenizer
from ..names import TINYCLIP, TRANSFORMERS, check_names, outline, plain_names
from .config import OURS, shape_of
from .files import model_folder, read_config, read_state
from .keymap import SCALARS, from_huggingface, to_huggingface
from .processor import read_processor

# entries of older checkpoints that are not weights
BUFFERS = (
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
)


def load_huggingface(spec: str, where: str, tokenizer: str | None = None) -> Loaded:
    """A CLIPModel or SiglipModel of a directory, or of an id on the hub; or the model
    that an export wrote with its own code, which is not run.

    Args:
        spec: the directory, or the id.
        where: the option or key that named it, for the message.
        tokenizer: a path to take the tokenizer from instead.

    Raises:
        UserError: it is missing, damaged, not supported, or needs a network.
    """
    folder = model_folder(spec, where)
    config = read_config(folder)
    # refused before anything else is read
    shape = shape_of(config, f"hf:{spec}")
    outline(shape, f"hf:{spec}")
    preprocess = read_processor(folder, shape.image.image_size)
    words = _tokenizer(folder, shape, tokenizer, where)
    named = _ours if config["model_type"] == OURS else _theirs
    weights = named(read_state(folder, weights_limit(shape)), shape, str(folder))
    model = Clip(shape)
    fill(model, weights, str(folder))
    check_tokenizer(words, shape, f"hf:{spec}")
    provenance: dict[str, Any] = {"source": f"hf:{spec}"}
    if folder != expanded(spec):
        provenance["hub"] = {"teacher": spec}
    if licence := licence_beside(folder):
        provenance["licence"] = licence
    if folder.parent.name == "snapshots":  # the hub's cache names folders by commit
        provenance["revision"] = folder.name
    return Loaded(model.eval(), preprocess, words, {"provenance": provenance})


def _theirs(
    state: Mapping[str, Tensor], shape: ClipShape, where: str
) -> dict[str, Tensor]:
    """Tensors of a stock class under our names.

    Raises:
        UserError: they are not those of this shape, by transformers' names.
    """
    own = to_huggingface(outline(shape, where).state_dict(), shape)
    plain = plain_names(state, own, where)
    weights = {name: value for name, value in plain.items() if name not in BUFFERS}
    for name in SCALARS:
        if name in own and name in weights and weights[name].numel() == 1:
            weights[name] = weights[name].reshape(own[name].shape)
    check_names(own, weights, where, TRANSFORMERS)
    return from_huggingface(weights, shape)


def _ours(
    state: Mapping[str, Tensor], shape: ClipShape, where: str
) -> dict[str, Tensor]:
    """Tensors of the class that our exports bring along: it has our names."""
    own = outline(shape, where).state_dict()
    plain = plain_names(state, own, where)
    check_names(own, plain, where, TINYCLIP)
    return plain


def _tokenizer(
    folder: Path, shape: ClipShape, other: str | None, where: str
) -> HfTokenizer:
    try:
        return open_tokenizer(
            folder if other is None else other,
            shape.text.context_length,
            vocab_size=shape.text.vocab_size,
            siglip=shape.logit_bias,
            where=f"{where}: tokenizer",
        )
    except UserError as error:
        if other is not None:
            raise
        todo = f"{error.todo}. To take another's, add ,tokenizer=PATH to the source"
        raise UserError(error.where, error.what, todo) from None
