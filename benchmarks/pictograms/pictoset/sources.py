"""Every picture source, its package, its author and its licence."""

from dataclasses import dataclass

PERMISSIVE = frozenset({"Apache-2.0", "MIT", "CC-BY-4.0", "public-domain"})


@dataclass(frozen=True)
class Source:
    """One set of pictures; NOTICE says where its licence is stated."""

    name: str
    package: str
    version: str
    licence: str
    author: str

    @property
    def ships(self) -> bool:
        """Whether pictures of this source may stand in the embedded set."""
        return self.licence in PERMISSIVE


def _iconify(name: str, version: str, licence: str, author: str) -> Source:
    return Source(name, f"@iconify-json/{name}", version, licence, author)


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        _iconify("noto", "1.2.9", "Apache-2.0", "Google Inc"),
        _iconify("noto-v1", "1.2.5", "Apache-2.0", "Google Inc"),
        _iconify("fluent-emoji", "1.2.7", "MIT", "Microsoft Corporation"),
        _iconify("fluent-emoji-flat", "1.2.6", "MIT", "Microsoft Corporation"),
        Source(
            "fluent-emoji-3d",
            "@lobehub/fluent-emoji-3d",
            "1.1.0",
            "MIT",
            "Microsoft Corporation, packed by LobeHub",
        ),
        # The package says Apache-2.0; upstream says so of the code, and CC-BY-4.0 of
        # the drawings.
        _iconify("fxemoji", "1.2.2", "CC-BY-4.0", "Mozilla"),
        _iconify("twemoji", "1.2.5", "CC-BY-4.0", "Twitter and other contributors"),
        _iconify("openmoji", "1.2.29", "CC-BY-SA-4.0", "OpenMoji"),
        Source(
            "openclipart",
            "openclipart-svg",
            "1:0.18+dfsg-19",
            "public-domain",
            "Open Clip Art Library and its artists",
        ),
    )
}

# Names, keywords and groups; they carry no pictures.
WORD_PACKAGES = {"emojibase-data": "17.0.0", "emojilib": "4.0.3"}

DEV_DESIGNER = "fxemoji"
SECOND_DEV_DESIGNER = "openmoji"
TEST_DESIGNER = "twemoji"
CLIPART = "openclipart"
