"""What the card of an ONNX folder says: how to run it with no tinyclip at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...model.store import Loaded
from ...quoting import markdown

# how open_clip brings a picture to a square, by the preprocess's resize mode
SQUARE = {
    "squash": """\
picture = Image.open("cat.png").convert("RGB").resize((size, size), {how})""",
    "shortest": """\
picture = Image.open("cat.png").convert("RGB")
picture = picture.resize([size * n // min(picture.size) for n in picture.size], {how})
left, top = (round((n - size) / 2) for n in picture.size)
picture = picture.crop((left, top, left + size, top + size))""",
    "longest": """\
picture = Image.open("cat.png").convert("RGB")
scale = size / max(picture.size)
picture = picture.resize([max(1, round(scale * n)) for n in picture.size], {how})
square = Image.new("RGB", (size, size), ({fill},) * 3)
square.paste(picture, [(size - n) // 2 for n in picture.size])
picture = square""",
}
RUN = """\
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from {library} import {name}

folder = "path/to/it/"
settings = json.loads(Path(folder + "config.json").read_text())["preprocess"]
size, mean, std = (settings[key] for key in ("size", "mean", "std"))
{square}
pixels = ((np.asarray(picture) / 255 - mean) / std).transpose(2, 0, 1)[None]
{ids}

image = onnxruntime.InferenceSession(folder + "image.onnx")
text = onnxruntime.InferenceSession(folder + "text.onnx")
image_features = image.run(None, {{"pixel_values": pixels.astype(np.float32)}})[0]
text_features = text.run(None, {{"input_ids": np.array([ids])}})[0]
similarity = image_features @ text_features.T  # both are normalised
"""


# our own tokenizer stands in where `tokenizers` has no form of it
PLAIN = {
    "library": "tokenizers",
    "name": "Tokenizer",
    "ids": 'words = Tokenizer.from_file(folder + "tokenizer.json")\n'
    'ids = words.encode("a photo of a cat").ids',
}
OWN = {
    "library": "tinyclip.formats.onnx.session",
    "name": "load_onnx",
    "ids": "words = load_onnx(folder).tokenizer\n"
    'ids = words("a photo of a cat")[0].tolist()',
}


def usage(loaded: Loaded, parity: Mapping[str, Any]) -> str:
    """The Python lines that run the folder, and what was measured of it."""
    preprocess = loaded.preprocess
    square = SQUARE[preprocess.resize_mode].format(
        how="Image.BILINEAR"
        if preprocess.interpolation == "bilinear"
        else "Image.BICUBIC",
        fill=preprocess.fill_color,
    )
    cosine = parity["cosine"]
    kind = PLAIN if parity["captions_with_equal_ids"] else OWN
    lines = [
        f"Two ONNX encoders, {parity['precision']}; inputs and outputs are float32 and "
        "int64, the batch is free, and features come out divided by their length. With "
        f"onnxruntime, numpy, pillow and {kind['library'].partition('.')[0]}:",
        "",
        "```python",
        RUN.format(square=square, **kind).strip(),
        "```",
        "",
        f"In ONNX Runtime features of {parity['n']} pairs have a cosine of at least "
        f"{cosine['image']:.5f} (image) and {cosine['text']:.5f} (text) with the "
        "model's own.",
    ]
    tasks = parity.get("tasks")
    if tasks:
        lines += [
            "",
            "| on the test pairs | the model | this export |",
            "|---|---|---|",
        ]
        for name, value in tasks["ours"].items():
            exported = tasks["onnx"][name]
            lines.append(
                f"| {markdown(name)} | {100 * value:.1f} | {100 * exported:.1f} |"
            )
    return "\n".join(lines)
