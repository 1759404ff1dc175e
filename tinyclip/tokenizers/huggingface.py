"""Tokenizers of the Hugging Face kind, with the ids that their source makes.

Legend: B batch, T tokens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..bounds import IDS, TOKENS, check_number
from ..errors import UserError, nearest
from ..files import write_bytes
from ..hub import from_hub
from .files import plain_ids, read_hf, read_path, save_hf

FOLDER = "tokenizer"  # inside a model directory, whose config.json is not transformers'
CLEANS = ("none", "lower", "whitespace", "canonicalize")
MODES = ("", "clips")


class HfTokenizer:
    """A transformers tokenizer, called as its source calls it.

    Args:
        hf: the tokenizer of transformers.
        context_length: ids a caption; longer ones are cut, shorter ones padded.
        clean: what open_clip does to captions before (`lower`, `whitespace`,
            `canonicalize`); `none` for models of transformers.
        strip_sep: whether the separator's id becomes 0 (open_clip's
            `strip_sep_token`).
        mode: open_clip's `tokenizer_mode`: None, or `clips`.
        vocab_size: ids that the text tower has; those of `hf` without it. A caption
            that makes a larger id, as added tokens can, is refused when it comes.
    """

    def __init__(
        self,
        hf: Any,
        context_length: int,
        *,
        clean: str = "none",
        strip_sep: bool = False,
        mode: str | None = None,
        vocab_size: int | None = None,
    ) -> None:
        self.hf, self.context_length = hf, context_length
        self.clean, self.strip_sep, self.mode = clean, strip_sep, mode
        self.vocab_size = len(hf) if vocab_size is None else vocab_size
        self._stock = _stock(hf, context_length, clean, strip_sep, mode)

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Ids (B, T), int64, padded as the source pads.

        Raises:
            UserError: a caption makes an id that the text tower does not have.
        """
        ids_BT: Tensor = self._stock([texts] if isinstance(texts, str) else list(texts))
        if ids_BT.numel() and int(ids_BT.max()) >= self.vocab_size:
            row = int(ids_BT.max(dim=1).values.argmax())
            caption = texts if isinstance(texts, str) else texts[row]
            raise UserError(
                f"caption {caption[:60]!r}",
                f"makes the id {int(ids_BT.max())}, and the text tower has "
                f"{self.vocab_size} ids",
                "Use the tokenizer that the model was trained with",
            )
        return ids_BT

    def save_pretrained(self, folder: Path | str) -> None:
        """Write transformers' own files, as `files.save_hf`."""
        save_hf(self.hf, folder)

    def save(self, folder: Path) -> None:
        """Write its files into a model directory."""
        self.save_pretrained(folder / FOLDER)
        for file in sorted((folder / FOLDER).iterdir()):
            write_bytes(file, file.read_bytes())  # flushed, as every file of ours

    def to_dict(self) -> dict[str, Any]:
        """What `load_hf` needs to know beside the files."""
        return hf_dict(self)


class HubTokenizer:
    """A tokenizer of the hub that is fetched when it is first needed.

    Args:
        name: on the hub, e.g. `timm/ViT-B-16-SigLIP`.
        vocab_size: ids that the text tower has.
        The rest as `HfTokenizer`.
    """

    def __init__(
        self,
        name: str,
        context_length: int,
        clean: str,
        strip_sep: bool,
        mode: str | None,
        vocab_size: int,
    ) -> None:
        self.name, self.context_length = name, context_length
        self.clean, self.strip_sep, self.mode = clean, strip_sep, mode
        self.vocab_size = vocab_size
        self._loaded: HfTokenizer | None = None

    @property
    def loaded(self) -> HfTokenizer:
        """The tokenizer itself, from the local cache, else from the hub.

        Raises:
            UserError: neither has it.
        """
        if self._loaded is None:
            self._loaded = from_hub(
                self._fetch,
                "tokenizer",
                f"{self.name!r}",
                "Without a network, name a local copy: add ,tokenizer=PATH to the "
                "source",
            )
        return self._loaded

    @property
    def hf(self) -> Any:
        """The tokenizer of transformers."""
        return self.loaded.hf

    def _fetch(self, cached: bool) -> HfTokenizer:
        hf = read_hf(self.name, local_files_only=cached)
        return HfTokenizer(
            hf,
            self.context_length,
            clean=self.clean,
            strip_sep=self.strip_sep,
            mode=self.mode,
            vocab_size=self.vocab_size,
        )

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Ids (B, T), int64, padded as the source pads.

        Raises:
            UserError: it cannot be loaded, or an id that the text tower does not have.
        """
        return self.loaded(texts)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write transformers' own files, as `files.save_hf`."""
        self.loaded.save_pretrained(folder)

    def save(self, folder: Path) -> None:
        """Write its files into a model directory."""
        self.loaded.save(folder)

    def to_dict(self) -> dict[str, Any]:
        """What `load_hf` needs to know beside the files; nothing is loaded."""
        return hf_dict(self)


