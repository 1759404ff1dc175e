"""What the nearest training picture, pixel by pixel, says of the held-out ones.

    python benchmarks/pictograms/pixel_baseline.py SET.parquet

A teacher that does not beat this has learned nothing that a labelled gallery of the
same pictures does not know.
"""

# B queries, G gallery, P pixel values

import argparse
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
# Nearest drawings that are looked through for five different concepts.
DEEP = 60

Rows = list[dict[str, str]]


def pixels(images: list[bytes], side: int = SIDE) -> NDArray[np.float32]:
    """Pictures on white, shrunk by averaging, one row each."""
    out = []
    for data in images:
        image = Image.open(io.BytesIO(data)).convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image)
        small = page.convert("RGB").resize((side, side), Image.Resampling.BOX)
        out.append(np.asarray(small, np.float32).ravel() / 255)
    return np.stack(out)


def cosines(query_BP: NDArray, gallery_GP: NDArray) -> NDArray:
    """Similarity around the gallery's mean picture."""
    middle = gallery_GP.mean(0)

    def unit(x: NDArray) -> NDArray:
        return (x - middle) / np.linalg.norm(x - middle, axis=1, keepdims=True)

    return unit(query_BP) @ unit(gallery_GP).T


def first_concepts(names: list[str], count: int) -> list[str]:
    """The first different names."""
    return list(dict.fromkeys(names))[:count]


def measure(path: Path) -> dict[str, float]:
    """Percentages by name, as the teacher's log calls them."""
    table = pq.read_table(path)
    images = table.column("image").to_pylist()
    rows: Rows = table.drop_columns(["image", "captions", "keywords"]).to_pylist()
    by_split: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        if row["kind"] == "emoji":
            by_split.setdefault(row["split"], []).append(i)
    gallery = by_split["train"]
    gallery_GP = pixels([images[i] for i in gallery])
    out: dict[str, float] = {}

    def scores_of(split: str) -> NDArray:
        return cosines(pixels([images[i] for i in by_split[split]]), gallery_GP)

    for split in ("dev", "test_designer"):
        best = np.argsort(-scores_of(split), axis=1)[:, :DEEP]
        for top in (1, 5):
            hits = [
                rows[i]["concept"]
                in first_concepts([rows[gallery[j]]["concept"] for j in near], top)
                for i, near in zip(by_split[split], best, strict=True)
            ]
            out[f"{split}@{top}"] = 100 * float(np.mean(hits))
    nearest = scores_of("test_unseen").argmax(1)
    for field in ("group", "subgroup"):
        hits = [
            rows[i][field] == rows[gallery[j]][field]
            for i, j in zip(by_split["test_unseen"], nearest, strict=True)
        ]
        out[f"unseen_{field}@1"] = 100 * float(np.mean(hits))
    return {name: round(value, 2) for name, value in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    print(json.dumps(measure(parser.parse_args().source), indent=1))


if __name__ == "__main__":
    main()
