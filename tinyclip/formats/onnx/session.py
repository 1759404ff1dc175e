"""An exported ONNX folder, loaded with ONNX Runtime.

Legend: B batch, T tokens, E joint embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...bounded import read_json
from ...bounds import read_shape
from ...errors import UserError
from ...model.preprocess import Preprocess
from ...shapes import TOWERS, ClipShape
from ...tokenizers.load import load_tokenizer
from ...tokenizers.protocol import TokenizerLike
from ...typed import Maybe, misfit
from .graph import INPUT, file_of, require_packages

AGAIN = "Export it again"
SAYS = {  # beside the shape, the preprocess and the tokenizer
    "precision": str,
    "opset": int,
    "encoders": {name: {"file": str, "bytes": int} for name in TOWERS},
    "sizes": {str: int},
    "provenance": Maybe({}),
    "teacher_sizes": Maybe({str: int}),
}
Feed = dict[str, NDArray[Any]]


def open_session(path: Path | bytes, threads: int | None = None) -> Any:
    """A session on the CPU, with torch's number of threads unless told otherwise.

    Args:
        path: the file, or its bytes.

    Raises:
        UserError: ONNX Runtime is missing or cannot read the file.
    """
    require_packages("ONNX Runtime", ("onnxruntime",))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    source = path if isinstance(path, bytes) else str(path)
    try:
        return onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions have no public base class
        where = "ONNX Runtime" if isinstance(path, bytes) else str(path)
        first = str(error).strip().splitlines()[0][:200]
        raise UserError(
            where, f"cannot be loaded ({first})", "Export it again"
        ) from None


class OnnxClip(nn.Module):
    """Both encoders behind the methods of `Clip`; features come out normalised.

    Args:
        folder: with `image.onnx` and `text.onnx`.
        shape: of the model that was exported.
    """

    def __init__(
        self, folder: Path, shape: ClipShape, threads: int | None = None
    ) -> None:
        super().__init__()
        self.shape = shape
        # says where inputs belong, and in which type
        self.anchor = nn.Parameter(torch.zeros(0), requires_grad=False)
        self._sessions = {
            tower: open_session(folder / file_of(tower), threads) for tower in INPUT
        }

    def encode_image(self, pixels: Tensor, normalize: bool = True) -> Tensor:
        """Normalised features (B, E) of pixels (B, 3, S, S)."""
        return self._run("image", pixels.float())

    def encode_text(self, tokens_BT: Tensor, normalize: bool = True) -> Tensor:
        """Normalised features (B, E) of ids (B, T)."""
        return self._run("text", tokens_BT.long())

    def _run(self, tower: str, inputs: Tensor) -> Tensor:
        feed = {INPUT[tower]: np.ascontiguousarray(inputs.numpy())}
        return torch.from_numpy(self._sessions[tower].run(None, feed)[0])


@dataclass(frozen=True)
class OnnxLoaded:
    """An exported folder with its preprocess and tokenizer, as `store.Loaded`."""

    model: OnnxClip
    preprocess: Preprocess
    tokenizer: TokenizerLike
    config: dict[str, Any]


def is_onnx(folder: Path) -> bool:
    """Whether a folder says that it is an export to ONNX, whatever else it says.

    Raises:
        UserError: its `config.json` cannot be read.
    """
    return _said(folder) is not None


def _said(folder: Path) -> dict[str, Any] | None:
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else None
    if not isinstance(config, dict) or config.get("format") != "onnx":
        return None
    return config


def read_onnx_config(folder: Path) -> dict[str, Any] | None:
    """What `config.json` of an exported folder says; None if it is no such folder.

    Raises:
        UserError: it is one, and its configuration is damaged.
    """
    config = _said(folder)
    if config is not None and (wrong := misfit(config, SAYS)):
        path = folder / "config.json"
        raise UserError(str(path), f"does not describe a model ({wrong})", AGAIN)
    return config


def load_onnx(folder: Path | str, threads: int | None = None) -> OnnxLoaded:
    """Load what `export_onnx` wrote.

    Raises:
        UserError: it is no such folder, or a file is missing or damaged.
    """
    folder = Path(folder)
    config = read_onnx_config(folder)
    if config is None:
        raise UserError(str(folder), "is not a folder that --to onnx wrote")
    try:
        shape = read_shape(config["shape"])
        preprocess = Preprocess.from_dict(config["preprocess"])
        spec = dict(config["tokenizer"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            str(folder / "config.json"), f"does not describe a model ({error!r})"
        ) from None
    tokenizer = load_tokenizer(folder, spec)
    return OnnxLoaded(OnnxClip(folder, shape, threads), preprocess, tokenizer, config)
