"""transformers as a guest in this process: quiet, and leaving nothing behind."""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import TinyclipError


class Stock(nn.Module):
    """A model of transformers with open_clip's two methods.

    Legend: B batch, E joint embedding.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """(B, E) of pixels (B, 3, S, S)."""
        features_BE = self.model.get_image_features(pixel_values=pixels).pooler_output
        return F.normalize(features_BE, dim=-1) if normalize else features_BE

    def encode_text(self, tokens_BT: Tensor, normalize: bool = False) -> Tensor:
        """(B, E) of token ids (B, T)."""
        features_BE = self.model.get_text_features(input_ids=tokens_BT).pooler_output
        return F.normalize(features_BE, dim=-1) if normalize else features_BE


def read_model(folder: Path) -> Stock:
    """What `AutoModel` makes of a folder that we wrote; its code is run.

    Raises:
        TinyclipError: a weight is missing, left over or of another shape.
    """
    from transformers import AutoModel

    with elsewhere():
        model, loading_info = AutoModel.from_pretrained(
            str(folder),
            trust_remote_code=True,  # our own file
            local_files_only=True,
            output_loading_info=True,
        )
    wrong = {
        name: sorted(map(str, keys)) for name, keys in loading_info.items() if keys
    }
    if wrong:
        raise TinyclipError(
            f"transformers does not take the weights as they are: {wrong}"
        )
    return Stock(model)


@contextmanager
def quiet() -> Iterator[None]:
    """Progress bars and warnings of transformers are not for our users."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()


@contextmanager
def elsewhere() -> Iterator[None]:
    """Code that comes with a model is copied to a folder of its own, not to the
    user's cache, which need not be writable."""
    from transformers import dynamic_module_utils as dynamic

    def ours() -> dict[str, ModuleType]:
        """What is loaded of such code; its package knows one folder only."""
        name = dynamic.TRANSFORMERS_DYNAMIC_MODULE_NAME
        names = {n for n in sys.modules if n == name or n.startswith(f"{name}.")}
        return {n: sys.modules.pop(n) for n in names}

    before, path, modules = dynamic.HF_MODULES_CACHE, list(sys.path), ours()
    with tempfile.TemporaryDirectory() as folder:
        dynamic.HF_MODULES_CACHE = folder
        # a cache that is on the path already would be searched first
        package = dynamic.TRANSFORMERS_DYNAMIC_MODULE_NAME
        sys.path[:] = [place for place in path if not (Path(place) / package).is_dir()]
        try:
            yield
        finally:
            dynamic.HF_MODULES_CACHE = before
            sys.path[:] = path
            ours()
            sys.modules.update(modules)
