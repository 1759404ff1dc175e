"""Zero-shot and retrieval quality of a model on the held-out splits."""

# B batch, E joint embedding, T templates, C classes

import torch
from small_clip import SmallClip
from teacher_data import normalise, on_white
from torch import Tensor
from torch.nn import functional as F

TRAIN, DEV, TEST_DESIGNER, TEST_UNSEEN, TEST_CLIPART, DEV_OPENMOJI = range(6)
DESIGNERS = {
    "dev": DEV,
    "dev_openmoji": DEV_OPENMOJI,
    "test_designer": TEST_DESIGNER,
}
CHUNK = 256


class Judge:
    """Measures a model on the splits of a prepared set."""

    def __init__(self, data: dict[str, Tensor], device: str) -> None:
        self.data, self.device = data, device

    def rows(self, split: int) -> Tensor:
        return (self.data["split"] == split).nonzero().flatten()

    def images(self, model: SmallClip, rows: Tensor) -> Tensor:
        pictures = self.data["pictures"]
        return torch.cat(
            [
                model.encode_image(normalise(on_white(pictures[part])))
                for part in rows.split(CHUNK)
            ]
        )

    def texts(self, model: SmallClip, tokens: Tensor) -> Tensor:
        parts = tokens.long().split(CHUNK)
        return torch.cat([model.encode_text(part) for part in parts])

    def classes(self, model: SmallClip, field: str) -> Tensor:
        """One direction a class: the mean over the templates."""
        per_template = [self.texts(model, t) for t in self.data[f"{field}_classes"]]
        return F.normalize(torch.stack(per_template).sum(0), dim=-1)

    def hits(
        self, images_BE: Tensor, classes_CE: Tensor, labels_B: Tensor, top: int
    ) -> float:
        most = min(top, len(classes_CE))
        best = (images_BE @ classes_CE.T).topk(most, dim=1).indices
        return 100 * (best == labels_B[:, None]).any(1).float().mean().item()

    @torch.no_grad()
    def measure(self, model: SmallClip) -> dict[str, float]:
        """Percentages by name."""
        out: dict[str, float] = {}
        with torch.autocast(self.device, torch.bfloat16):
            names = self.classes(model, "name")
            for title, split in DESIGNERS.items():
                rows = self.rows(split)
                if not len(rows):
                    continue
                images = self.images(model, rows)
                for top in (1, 5):
                    labels = self.data["name"][rows]
                    out[f"{title}@{top}"] = self.hits(images, names, labels, top)
            rows = self.rows(TEST_UNSEEN)
            images = self.images(model, rows)
            for field in ("group", "subgroup"):
                labels = self.data[field][rows]
                classes = self.classes(model, field)
                out[f"unseen_{field}@1"] = self.hits(images, classes, labels, 1)
            images = self.images(model, self.rows(TEST_CLIPART))
            texts = self.texts(model, self.data["retrieval_captions"])
            order = torch.arange(len(images), device=images.device)
            for top in (1, 5):
                out[f"clipart_r@{top}"] = self.hits(images, texts, order, top)
        return {name: round(value, 2) for name, value in out.items()}
