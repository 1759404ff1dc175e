"""A folder as open_clip's `local-dir:` has it: a configuration beside the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...bounded import read_json
from ...errors import UserError
from ...hub import from_hub
from ...model.licences import CARD
from ...model.weights import shown
from ...quoting import as_source, shell
from .layout import CONFIG, OWN_WEIGHTS, SUFFIXES, TOKENIZERS, WEIGHTS
from .model import preprocess_of

# what a configuration of a model has
PARTS: dict[str, type] = {"embed_dim": int, "vision_cfg": dict, "text_cfg": dict}
KEYS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True)
class FolderConfig:
    """What an `open_clip_config.json` says.

    Args:
        model: the configuration of the model, if it has one.
        preprocess: how pictures are prepared, if it says so.
    """

    path: Path
    model: Mapping[str, Any] | None
    preprocess: Mapping[str, Any] | None


def read_folder_config(folder: Path) -> FolderConfig | None:
    """What the configuration in a folder says; None where there is none.

    Raises:
        UserError: it is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    config = read_json(path)
    if not isinstance(config, dict):
        raise UserError(str(path), "holds no settings", "Mend or remove it")
    if "model_cfg" not in config and PARTS.keys() <= config.keys():
        config = {"model_cfg": config}  # one of open_clip's own files, copied
    model, preprocess = config.get("model_cfg"), config.get("preprocess_cfg")
    if model is not None:
        _check_model(model, path)
    if preprocess is not None:
        preprocess = _read_preprocess(preprocess, path)
    return FolderConfig(path, model, preprocess)


def config_with_model(path: Path) -> Mapping[str, Any]:
    """The configuration of the model in a folder, or beside a file.

    Raises:
        UserError: there is none.
    """
    config = read_folder_config(path if path.is_dir() else path.parent)
    if config is not None and config.model is not None:
        return config.model
    lacks = f"there is no {CONFIG}" if config is None else f"{CONFIG} has no model_cfg"
    raise UserError(
        str(path),
        f"nothing says what its weights are of: {lacks}",
        f"Write {shell(f'openclip:NAME@{path}')}, with the name of their architecture",
    )


def _check_model(model: Any, path: Path) -> None:
    """Refuse what does not describe a model at all.

    Raises:
        UserError: a part is missing, or of another kind.
    """
    for name, kind in PARTS.items():
        if not isinstance(model, dict) or not isinstance(model.get(name), kind):
            raise UserError(
                str(path), f"its model_cfg has no usable {name}", "Mend or remove it"
            )


def settings_of(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of preprocess among others."""
    return {key: cfg[key] for key in KEYS if cfg.get(key) is not None}


def _read_preprocess(cfg: Any, path: Path) -> dict[str, Any]:
    """The preprocess settings.

    Raises:
        UserError: they are damaged.
    """
    try:
        settings = settings_of(cfg)
        preprocess_of(settings, 1)
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            str(path), f"has no usable preprocess_cfg ({error})", "Mend or remove it"
        ) from None
    return settings


def weights_at(path: Path, name: str = "") -> Path:
    """The file of weights that a path is, or that lies in it.

    Args:
        name: whose weights they should be, where a name was given.

    Raises:
        UserError: there is none, or there are several and none has a known name.
    """
    if not path.exists():
        if path.is_symlink():
            raise UserError(str(path), "is a link that leads nowhere")
        raise UserError(str(path), "there is no such file", _instead(path, name))
    if not path.is_dir():
        return path
    for name in WEIGHTS:
        if (path / name).is_file():
            return path / name
    inside = sorted(entry.name for entry in path.iterdir())
    files = [
        name for name in inside if name.endswith(SUFFIXES) and (path / name).is_file()
    ]
    if len(files) == 1:
        return path / files[0]
    if files:
        raise UserError(
            str(path),
            f"holds several files of weights: {shown(files)}",
            "Name one of them instead of the folder",
        )
    here = f"it holds {shown(inside)}" if inside else "it is empty"
    raise UserError(
        str(path),
        f"is a folder without open_clip's weights: {here}",
        _other_source(path),
    )


def _instead(path: Path, name: str) -> str:
    """What a user may have meant by a path at which there is nothing."""
    from open_clip.pretrained import is_pretrained_cfg

    if is_pretrained_cfg(name, str(path)):
        return f"It is a tag: write {shell(f'openclip:{name}/{path}')}"
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either"
    here = sorted(p.name for p in path.parent.iterdir() if p.name.endswith(SUFFIXES))
    if near := get_close_matches(path.name, here, n=1):
        return f"Did you mean {str(path.parent / near[0])!r}?"
    return f"Its folder holds {shown(here)}" if here else ""


def _other_source(folder: Path) -> str:
    """What reads a folder that is not open_clip's."""
    if not (folder / "config.json").is_file():
        return f"open_clip's are called {WEIGHTS[0]}"
    config = read_json(folder / "config.json")
    ours = isinstance(config, dict) and "format_version" in config
    if ours:
        return f"Write {shell(as_source(folder))} alone"
    return f"Write {shell(f'hf:{folder}')}"


def has_tokenizer(folder: Path) -> bool:
    """Whether transformers' files of a tokenizer lie in a folder."""
    pieces = any(folder.glob("*.model"))
    return pieces or any((folder / name).is_file() for name in TOKENIZERS)


def hub_folder(identity: str, where: str) -> Path:
    """The folder into which configuration and weights of a hub's model are fetched.

    Raises:
        UserError: they cannot be had.
    """

    def fetch(cached: bool) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
        )

        config = hf_hub_download(identity, CONFIG, local_files_only=cached)
        with contextlib.suppress(EntryNotFoundError, LocalEntryNotFoundError):
            hf_hub_download(identity, CARD, local_files_only=cached)
        for name in OWN_WEIGHTS:
            try:
                hf_hub_download(identity, name, local_files_only=cached)
            except EntryNotFoundError:
                continue
            return Path(config).parent
        raise FileNotFoundError(f"it has none of {', '.join(OWN_WEIGHTS)}")

    return from_hub(
        fetch,
        where,
        f"hf-hub:{identity}",
        "Without a network, copy the model's files to this machine and write "
        "openclip:DIR; a model of transformers is read by hf:ORG/NAME",
    )
