"""Names of the files in a folder of open_clip."""

from __future__ import annotations

CONFIG = "open_clip_config.json"
# weights that no other library calls so, then others, as open_clip looks for them
OWN_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)
WEIGHTS = (
    *OWN_WEIGHTS,
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
# any of them makes a tokenizer of transformers
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt")
