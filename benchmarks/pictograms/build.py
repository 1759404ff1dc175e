"""Build the Pictograms sets from registry packages.

    python benchmarks/pictograms/build.py --out DIR [--fetch DIR]

writes `pictograms.parquet` (the embedded set: permissive licences only),
`pictograms-benchmark.parquet` (lossless, with a second development designer; not
shipped) and `checksums.json`.
"""

import argparse
import functools
import hashlib
import json
import sys
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pictoset import clipart, emoji, fetch, render, splits, table
from pictoset.drawing import Drawing
from pictoset.sources import CLIPART, SOURCES

HERE = Path(__file__).parent
EMBEDDED, BENCHMARK = "pictograms.parquet", "pictograms-benchmark.parquet"
# The highest that keeps the embedded set under 9 MB.
QUALITY = 58


def read_drawings(folders: dict[str, Path]) -> list[Drawing]:
    """All drawings of all sources, in a fixed order."""
    concepts = emoji.read_concepts(folders["emojibase-data"], folders["emojilib"])
    names = emoji.names_to_codes(concepts, folders)
    drawings: list[Drawing] = []
    for source in SOURCES.values():
        folder = folders[source.package]
        if source.name == CLIPART:
            drawings += clipart.read_clipart(folder)
        elif source.name == "fluent-emoji-3d":
            drawings += emoji.read_bitmaps(source.name, folder, concepts)
        else:
            drawings += emoji.read_iconify(source.name, folder, concepts, names)
    return drawings


def drop_doubles(
    drawings: list[Drawing], pixels: list[NDArray[np.uint8] | None]
) -> tuple[list[Drawing], dict[str, NDArray[np.uint8]]]:
    """Leave out what could not be drawn and what equals an earlier picture."""
    digests: set[bytes] = set()
    kept: list[Drawing] = []
    by_key: dict[str, NDArray[np.uint8]] = {}
    for drawing, rgba in zip(drawings, pixels, strict=True):
        if rgba is None:
            continue
        digest = hashlib.sha256(render.on_white(rgba).tobytes()).digest()
        if digest not in digests:
            digests.add(digest)
            kept.append(drawing)
            by_key[drawing.key] = rgba
    return kept, by_key


def make_pictures(drawings: list[Drawing], processes: int) -> list[table.Picture]:
    """Render, drop doubles, cap series, split."""
    pixels = render.render_all(drawings, processes)
    failed = Counter(
        d.source for d, p in zip(drawings, pixels, strict=True) if p is None
    )
    print(f"{len(drawings)} drawings, not drawn: {dict(failed)}", file=sys.stderr)
    kept, by_key = drop_doubles(drawings, pixels)
    kept = splits.cap_series(kept)
    chosen = zip(kept, splits.split_all(kept), strict=True)
    return [table.Picture(d, s, by_key[d.key]) for d, s in chosen if s is not None]


def write_set(
    pictures: list[table.Picture], path: Path, quality: int | None, processes: int
) -> dict[str, object]:
    """Write one set and say what it holds."""
    with Pool(processes) as pool:
        encode = functools.partial(table.webp, quality=quality)
        images = pool.map(encode, [p.rgba for p in pictures], chunksize=32)
    rows = [table.row(p, image) for p, image in zip(pictures, images, strict=True)]
    table.write(rows, path)
    counts = Counter(f"{p.split}/{p.drawing.source}" for p in pictures)
    return {
        "bytes": path.stat().st_size,
        "rows": len(rows),
        "sha256": fetch.sha256(path),
        "content_sha256": table.content_sha256(rows),
        "pictures": dict(sorted(counts.items())),
    }


def build(out: Path, fetched: Path, processes: int, stated: Path) -> dict[str, object]:
    """The whole job; returns what `checksums.json` says of it.

    Args:
        stated: the file whose checksums the packages must have, if it is there.
    """
    out.mkdir(parents=True, exist_ok=True)
    expected = json.loads(stated.read_text())["packages"] if stated.exists() else {}
    folders, sums = fetch.fetch_all(fetched, expected)
    pictures = make_pictures(read_drawings(folders), processes)
    shipped = [p for p in pictures if SOURCES[p.drawing.source].ships]
    facts = {
        "packages": sums,
        "sets": {
            EMBEDDED: write_set(shipped, out / EMBEDDED, QUALITY, processes),
            BENCHMARK: write_set(pictures, out / BENCHMARK, None, processes),
        },
    }
    draft = out / "checksums.json.part"
    draft.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
    draft.replace(out / "checksums.json")
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fetch", type=Path, help="folder of archives (default: OUT)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--checksums", type=Path, default=HERE / "checksums.json")
    args = parser.parse_args()
    fetched = args.fetch or args.out / "packages"
    facts = build(args.out, fetched, args.processes, args.checksums)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
