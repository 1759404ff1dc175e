"""Small models of transformers, saved with tokenizer and processor as on the hub."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from open_clip.tokenizer import bytes_to_unicode
from PIL import Image
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedModel,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
    SiglipTokenizer,
)

MERGES = [("c", "a"), ("ca", "t</w>"), ("a", "t</w>"), ("o", "n</w>")]
TALK = ["a photo of a red square", "two cats on a mat", "a blue star left of a cat"]
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 12,
    "hidden_act": "gelu",
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 20,  # no multiple of the patch: the rest of the picture is not seen
    "patch_size": 8,
}


def scrambled(model: PreTrainedModel) -> PreTrainedModel:
    """Random weights, biases not 0 and norms not 1, so that every term counts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator) * 0.2
            norm = "norm" in name and name.endswith("weight")
            value.copy_(1 + noise if norm else noise)
    return model.eval()


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own with four merges: 518 ids."""
    symbols = list(bytes_to_unicode().values())
    pieces = symbols + [f"{symbol}</w>" for symbol in symbols]
    pieces += ["".join(pair) for pair in MERGES]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocab, merges=MERGES)


def unigram() -> bytes:
    """A sentencepiece file with SigLIP's marks: </s> is 1, <unk> is 2."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TALK * 9),
        model_writer=model,
        vocab_size=60,
        model_type="unigram",
        user_defined_symbols=["<pad>"],
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


@pytest.fixture
def hf_clip(tmp_path: Path) -> Callable[..., Path]:
    """Makes a saved CLIPModel; arguments change its towers' configurations."""

    def make(
        text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None
    ) -> Path:
        folder = tmp_path / "clip"
        marks = {"vocab_size": 518, "bos_token_id": 516, "eos_token_id": 517}
        config = CLIPConfig(
            text_config={**TEXT, **marks, **(text or {})},
            vision_config={**VISION, **(vision or {})},
            projection_dim=14,
        )
        scrambled(CLIPModel(config)).save_pretrained(folder)
        clip_tokenizer().save_pretrained(folder)
        processor = CLIPImageProcessorPil(
            size={"shortest_edge": 20}, crop_size={"height": 20, "width": 20}
        )
        processor.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def hf_siglip(tmp_path: Path) -> Callable[..., Path]:
    """Makes a saved SiglipModel; arguments change its towers' configurations."""

    def make(
        text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None
    ) -> Path:
        folder = tmp_path / "siglip"
        marks = {"vocab_size": 64, "bos_token_id": 1, "eos_token_id": 1}
        config = SiglipConfig(
            text_config={**TEXT, **marks, "projection_size": 24, **(text or {})},
            vision_config={**VISION, **(vision or {})},
        )
        scrambled(SiglipModel(config)).save_pretrained(folder)
        pieces = tmp_path / "spiece.model"
        pieces.write_bytes(unigram())
        # both in one file, as the newer checkpoints have it
        pixels = SiglipImageProcessorPil(size={"height": 20, "width": 20})
        words = SiglipTokenizer(str(pieces))
        SiglipProcessor(pixels, words).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Odd sizes, portrait and landscape; one whose crop margin is odd (20 by 23)."""
    draw = np.random.default_rng(0)
    sides = [(37, 23), (20, 23), (23, 41), (9, 7), (20, 20)]
    pixels = [draw.integers(0, 256, (high, wide, 3)) for wide, high in sides]
    return [Image.fromarray(values.astype(np.uint8)) for values in pixels]


@pytest.fixture
def stock_features() -> Callable[..., tuple[Tensor, Tensor]]:
    """What transformers makes of pictures and captions, normalised."""

    def make(
        folder: Path, pictures: list[Image.Image], captions: list[str]
    ) -> tuple[Tensor, Tensor]:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        model = AutoModel.from_pretrained(folder).eval()
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        pixels = processor(pictures, return_tensors="pt")["pixel_values"]
        ids = tokenizer(
            captions,
            padding="max_length",
            truncation=True,
            max_length=model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).input_ids
        with torch.no_grad():
            image = model.get_image_features(pixel_values=pixels).pooler_output
            text = model.get_text_features(input_ids=ids).pooler_output
        return nn.functional.normalize(image), nn.functional.normalize(text)

    return make


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every socket refuses."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("the test allows no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
