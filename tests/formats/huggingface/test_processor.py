"""transformers' image processors, pixel for pixel, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import AutoImageProcessor

from tinyclip.errors import UserError
from tinyclip.formats.huggingface.processor import read_processor

CLIP: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 20},
    "crop_size": {"height": 20, "width": 20},
}
SIGLIP: dict[str, Any] = {
    "image_processor_type": "SiglipImageProcessor",
    "size": {"height": 20, "width": 20},
}
# how checkpoints of 2021 have it
OLD: dict[str, Any] = {
    "feature_extractor_type": "CLIPFeatureExtractor",
    "size": 20,
    "crop_size": 20,
    "do_center_crop": True,
    "do_resize": True,
    "do_normalize": True,
    "resample": 3,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.1, 0.2, 0.3],
}
MAPPED: dict[str, dict[str, Any]] = {
    "clip": CLIP,
    "siglip": SIGLIP,
    "old": OLD,
    "bilinear": {**CLIP, "resample": 2},
    "squashed bilinear": {**SIGLIP, "resample": 2},
    "own colours": {**SIGLIP, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]},
    "colours as they are": {**CLIP, "do_normalize": False},
    "squashed, then not cut": {
        **CLIP,
        "size": {"height": 20, "width": 20},
    },
}


def written(folder: Path, settings: dict[str, Any]) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("settings", MAPPED.values(), ids=MAPPED.keys())
def test_pixels_are_those_of_the_processor(
    tmp_path: Path, pictures: list[Image.Image], settings: dict[str, Any]
) -> None:
    folder = written(tmp_path, settings)
    ours = read_processor(folder, 20)
    stock = AutoImageProcessor.from_pretrained(folder, backend="pil")
    for picture in [*pictures, pictures[0].convert("L"), pictures[0].convert("P")]:
        theirs = stock(picture, return_tensors="pt")["pixel_values"][0]
        assert (ours(picture) - theirs).abs().max() <= 1e-6


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({**CLIP, "do_resize": False}, "does not resize"),
    ({**CLIP, "do_rescale": False}, "divide them by 255"),
    ({**CLIP, "rescale_factor": 1 / 127.5}, "multiplies pixels by 0.0078"),
    ({**CLIP, "resample": 1}, "filter 1"),
    ({**CLIP, "do_pad": True}, "pads"),
    ({**CLIP, "size": {"shortest_edge": 24}}, "cut from a shortest edge of"),
    ({**CLIP, "size": {"shortest_edge": 20, "longest_edge": 30}}, "longest_edge"),
    ({**CLIP, "do_center_crop": False}, "shortest_edge"),
    ({**CLIP, "crop_size": {"height": 20, "width": 16}}, "shortest edge"),
    ({**SIGLIP, "size": {"height": 24, "width": 24}}, "of 24, where the tower takes"),
    ({**SIGLIP, "size": {"height": 20, "width": 24}}, "'width': 24"),
    ({"image_processor_type": "ConvNextImageProcessor"}, "is a ConvNextImageProcessor"),
    ({"image_processor_type": "Nobodys"}, "cannot be read"),
    ({**SIGLIP, "image_mean": [0.5, 0.5]}, "not that of three colours"),
    ({**SIGLIP, "image_mean": None}, "not that of three colours"),
    ({**SIGLIP, "image_std": "x"}, "not that of three colours"),
    ({**SIGLIP, "image_std": [True, True, True]}, "not that of three colours"),
    ({**SIGLIP, "image_std": [1e12, 1, 1]}, "std is beyond"),
    ({**SIGLIP, "resample": [3]}, "filter"),
    ({**SIGLIP, "rescale_factor": None}, "multiplies pixels by None"),
    ({**SIGLIP, "do_resize": "yes"}, "do_resize that is neither true nor false"),
    ({**CLIP, "size": None}, "sizes that are none"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_what_ours_cannot_do_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_processor(written(tmp_path, settings), 20)


def test_reading_one_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read_processor(written(tmp_path, SIGLIP), 20)
    read_processor(written(tmp_path, OLD), 20)
    assert capfd.readouterr() == ("", "")
