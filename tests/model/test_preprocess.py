"""Pixels as open_clip makes them; augmented crops as a function of the seed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from transformers import CLIPImageProcessorPil

from tinyclip.model.preprocess import Preprocess, _crop_box


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_are_open_clips(mode: str, interpolation: str) -> None:
    preprocess = Preprocess(
        20, resize_mode=mode, interpolation=interpolation, fill_color=9
    )
    stock = image_transform_v2(PreprocessCfg(**preprocess.to_dict()), is_train=False)
    image = noise(37, 23)
    assert torch.equal(preprocess(image), stock(image))


# margins of 0 to 7 pixels: half of 3 and of 7 is where the two roundings part
@pytest.mark.parametrize("sides", [(20, 20 + more) for more in range(8)])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels_are_transformers_own(sides: tuple[int, int], turned: bool) -> None:
    crop = {"height": 20, "width": 20}
    stock = CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size=crop)
    image = noise(*(reversed(sides) if turned else sides))
    theirs = torch.from_numpy(np.asarray(stock(image)["pixel_values"][0]))
    assert torch.equal(Preprocess(20, crop_rounding="floor")(image), theirs)


@pytest.mark.parametrize("rounding", ["even", "floor"])
def test_settings_come_back_with_the_rounding(rounding: str) -> None:
    preprocess = Preprocess(16, crop_rounding=rounding)
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess


def test_open_clips_own_rounding_is_not_written() -> None:
    # directories of before are the same, and open_clip has no such setting
    assert "crop_rounding" not in Preprocess(16).to_dict()


def test_a_grey_picture_gets_three_channels() -> None:
    assert Preprocess(16)(noise(20, 20).convert("L")).shape == (3, 16, 16)


def test_the_settings_come_back_from_json() -> None:
    preprocess = Preprocess(16, mean=(0.1, 0.2, 0.3), resize_mode="longest")
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess


@pytest.mark.parametrize(
    "wrong",
    [{"resize_mode": "fit"}, {"interpolation": "best"}, {"crop_rounding": "up"}],
)
def test_a_setting_that_open_clip_lacks_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="unknown"):
        Preprocess.from_dict({**Preprocess(16).to_dict(), **wrong})


def test_one_seed_is_one_crop_and_another_is_another() -> None:
    preprocess, image = Preprocess(16), noise(40, 40)
    one, same, other = (preprocess.augmented(image, seed, 0.5) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_crop_leaves_the_global_random_state_alone() -> None:
    state = torch.get_rng_state()
    Preprocess(16).augmented(noise(40, 40), 7, 0.5)
    assert torch.equal(state, torch.get_rng_state())


def test_crops_made_in_threads_are_those_made_alone() -> None:
    preprocess, image = Preprocess(16), noise(64, 48)
    alone = [preprocess.augmented(image, seed, 0.5) for seed in range(64)]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda s: preprocess.augmented(image, s, 0.5), range(64))
    for one, two in zip(alone, together, strict=True):
        assert torch.equal(one, two)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**63), st.floats(0.1, 1)
)
def test_a_crop_lies_inside_and_keeps_its_share(
    width: int, height: int, seed: int, crop: float
) -> None:
    left, top, right, bottom = _crop_box((width, height), seed, crop)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    # each side is rounded to a pixel: half a pixel less at most
    least = crop * width * height - (width + height) / 2 - 1
    assert (right - left) * (bottom - top) >= least


def test_crop_one_is_the_whole_picture() -> None:
    preprocess, image = Preprocess(16), noise(50, 30)
    assert torch.equal(preprocess.augmented(image, 3, 1.0), preprocess(image))
