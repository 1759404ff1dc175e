"""Turn a built set into one file that the teacher trains on.

    python benchmarks/pictograms/prepare.py SET.parquet --out train.safetensors

Pictures become uint8, captions become token ids and everything that the evaluation
needs becomes index arrays, so that training needs torch and safetensors alone.
"""

import argparse
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from open_clip.tokenizer import SimpleTokenizer, default_bpe
from pictoset.captions import TEMPLATES, category_words
from PIL import Image
from safetensors.torch import save_file

CONTEXT, VOCAB = 16, 8192
# Every byte twice (alone and at the end of a word) and the two marks.
NOT_MERGES = 512 + 2
SPLITS = (
    *("train", "dev", "test_designer", "test_unseen", "test_clipart"),
    "dev_openmoji",
)


def cut_bpe(path: Path, vocab: int = VOCAB) -> None:
    """CLIP's merges, cut so that the vocabulary has `vocab` ids."""
    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")
    text = "\n".join(lines[: vocab - NOT_MERGES + 1])
    # No time stamp: the same merges give the same file.
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def decode(image: bytes) -> np.ndarray:
    """Premultiplied RGBA, channels first."""
    rgba = np.asarray(Image.open(io.BytesIO(image)).convert("RGBA")).astype(np.uint16)
    colour = (rgba[..., :3] * rgba[..., 3:] + 127) // 255
    premultiplied = np.concatenate([colour, rgba[..., 3:]], axis=-1).astype(np.uint8)
    return premultiplied.transpose(2, 0, 1)


def caption_arrays(rows: list[dict], tokens_of) -> dict[str, torch.Tensor]:
    """Concepts of the training split, their captions and their pictures."""
    concepts = sorted({r["concept"] for r in rows if r["split"] == "train"})
    position = {concept: i for i, concept in enumerate(concepts)}
    captions = {r["concept"]: r["captions"] for r in rows}
    texts = [text for concept in concepts for text in captions[concept]]
    counts = [len(captions[concept]) for concept in concepts]
    return {
        "captions": tokens_of(texts),
        "caption_starts": torch.tensor(np.cumsum([0, *counts])),
        "concept": torch.tensor([position.get(r["concept"], -1) for r in rows]),
        "concept_is_emoji": torch.tensor([c.startswith("emoji:") for c in concepts]),
    }


def class_arrays(rows: list[dict], tokens_of) -> dict[str, torch.Tensor]:
    """Zero-shot classes: emoji names, their groups and their subgroups."""
    arrays = {}
    for field in ("name", "group", "subgroup"):
        classes = sorted({r[field] for r in rows if r["kind"] == "emoji"})
        words = [category_words(c) if field != "name" else c for c in classes]
        templates = ("{}", *TEMPLATES["emoji"][:2])
        arrays[f"{field}_classes"] = torch.stack(
            [tokens_of([t.format(word) for word in words]) for t in templates]
        )
        place = {c: i for i, c in enumerate(classes)}
        arrays[field] = torch.tensor([place.get(r[field], -1) for r in rows])
    return arrays


def retrieval_array(rows: list[dict], tokens_of) -> dict[str, torch.Tensor]:
    """One caption a clip-art test picture, in row order."""
    texts = [
        ", ".join([r["name"], *r["keywords"][:3]])
        for r in rows
        if r["split"] == "test_clipart"
    ]
    return {"retrieval_captions": tokens_of(texts)}


def prepare(source: Path, out: Path, bpe: Path) -> None:
    """The whole job."""
    cut_bpe(bpe)
    tokenizer = SimpleTokenizer(bpe_path=str(bpe), context_length=CONTEXT)
    assert tokenizer.vocab_size == VOCAB
    rows = [r for r in pq.read_table(source).to_pylist() if r["split"] in SPLITS]

    def tokens_of(texts: list[str]) -> torch.Tensor:
        return tokenizer(texts).to(torch.int16)

    arrays = {
        "pictures": torch.from_numpy(np.stack([decode(r["image"]) for r in rows])),
        "split": torch.tensor([SPLITS.index(r["split"]) for r in rows]),
        **caption_arrays(rows, tokens_of),
        **class_arrays(rows, tokens_of),
        **retrieval_array(rows, tokens_of),
    }
    save_file({name: value.contiguous() for name, value in arrays.items()}, out)
    shapes = {name: list(value.shape) for name, value in arrays.items()}
    print(json.dumps({"rows": len(rows), "arrays": shapes}, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, default=Path("train.safetensors"))
    parser.add_argument("--bpe", type=Path, default=Path("bpe_8192.txt.gz"))
    args = parser.parse_args()
    prepare(args.source, args.out, args.bpe)


if __name__ == "__main__":
    main()
