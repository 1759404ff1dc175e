"""What a data source itself says of its licence, and where on the Hub it lies."""

from __future__ import annotations

from pathlib import Path

from ..config.schema import Data
from ..model.licences import LONGEST, licence_beside
from .hub import HubRows, on_hub
from .pictograms import Pictograms
from .protocol import Pairs
from .rows import RowPairs
from .views import source_of

COLUMN = "licence"  # of a set in the form of the embedded one, row by row


def licence_of(data: Data, train: Pairs) -> str | None:
    """The licences of a source, as it names them: a column of an embedded set, the
    description of a data set of `datasets`, the card of a folder. None where it names
    none, or gives a text in place of a name.

    Args:
        train: the pairs of it to train on.
    """
    pairs = source_of(train)
    scheme, _, rest = data.source.partition(":")
    words = None
    if isinstance(pairs, Pictograms):
        words = ", ".join(sorted(pairs.named(COLUMN)))
    elif isinstance(pairs, RowPairs) and isinstance(pairs.source, HubRows):
        words = pairs.source.licence
    elif scheme == "folder":
        words = licence_beside(Path(rest).expanduser())
    return words if words and len(words) <= LONGEST else None


def hub_name(data: Data) -> str | None:
    """The data set's name on the Hub; None where it does not come from there."""
    scheme, _, rest = data.source.partition(":")
    return on_hub(rest) if scheme == "hf" else None
