"""The concepts of the emoji and what each designer drew of them."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from pictoset.captions import clean, distinct
from pictoset.drawing import Concept, Drawing
from pictoset.sources import SOURCES

SHORTCODES = ("github", "iamcal", "joypixels", "cldr")
# Packages that list code points; the others only have icon names.
WITH_CODES = ("noto", "twemoji", "fluent-emoji-flat")
SKIN_AND_HAIR = 2


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def code_of(hexcode: str) -> str:
    """Code points without the mark that only asks for a coloured drawing."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def squeeze(text: str) -> str:
    """Letters and digits only, to compare icon names with emoji names."""
    return re.sub("[^a-z0-9]", "", text.lower())


def read_concepts(emojibase: Path, emojilib: Path) -> dict[str, Concept]:
    """Every base emoji (no skin tones) by code, in the order of the standard."""
    groups = _read(emojibase / "meta/groups.json")
    codes = [_read(emojibase / f"en/shortcodes/{name}.json") for name in SHORTCODES]
    library = _read(emojilib / "dist/emoji-en-US.json")
    concepts = {}
    for entry in _read(emojibase / "en/data.json"):
        if entry.get("group") in (None, SKIN_AND_HAIR):
            continue
        name = clean(entry["label"].replace("flag:", "flag of"))
        words = list(entry.get("tags", []))
        for table in codes:
            shortcodes = table.get(entry["hexcode"]) or []
            shortcodes = [shortcodes] if isinstance(shortcodes, str) else shortcodes
            words += [word.replace("-", " ") for word in shortcodes]
        bare = entry["emoji"].replace("\ufe0f", "")
        words += library.get(entry["emoji"], library.get(bare, []))
        code = code_of(entry["hexcode"])
        concepts[code] = Concept(
            concept="emoji:" + code,
            name=name,
            keywords=tuple(distinct([clean(word) for word in words], name)),
            group=groups["groups"][str(entry["group"])],
            subgroup=groups["subgroups"][str(entry["subgroup"])],
        )
    return concepts


def names_to_codes(
    concepts: dict[str, Concept], folders: dict[str, Path]
) -> dict[str, str]:
    """Squeezed icon names to codes, for packages that list no code points."""
    table: dict[str, str] = {}
    for source in WITH_CODES:
        chars = _read(folders[SOURCES[source].package] / "chars.json")
        for hexcode, icon in chars.items():
            if code_of(hexcode) in concepts:
                table.setdefault(squeeze(icon), code_of(hexcode))
    for code, concept in concepts.items():
        table.setdefault(squeeze(concept.name), code)
        if "-" not in code:
            formal = unicodedata.name(chr(int(code, 16)), "")
            table.setdefault(squeeze(formal), code)
    table.pop("", None)
    return table


def _svg(icons: dict[str, Any], icon: dict[str, Any], mirrored: bool) -> str:
    def side(name: str, default: int) -> Any:
        return icon.get(name, icons.get(name, default))

    left, width, height = side("left", 0), side("width", 16), side("height", 16)
    body = icon["body"]
    if mirrored:
        body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {side("top", 0)} {width} {height}" '
        f'width="{width}" height="{height}">{body}</svg>'
    )


def _drawing(concept: Concept, source: str, **shape: Any) -> Drawing:
    return Drawing(
        key=f"emoji/{source}/{concept.concept.removeprefix('emoji:')}",
        kind="emoji",
        concept=concept.concept,
        name=concept.name,
        keywords=concept.keywords,
        group=concept.group,
        subgroup=concept.subgroup,
        source=source,
        **shape,
    )


def read_iconify(
    source: str, folder: Path, concepts: dict[str, Concept], names: dict[str, str]
) -> list[Drawing]:
    """One designer's drawings from an icon package, one a concept."""
    icons = _read(folder / "icons.json")
    aliases = icons.get("aliases", {})
    chars = _read(folder / "chars.json")
    if not chars:
        icon_names = [*icons["icons"], *aliases]
        chars = {names[squeeze(n)]: n for n in icon_names if squeeze(n) in names}
    drawings: dict[str, Drawing] = {}
    for hexcode, name in chars.items():
        code = code_of(hexcode)
        if code not in concepts or code in drawings:
            continue
        alias = {} if name in icons["icons"] else aliases.get(name, {})
        icon = icons["icons"].get(alias.get("parent", name))
        if icon is not None:
            svg = _svg(icons, icon, mirrored=alias.get("hFlip", False))
            drawings[code] = _drawing(concepts[code], source, svg=svg)
    return [drawings[code] for code in concepts if code in drawings]


def read_bitmaps(
    source: str, folder: Path, concepts: dict[str, Concept]
) -> list[Drawing]:
    """One designer's drawings from a package of files named by code points."""
    files = {code_of(path.stem): path for path in sorted(folder.rglob("*.webp"))}
    return [
        _drawing(concept, source, path=files[code])
        for code, concept in concepts.items()
        if code in files
    ]
