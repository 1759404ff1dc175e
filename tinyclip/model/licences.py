"""What is known of licences: what a source says of its own, and the Hub's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bounded import read_bytes
from ..config.front_matter import front_matter
from ..errors import UserError

# https://huggingface.co/docs/hub/repositories-licenses; a newer one is told as `other`
# by its name, which the Hub takes too. `unknown` says no more than nothing does.
IDENTIFIERS = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0
    bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause
    bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
    cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
    cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0
    cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
    eupl-1.1 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1
    lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 lppl-1.3c mit mpl-2.0
    ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql
    unlicense wtfpl zlib
    """.split()
)
NAMELESS = ("other", "unknown")
CARD, LARGEST = "README.md", 2**20  # bytes of it that are read
LONGEST = 200  # characters of a licence's name; more is its text


def of_metadata(values: Mapping[str, Any]) -> str | None:
    """The licence that a card's metadata name, as they name it; None where they do not.

    Args:
        values: `license`, a name or a list of names, and `license_name` beside
            `license: other`.
    """
    named: Any = values.get("license")
    if named in NAMELESS:
        named = values.get("license_name")
    names = named if isinstance(named, list) else [named]
    if not names or not all(isinstance(name, str) and name for name in names):
        return None
    words = ", ".join(names)
    return words if len(words) <= LONGEST else None


def licence_beside(folder: Path) -> str | None:
    """The licence that the card of a folder names; None where there is no card, or none
    that can be read, or it names none."""
    try:
        text = read_bytes(folder / CARD, LARGEST).decode("utf-8-sig")
        return of_metadata(front_matter(text, CARD))
    except (OSError, ValueError, UserError):
        return None


def metadata_of(licence: str | None) -> dict[str, Any]:
    """`license` of a card, by the Hub's identifiers; where a name is none of them,
    `other` and what it is called. Nothing where none is known."""
    names = [name.strip() for name in (licence or "").split(",") if name.strip()]
    known = [name.lower().replace(" ", "-") for name in names]
    if not names:
        return {}
    if all(name in IDENTIFIERS for name in known):
        return {"license": known[0] if len(known) == 1 else known}
    called = re.sub(r"[^a-z0-9.]+", "-", " ".join(names).lower()).strip("-.")
    return {"license": "other", "license_name": called or "unnamed"}


def stated_by(provenance: Mapping[str, Any]) -> str | None:
    """The licence of a model as its source says, which of a student is that of the
    teacher whose weights it is made of; None where nothing says so."""
    told = provenance.get("licences")
    of_teacher = told.get("teacher") if isinstance(told, Mapping) else None
    own = provenance.get("licence") or of_teacher
    return own if isinstance(own, str) and own else None
