"""The Python API in one go: gate a teacher, choose what stays, inherit it, use it."""

import torch
from PIL import Image

import tinyclip
from tinyclip.model.store import save_model

# or "openclip:ViT-B-32@weights.safetensors", or the directory of a student
teacher, preprocess, tokenizer = tinyclip.load("builtin:pico")
gates = tinyclip.Gates(teacher, sites=("heads", "ffn", "embed"))

pixels = preprocess(Image.new("RGB", (64, 64), "red"))[None]
tokens = tokenizer(["a red square"])
soft = teacher(pixels, tokens, gates=gates)  # a fresh sample of the gates; train on it
(1 - (soft.image_BE * soft.text_BE).sum()).backward()

keep = tinyclip.choose(gates, target=0.5)  # half of the encoder's parameters
student = tinyclip.inherit(teacher, keep).eval()
save_model("student", student, preprocess, tokenizer, provenance={}, teacher_sizes=None)

model, preprocess, tokenizer = tinyclip.load("student")
with torch.no_grad():
    features = model.encode_image(pixels, normalize=True)
print(tuple(features.shape), sum(p.numel() for p in model.parameters()))
