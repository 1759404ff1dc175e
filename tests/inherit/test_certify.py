"""The certificate says what was measured, and stops a run that broke the law."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tinyclip.errors import TinyclipError
from tinyclip.inherit.certify import certify, exact_float32
from tinyclip.inherit.slicing import inherit
from tinyclip.keep import ClipKeep, Keep, TowerKeep
from tinyclip.model.clip import Clip


def pairs(count: int = 70) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(count, 3, 16, 16, generator=generator)
    return pixels, torch.randint(0, 50, (count, 8), generator=generator)


def soft_keep(model: Clip) -> ClipKeep:
    """One layer dropped, one dead FFN, half of the channels, soft gates."""
    shape = model.shape
    image = TowerKeep(
        {
            "embed": (Keep(tuple(range(0, 24, 2)), 24, (0.3, 0.9) * 6),),
            "heads": (Keep((0, 2), 3, (0.5, 1.0)),),
            "ffn": (Keep((), 28, ()),),
        },
        Keep((1,), 2),
    )
    return ClipKeep(image=image, text=TowerKeep.everything(shape.text))


def test_an_exact_cut_gets_its_certificate(pico_clip: Clip) -> None:
    keep = soft_keep(pico_clip)
    stated = certify(pico_clip, keep, inherit(pico_clip, keep), *pairs())
    assert set(stated) == {"max_abs_diff", "image", "text", "n", "dtype"}
    assert stated["n"] == 70
    assert stated["dtype"] == "float32"
    assert stated["max_abs_diff"] == max(stated["image"], stated["text"]) <= 1e-5


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_student_that_differs_stops_the_run(pico_clip: Clip, tower: str) -> None:
    keep = soft_keep(pico_clip)
    student = inherit(pico_clip, keep)
    with torch.no_grad():
        getattr(student, tower).projection[0, 0] += 0.01
    with pytest.raises(TinyclipError, match=r"out of bounds.*70 pairs"):
        certify(pico_clip, keep, student, *pairs())


def test_the_very_last_pair_counts(pico_clip: Clip) -> None:
    keep = soft_keep(pico_clip)
    student = inherit(pico_clip, keep)
    pixels, tokens = pairs()
    tokens = tokens.clamp(max=40)
    tokens[-1, 3] = 49  # only the last caption holds the word that was changed
    with torch.no_grad():
        student.text.token_embedding[49, 0] += 1.0
    with pytest.raises(TinyclipError, match="out of bounds"):
        certify(pico_clip, keep, student, pixels, tokens)


def test_features_that_are_not_numbers_do_not_pass(pico_clip: Clip) -> None:
    keep = soft_keep(pico_clip)
    with torch.no_grad():
        pico_clip.text.position[0, 0] = float("nan")
    student = inherit(pico_clip, keep)
    with pytest.raises(TinyclipError, match="nan"):
        certify(pico_clip, keep, student, *pairs())


def test_the_models_are_left_as_they_are(pico_clip: Clip) -> None:
    model = pico_clip.bfloat16().train()
    keep = soft_keep(model)
    student = inherit(model, keep)
    before = student.text.position.clone()
    # weights in bfloat16 were folded in bfloat16: the float32 certificate tells
    with pytest.raises(TinyclipError):
        certify(model, keep, student, *pairs())
    assert model.training and model.text.position.dtype == torch.bfloat16
    assert torch.equal(student.text.position, before)


def test_autocast_around_the_certificate_is_switched_off(pico_clip: Clip) -> None:
    keep = soft_keep(pico_clip)
    student = inherit(pico_clip, keep)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stated = certify(pico_clip, keep, student, *pairs())
    assert stated["max_abs_diff"] <= 1e-5


def test_tf32_is_off_inside_and_as_before_afterwards() -> None:
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    with exact_float32(torch.device("cpu")):
        assert conv.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert conv.fp32_precision == before
