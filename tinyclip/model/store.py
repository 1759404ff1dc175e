"""The model directory: a student, and all that is needed to use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from .. import cost, dtypes
from ..bounded import read_settings
from ..bounds import read_shape
from ..errors import UserError
from ..files import whole_folder, write_bytes, write_json
from ..shapes import TOWERS, ClipShape, shape_to_dict
from ..tokenizers.load import load_tokenizer
from ..tokenizers.protocol import TokenizerLike
from .card import model_card
from .clip import Clip
from .preprocess import Preprocess
from .repair import FILE as REPAIR_FILE
from .repair import VERSION as NEWEST
from .repair import Repair, apply_read, check_repair, folded, read_map
from .weights import check_names, fill, read_weights, weights_limit

FORMAT_VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
NAMED = ("teacher", "source", "data", "budget")  # what a provenance calls by a name


@dataclass(frozen=True)
class Loaded:
    """A model with its preprocess and tokenizer.

    Unpacks as `model, preprocess, tokenizer`, in open_clip's order.

    Args:
        config: what `config.json` says, or at least `provenance`.
    """

    model: Clip
    preprocess: Preprocess
    tokenizer: TokenizerLike
    config: dict[str, Any]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.preprocess, self.tokenizer))


def share_of(
    shape: ClipShape, teacher: Mapping[str, int], provenance: Mapping[str, Any]
) -> dict[str, float]:
    """Encoder, total, and the run's budget where it is another, as shares of the
    teacher's.

    Args:
        teacher: as `cost.sizes` counts it; and its size in the run's budget.
        provenance: where the model comes from: `towers` that were compressed (where it
            was one, that one counts) and `budget`.
    """
    sizes, towers = cost.sizes(shape), provenance.get("towers", TOWERS)
    keys = {"encoder": "encoder", "total": "total"}
    if len(towers) == 1:
        keys = {"encoder": f"encoder_{towers[0]}", "total": towers[0]}
    shares = {name: sizes[key] / teacher[key] for name, key in keys.items()}
    budget = provenance.get("budget")
    if budget in teacher and budget in cost.BUDGETS and budget not in shares:
        shares[budget] = cost.size(shape, budget, towers) / teacher[budget]
    return shares


def save_model(
    folder: Path | str,
    model: Clip,
    preprocess: Preprocess,
    tokenizer: TokenizerLike,
    *,
    provenance: Mapping[str, Any],
    teacher_sizes: Mapping[str, int] | None,
    certificate: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    dtype: str = "float32",
    repair: Repair | None = None,
) -> None:
    """Write a model directory: whole, or not at all.

    Equal arguments give equal bytes. A directory that is there is replaced.

    Args:
        teacher_sizes: `cost.sizes` of the run's teacher; the model's own without one.
        dtype: of the stored weights: `float32`, `float16` or `bfloat16`. Whoever
            loads them computes in float32.
        repair: of its text features; its map lies beside the weights, where it has one.

    Raises:
        UserError: the tokenizer cannot be had, or `float16` cannot hold a weight.
        StorageError: it cannot be written; a directory that was there still is.
    """
    folder, dtype = Path(folder), dtypes.get(dtype).name
    tensors = stored(model, dtype)
    origin = {"provenance": dict(provenance), "teacher_sizes": teacher_sizes}
    if repair is not None:
        origin["repair"] = repair.about
    config = describe(Loaded(model, preprocess, tokenizer, origin), dtype)
    with whole_folder(folder) as draft:
        tokenizer.save(draft)  # first: it may have to be fetched
        write_bytes(draft / WEIGHTS, save_tensors(tensors, {"format": "pt"}))
        if repair is not None:
            config = repair.write(draft, config)
        write_json(draft / CONFIG, config)
        if certificate is not None:
            write_json(draft / "certificate.json", certificate)
        if metrics is not None:
            write_json(draft / "metrics.json", metrics)
        card = model_card(config, certificate, metrics)
        write_bytes(draft / "README.md", card.encode())


def stored(model: Clip, dtype: str) -> dict[str, Tensor]:
    """The weights as they are written.

    Raises:
        UserError: the type is unknown, or cannot hold a weight.
    """
    torch_dtype, tensors = dtypes.get(dtype).torch, {}
    for name, value in model.state_dict().items():
        exact = value.detach().cpu().float()
        tensors[name] = exact.to(torch_dtype).contiguous()
        if not torch.equal(tensors[name].isfinite(), exact.isfinite()):
            raise UserError(
                f"dtype {dtype}",
                f"{name} has a weight of {exact.abs().max():.3g}, more than it holds",
                "Store bfloat16 or float32",
            )
    return tensors


def describe(loaded: Loaded, dtype: str = "float32") -> dict[str, Any]:
    """What `config.json` says of a model, whose weights have what repaired it: its
    `config` gives where it comes from."""
    sizes = cost.sizes(loaded.model.shape)
    teacher = loaded.config.get("teacher_sizes") or sizes
    provenance = dict(loaded.config.get("provenance", {}))
    repair = folded(loaded.config)
    return {
        "format_version": FORMAT_VERSION,
        "shape": shape_to_dict(loaded.model.shape),
        "preprocess": loaded.preprocess.to_dict(),
        "tokenizer": loaded.tokenizer.to_dict(),
        "dtype": dtype,
        "sizes": sizes,
        "teacher_sizes": dict(teacher),
        "share": share_of(loaded.model.shape, teacher, provenance),
        "provenance": provenance,
        **({} if repair is None else {"repair": dict(repair.about)}),
    }


def load_model(folder: Path | str) -> Loaded:
    """Read a model directory; no network, no pickle. A repair that lies beside its
    weights is in the model's text projection then.

    Raises:
        UserError: a file is missing, damaged, of a newer format, or does not fit.
    """
    folder = Path(folder)
    config = read_config(folder)
    try:
        shape = read_shape(config["shape"])
        preprocess = Preprocess.from_dict(config["preprocess"])
        check_words(config, shape, preprocess)
        tokenizer = load_tokenizer(folder, config["tokenizer"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            str(folder / CONFIG),
            f"does not describe a model ({error!r})",
            "Copy the model again; what tinyclip wrote is right",
        ) from None
    weights = read_weights(folder / WEIGHTS, weights_limit(shape))
    check_names(shape, weights, str(folder / WEIGHTS))
    model = Clip(shape)
    fill(model, weights, str(folder / WEIGHTS))
    if (map_EE := read_map(folder, config, shape.embed_dim)) is not None:
        apply_read(model, map_EE, folder / REPAIR_FILE)
    check_tokenizer(tokenizer, shape, str(folder))
    return Loaded(model.eval(), preprocess, tokenizer, config)


def check_words(
    config: Mapping[str, Any], shape: ClipShape, preprocess: Preprocess
) -> None:
    """Refuse a configuration whose parts contradict each other, or are none.

    Raises:
        ValueError: they do, or are none.
    """
    if preprocess.size != shape.image.image_size:
        raise ValueError(
            f"preprocess makes pictures of {preprocess.size} pixels, and the image "
            f"tower takes {shape.image.image_size}"
        )
    for name in ("tokenizer", "provenance"):
        if not isinstance(config.get(name, {}), Mapping):
            raise ValueError(f"its {name} is {str(config[name])[:40]!r}")
    for name in NAMED:
        named = config.get("provenance", {}).get(name)
        if named is not None and not isinstance(named, str):
            raise ValueError(f"its provenance has {str(named)[:40]!r} for {name!r}")
    check_repair(config)
    teacher = config.get("teacher_sizes") or {}
    if not isinstance(teacher, Mapping):
        raise ValueError(f"its teacher_sizes are {str(teacher)[:40]!r}")
    for name, count in teacher.items():  # that a share may be of any of them
        if type(count) is not int or count < 0:
            raise ValueError(f"its teacher_sizes have {str(count)[:40]!r} for {name!r}")
    try:
        share_of(shape, teacher or cost.sizes(shape), config.get("provenance", {}))
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"its teacher_sizes or towers are none ({error!r})") from None


def check_tokenizer(tokenizer: TokenizerLike, shape: ClipShape, where: str) -> None:
    """Refuse a tokenizer whose ids the text tower cannot look up.

    Raises:
        UserError: it has more ids, or makes longer captions.
    """
    text = shape.text
    if tokenizer.vocab_size > text.vocab_size:
        raise UserError(
            where,
            f"the tokenizer has {tokenizer.vocab_size} ids, the text tower "
            f"{text.vocab_size}",
        )
    if tokenizer.context_length > text.context_length:
        raise UserError(
            where,
            f"the tokenizer makes {tokenizer.context_length} ids a caption, the text "
            f"tower takes {text.context_length}",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` says.

    Raises:
        UserError: there is none, or it is of a newer format.
    """
    config = read_settings(folder / CONFIG, "Copy the model again")
    version = config.get("format_version")
    if type(version) is not int or version < 1:
        raise UserError(
            str(folder / CONFIG), "is not of a tinyclip model (no format_version)"
        )
    if version > NEWEST:
        raise UserError(
            str(folder / CONFIG),
            f"has format {version}, and this tinyclip reads up to {NEWEST}",
            "Upgrade tinyclip",
        )
    return config