def hf_dict(tokenizer: HfTokenizer | HubTokenizer) -> dict[str, Any]:
    """What `load_hf` needs to know beside the files."""
    return {
        "kind": "hf",
        "folder": FOLDER,
        "context_length": tokenizer.context_length,
        "vocab_size": tokenizer.vocab_size,
        "clean": tokenizer.clean,
        "strip_sep": tokenizer.strip_sep,
        "mode": tokenizer.mode,
    }


def load_hf(folder: Path, spec: Mapping[str, Any]) -> HfTokenizer:
    """The tokenizer that lies in a model directory.

    Raises:
        UserError: its files are missing or damaged.
    """
    try:
        for name, bounds in (("context_length", TOKENS), ("vocab_size", IDS)):
            check_number(name, spec[name], bounds)
        return open_tokenizer(
            folder / str(spec["folder"]),
            spec["context_length"],
            clean=spec["clean"],
            strip_sep=spec["strip_sep"],
            mode=spec["mode"],
            vocab_size=spec["vocab_size"],
            where=str(folder),
        )
    except KeyError as error:
        what = f"the tokenizer lacks {error}"
    except ValueError as error:
        what = f"of the tokenizer, {error}"
    raise UserError(str(folder / "config.json"), what, "Restore the directory")


def open_tokenizer(
    path: Path | str,
    context_length: int,
    *,
    clean: str = "none",
    strip_sep: bool = False,
    mode: str | None = None,
    vocab_size: int | None = None,
    siglip: bool = False,
    where: str = "tokenizer",
) -> HfTokenizer:
    """What `tokenizer=PATH` means; nothing outside PATH is read, no network.

    Args:
        path: a directory that transformers wrote (tokenizer.json with
            tokenizer_config.json), or a tokenizer.json.
        siglip: whether the model is a SigLIP: then a bare sentencepiece file says
            enough.
        where: the option that named it, for the message.
        The rest as `HfTokenizer`.

    Raises:
        UserError: it is missing or damaged, cannot pad, or has more ids than the
            text tower.
    """
    path = Path(os.path.expanduser(path))  # noqa: PTH111 (Path's raises)
    for value, options in ((clean, CLEANS), (mode or "", MODES)):
        if value not in options:
            what = f"unknown tokenizer setting {value!r}"
            raise UserError(where, what, nearest(value, options))
    hf = read_path(path, where, siglip)
    _check_ids(hf, vocab_size, path, where)
    return HfTokenizer(
        hf,
        context_length,
        clean=clean,
        strip_sep=strip_sep,
        mode=mode,
        vocab_size=vocab_size,
    )


def _check_ids(hf: Any, vocab_size: int | None, path: Path, where: str) -> None:
    """Refuse a tokenizer that cannot pad, or has more ids than the text tower."""
    if hf.pad_token_id is None:
        raise UserError(
            where,
            f"{path} has no padding token",
            "Put a tokenizer_config.json that names its pad_token beside it",
        )
    if vocab_size is not None and plain_ids(hf) > vocab_size:
        raise UserError(
            where,
            f"{path} has {plain_ids(hf)} ids, the text tower {vocab_size}",
            "Name the tokenizer that the model was trained with",
        )


def _stock(
    hf: Any, context_length: int, clean: str, strip_sep: bool, mode: str | None
) -> Callable[[list[str]], Tensor]:
    """open_clip's own wrapper, around a tokenizer that is loaded already.

    With `none` as the cleaning it is how transformers' processors of CLIP and SigLIP
    call theirs: padded and cut to one length.
    """
    from open_clip.tokenizer import HFTokenizer, get_clean_fn

    class Ready(HFTokenizer):  # type: ignore[misc]
        def __init__(self) -> None:
            self.tokenizer, self.context_length = hf, context_length
            self.clean_fn = str if clean == "none" else get_clean_fn(clean)
            self.strip_sep_token, self.tokenizer_mode = strip_sep, mode or ""

    return Ready()
