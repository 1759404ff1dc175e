"""The Hugging Face hub: asked once, and only when the local cache has nothing.

huggingface_hub tries a host that does not answer six times for every file (46 s until a
tokenizer is given up); one short question before settles it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .errors import UserError

T = TypeVar("T")
PATIENCE = 5.0  # seconds for one answer


def hub_problem() -> str | None:
    """Why the hub cannot be asked; None when it answers, whatever it says."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # whatever the network library raises
        return f"{constants.ENDPOINT} does not answer: {type(error).__name__}"
    return None


def from_hub(fetch: Callable[[bool], T], where: str, name: str, todo: str) -> T:
    """What `fetch` brings: from the local cache, else from the hub.

    Args:
        fetch: takes whether only the cache may be asked.
        where: the option or key that asked for it.
        name: what is wanted, as the message says it.
        todo: what to do without a network.

    Raises:
        UserError: neither has it.
    """
    try:
        return fetch(True)
    except UserError:
        raise
    except Exception:  # not cached, or not whole: no two libraries raise alike
        problem = hub_problem()
    if problem is None:
        try:
            return fetch(False)
        except UserError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    raise UserError(where, f"{name} cannot be had from the hub ({problem})", todo)
