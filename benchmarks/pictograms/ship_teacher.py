"""Write trained weights as the built-in teacher and measure what was written.

    python benchmarks/pictograms/ship_teacher.py WEIGHTS --out FOLDER --log log.jsonl

With a log its README is written too. Without WEIGHTS the folder is only measured.
The measurement leans on open_clip alone (its model, loaded strictly, its preprocessing
and its tokenizer), so that it does not share a mistake with the training.
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import pixel_baseline
import pyarrow.parquet as pq
import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from pictoset.captions import TEMPLATES, category_words
from PIL import Image
from prepare import CONTEXT, cut_bpe
from safetensors.torch import load_file, save_file
from teacher_card import Effort, card
from torch import Tensor
from torch.nn import functional as F
from train_teacher import MODEL

# B pictures, C classes, E joint embedding

BUILT = Path(__file__).parents[2] / "tinyclip/data/builtin/pictograms.parquet"
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def write(weights: Path, out: Path) -> None:
    """Half-precision weights, configuration and merges."""
    out.mkdir(parents=True, exist_ok=True)
    half = {name: value.half() for name, value in load_file(weights).items()}
    save_file(half, out / "model.safetensors")
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    text = json.dumps(config, indent=1) + "\n"
    (out / "open_clip_config.json").write_text(text)
    cut_bpe(out / "bpe_8192.txt.gz")


class WrittenTeacher:
    """A written teacher under open_clip, and the pictures it is asked about."""

    def __init__(self, folder: Path, parquet: Path) -> None:
        self.model = CLIP(**MODEL).eval()
        weights = load_file(folder / "model.safetensors")
        self.model.load_state_dict(
            {name: value.float() for name, value in weights.items()}, strict=True
        )
        self.tokenizer = SimpleTokenizer(
            bpe_path=str(folder / "bpe_8192.txt.gz"), context_length=CONTEXT
        )
        side = MODEL["vision_cfg"]["image_size"]
        config = PreprocessCfg(size=side, **PREPROCESS)
        self.preprocess = image_transform_v2(config, is_train=False)
        self.rows = pq.read_table(parquet).to_pylist()

    def images(self, rows: list[dict]) -> Tensor:
        """Features of pictures laid on white."""

        def pixels(data: bytes) -> Tensor:
            image = Image.open(io.BytesIO(data)).convert("RGBA")
            page = Image.new("RGBA", image.size, "white")
            page.alpha_composite(image)
            return self.preprocess(page.convert("RGB"))

        batch = torch.stack([pixels(row["image"]) for row in rows])
        parts = [self.model.encode_image(p, normalize=True) for p in batch.split(256)]
        return torch.cat(parts)

    def texts(self, texts: list[str]) -> Tensor:
        parts = self.tokenizer(texts).split(256)
        return torch.cat([self.model.encode_text(p, normalize=True) for p in parts])

    def classes(self, words: list[str]) -> Tensor:
        """One direction a class: the mean over three templates."""
        templates = ("{}", *TEMPLATES["emoji"][:2])
        parts = [self.texts([t.format(word) for word in words]) for t in templates]
        return F.normalize(torch.stack(parts).sum(0), dim=-1)

    def ranks(self, split: str, field: str, say: Callable[[str], str]) -> Tensor:
        """Rank of the right class of each emoji of a split, from 0."""
        emoji = [row for row in self.rows if row["kind"] == "emoji"]
        names = sorted({row[field] for row in emoji})
        rows = [row for row in emoji if row["split"] == split]
        scores_BC = self.images(rows) @ self.classes([say(n) for n in names]).T
        right = torch.tensor([names.index(row[field]) for row in rows])
        return (scores_BC > scores_BC.gather(1, right[:, None])).sum(1)

    def classes_of(self) -> dict[str, int]:
        """How many answers there are to choose from."""
        fields = ("name", "group", "subgroup")
        emoji = [row for row in self.rows if row["kind"] == "emoji"]
        counts = {field: len({row[field] for row in emoji}) for field in fields}
        tested = [row for row in self.rows if row["split"] == "test_clipart"]
        return {**counts, "test_clipart": len(tested)}

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Percentages by name, as the training log calls them."""
        out = {}
        for split in ("dev", "test_designer"):
            rank = self.ranks(split, "name", str)
            for top in (1, 5):
                out[f"{split}@{top}"] = (rank < top).float().mean().item()
        for field in ("group", "subgroup"):
            rank = self.ranks("test_unseen", field, category_words)
            out[f"unseen_{field}@1"] = (rank < 1).float().mean().item()
        asked = [row for row in self.rows if row["split"] == "test_clipart"]
        texts = [", ".join([row["name"], *row["keywords"][:3]]) for row in asked]
        scores = self.images(asked) @ self.texts(texts).T
        rank = (scores > scores.diag()[:, None]).sum(1)
        for top in (1, 5):
            out[f"clipart_r@{top}"] = (rank < top).float().mean().item()
        return {name: round(100 * value, 2) for name, value in out.items()}


def last_effort(log: Path) -> Effort:
    """What the last line of a training log says."""
    line = json.loads(log.read_text().strip().splitlines()[-1])
    return Effort(line["step"], line["pictures"], line["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, nargs="?", help="with open_clip's names")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="the training's log.jsonl")
    parser.add_argument("--set", type=Path, default=BUILT, dest="parquet")
    args = parser.parse_args()
    if args.weights:
        write(args.weights, args.out)
    written = WrittenTeacher(args.out, args.parquet)
    teacher, pixels = written.measure(), pixel_baseline.measure(args.parquet)
    print(json.dumps({"teacher": teacher, "pixels": pixels}, indent=1))
    if args.log:
        classes, effort = written.classes_of(), last_effort(args.log)
        (args.out / "README.md").write_text(card(teacher, pixels, classes, effort))


if __name__ == "__main__":
    main()
