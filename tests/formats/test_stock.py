"""A rotated student in the form of stock classes: the same function, against NumPy and
the stock libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPModel, SiglipModel

from tinyclip.errors import UserError
from tinyclip.formats.conversion import probes_for
from tinyclip.formats.huggingface.export import export_huggingface
from tinyclip.formats.huggingface.read_back import quiet
from tinyclip.formats.lookup import describe_model
from tinyclip.formats.openclip.export import export_openclip
from tinyclip.formats.parity import Probe, random_probe
from tinyclip.formats.stock import (
    as_layer_norm,
    is_stock,
    stock_shape,
    zero_sum_basis,
)
from tinyclip.inherit.rotate import rotate
from tinyclip.model.clip import Clip
from tinyclip.model.store import Loaded
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape

EXACT = 1e-10  # in float64


def in_basis(tower: Any, dims: int, full: int, **switches: Any) -> Any:
    """A uniform tower in a basis, of four heads of so many dims."""
    blocks = (BlockShape(heads=4, dims=dims, ffn=9),) * 2
    basis = {"width": 4 * dims - 1, "norm": "rms", "full_width": full}
    return replace(tower, blocks=blocks, **basis, **switches)


def filled(shape: ClipShape, seed: int = 3) -> Clip:
    """Noise in every weight and bias, norms about 1."""
    model, draw = Clip(shape), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=draw) * 0.2
            value.copy_(1 + noise if "norm" in name and "weight" in name else noise)
    return model.eval()


def inputs(shape: ClipShape, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    size = (5, shape.text.context_length)
    ids = torch.randint(0, shape.text.vocab_size, size, generator=draw)
    side = shape.image.image_size
    return torch.randn(5, 3, side, side, generator=draw).to(kind), ids


@torch.no_grad()
def gap(one: Clip, other: Clip) -> dict[str, float]:
    """By tower, the largest difference of normalised features."""
    pixels, ids = inputs(one.shape, one.logit_scale.dtype)
    image = [m.encode_image(pixels, normalize=True) for m in (one, other)]
    text = [m.encode_text(ids, normalize=True) for m in (one, other)]
    return {
        name: float((a - b).abs().max())
        for name, (a, b) in {"image": image, "text": text}.items()
    }


@pytest.fixture
def stemless(pico_shape: ClipShape) -> ClipShape:
    """Both towers rotated and uniform, no norm before the blocks."""
    image = in_basis(pico_shape.image, 4, 24, norm_pre=False, projection_bias=True)
    text = in_basis(pico_shape.text, 3, 16, projection_bias=True)
    return pico_shape.with_towers(image=image, text=text)


@pytest.fixture
def stemmed(pico_shape: ClipShape) -> ClipShape:
    """The same with the norm, and so a stem."""
    image = in_basis(pico_shape.image, 4, 24, projection_bias=True)
    text = in_basis(pico_shape.text, 3, 16, projection_bias=True)
    return pico_shape.with_towers(image=image, text=text)


@pytest.mark.parametrize("width", [2, 3, 16, 97])
def test_the_basis_is_orthonormal_and_its_columns_sum_to_zero(width: int) -> None:
    basis = zero_sum_basis(width).numpy()
    assert basis.shape == (width, width - 1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(width - 1), atol=1e-13)
    np.testing.assert_allclose(basis.sum(0), 0, atol=1e-13)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_without_a_stem_it_is_the_same_function(data: Any) -> None:
    draw, switch = data.draw, st.booleans()

    def tower(kind: Callable[..., Any], **own: Any) -> Any:
        heads, dims = draw(st.integers(1, 3)), draw(st.integers(2, 5))
        width = heads * dims - 1
        block = BlockShape(heads=heads, dims=dims, ffn=draw(st.integers(1, 9)))
        return kind(
            width=width,
            norm="rms",
            full_width=width + draw(st.integers(1, 9)),
            head_width=dims + draw(st.integers(0, 3)),
            blocks=(block,) * draw(st.integers(1, 3)),
            eps=draw(st.sampled_from([1e-6, 1e-5, 1e-2])),
            layer_scale=draw(switch),
            projection_bias=draw(switch),
            activation=draw(st.sampled_from(["gelu", "quick_gelu"])),
            **own,
        )

    pool = draw(st.sampled_from(["class", "mean"]))
    image = tower(
        ImageShape,
        image_size=8,
        patch_size=4,
        pool=pool,
        norm_pre=False,
        class_token=pool == "class" or draw(switch),
        patch_bias=draw(switch),
        norm_after_pool=draw(switch),
    )
    pools = st.sampled_from(["argmax", "eos", "last", "first"])
    text = tower(
        TextShape,
        context_length=6,
        vocab_size=30,
        causal=draw(switch),
        pool=draw(pools),
        eos_id=29,
    )
    shape = ClipShape(embed_dim=draw(st.integers(2, 9)), image=image, text=text)
    model = filled(shape, draw(st.integers(0, 99))).double()
    stock = as_layer_norm(model)
    assert stock.shape == stock_shape(shape)
    assert is_stock(stock.shape)
    assert not (stock.shape.image.projection_bias or stock.shape.text.projection_bias)
    assert all(t.norm == "layer" for t in stock.shape.towers().values())
    assert max(gap(model, stock).values()) <= EXACT


def test_a_norm_of_k_channels_is_the_norm_of_k_less_one_directions() -> None:
    """The identity itself, in NumPy."""
    draw, full, width = np.random.default_rng(0), 24, 16
    z = draw.normal(size=(5, width - 1))
    eps = 1e-3
    rms = z / np.sqrt((z**2).sum(1, keepdims=True) / full + eps)
    basis = zero_sum_basis(width).numpy()
    x = z @ basis.T
    centred = x - x.mean(1, keepdims=True)
    variance = (centred**2).mean(1, keepdims=True)
    layer = centred / np.sqrt(variance + eps * full / width)
    np.testing.assert_allclose(
        np.sqrt(full / width) * layer @ basis, rms, rtol=1e-12, atol=1e-14
    )


def test_a_plain_tower_of_fewer_dims_has_its_queries_scaled(
    pico_shape: ClipShape,
) -> None:
    """Stock attention divides by the root of 3, ours by that of 6."""
    image = replace(pico_shape.image, blocks=(BlockShape(heads=8, dims=3, ffn=5),) * 2)
    text = replace(pico_shape.text, blocks=(BlockShape(heads=4, ffn=5),))
    model = filled(pico_shape.with_towers(image=image, text=text)).double()
    stock = as_layer_norm(model)
    assert stock.shape.image.head_width == 3
    assert max(gap(model, stock).values()) <= EXACT
    weight = model.image.blocks[0].attention.q.weight
    torch.testing.assert_close(
        stock.image.blocks[0].attention.q.weight, weight * 0.5**0.5
    )


def test_the_model_is_left_as_it_is(stemmed: ClipShape) -> None:
    model = filled(stemmed)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    as_layer_norm(model, inputs(stemmed, torch.float32)[0])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_ragged_shape_stays(stemmed: ClipShape) -> None:
    blocks = (BlockShape(heads=3, dims=4, ffn=9), stemmed.image.blocks[0])
    ragged = stemmed.with_towers(image=replace(stemmed.image, blocks=blocks))
    assert stock_shape(ragged) == ragged


def test_behind_a_flat_norm_an_uncut_stem_is_exact(stemmed: ClipShape) -> None:
    """Every token is as long as another there, so nothing is lost."""
    image = replace(in_basis(stemmed.image, 6, 24, projection_bias=True), eps=1e-12)
    model = filled(stemmed.with_towers(image=image)).double()
    with torch.no_grad():
        model.image.stem.copy_(zero_sum_basis(24))
        model.image.norm_pre.weight.fill_(1.7)
    pixels, _ = inputs(model.shape, torch.float64)
    assert max(gap(model, as_layer_norm(model, pixels)).values()) <= 1e-9


@pytest.mark.parametrize("norm_pre", [True, False])
def test_a_teacher_there_and_back_is_itself(
    uniform_loaded: Loaded, norm_pre: bool
) -> None:
    """Rotated into its principal basis, then in the form of stock classes."""
    shape = uniform_loaded.model.shape
    image = replace(shape.image, norm_pre=norm_pre)
    teacher = filled(shape.with_towers(image=image)).double()
    if norm_pre:
        with torch.no_grad():  # flat: all tokens are as long
            teacher.image.norm_pre.weight.fill_(1.3)
    pixels, ids = inputs(teacher.shape, torch.float64)
    turned = rotate(teacher, [SimpleNamespace(pixels=pixels, tokens_BT=ids)]).model
    assert turned.shape.text.width == 15 and turned.shape.image.rotated
    back = as_layer_norm(turned, pixels)
    assert back.shape.text == teacher.shape.text
    gaps = gap(teacher, back)
    assert gaps["text"] <= EXACT
    assert gaps["image"] <= (1e-4 if norm_pre else EXACT)  # the first norm's eps


def tokens_of(model: Clip, pixels: Tensor) -> np.ndarray:
    """What goes into the norm before the blocks, in NumPy."""
    image, size = model.image, model.shape.image.patch_size
    x = pixels.numpy()
    rows = [
        x[:, :, i : i + size, j : j + size].reshape(len(x), -1)
        for i in range(0, x.shape[2], size)
        for j in range(0, x.shape[3], size)
    ]
    patch = image.patch.detach().numpy().reshape(len(image.patch), -1)
    patches = np.stack(rows, axis=1) @ patch.T
    first = np.broadcast_to(image.class_embedding.detach(), (len(x), 1, len(patch)))
    return np.concatenate([first, patches], 1) + image.position.detach().numpy()


def test_the_length_behind_a_stem_is_that_of_least_squares(
    stemmed: ClipShape,
) -> None:
    model = filled(stemmed).double()
    pixels, _ = inputs(stemmed, torch.float64)
    stock = as_layer_norm(model, pixels)
    e = tokens_of(model, pixels)
    centred = e - e.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    gamma = model.image.norm_pre.weight.detach().numpy()
    behind = (normal * gamma) @ model.image.stem.detach().numpy()  # but for its bias
    made = (centred * gamma) @ model.image.stem.detach().numpy()
    eps = 1e-5 * 24 / 16
    made /= np.sqrt((made**2).sum(-1, keepdims=True) / 16 + eps)
    length = np.linalg.lstsq(made.reshape(-1, 1), behind.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(stock.image.norm_pre.weight.detach(), length[0])


def test_behind_a_stem_directions_are_right_and_lengths_alike(
    stemmed: ClipShape,
) -> None:
    model = filled(stemmed).double()
    pixels, _ = inputs(stemmed, torch.float64)
    stock = as_layer_norm(model, pixels)
    basis = zero_sum_basis(16)
    with torch.no_grad():
        bias = model.image.norm_pre.bias @ model.image.stem
        ours = model.image.start(pixels) - bias
        theirs = stock.image.start(pixels) @ basis - bias
    cosine = torch.cosine_similarity(ours, theirs, dim=-1)
    assert cosine.min() > 1 - 1e-9
    lengths = theirs.norm(dim=-1)
    assert lengths.std() < 1e-3 * lengths.mean() < ours.norm(dim=-1).std()
    assert gap(model, stock)["text"] <= EXACT


@pytest.fixture(scope="module")
def probe() -> Probe:
    return random_probe(16)


@pytest.fixture
def loaded(pico_loaded: Loaded) -> Callable[[ClipShape], Loaded]:
    """A pico loaded model of another shape, with its vocabulary."""

    def make(shape: ClipShape) -> Loaded:
        text = replace(shape.text, vocab_size=516)
        return replace(pico_loaded, model=filled(shape.with_towers(text=text)))

    return make


def flat(student: Loaded) -> Loaded:
    """Tokens behind the stem that are nearly as long as each other."""
    with torch.no_grad():
        image = student.model.image
        image.stem.copy_(zero_sum_basis(24)[:, :15] * 0.6)
        image.norm_pre.weight.fill_(1.2)
        image.class_embedding.mul_(5)
        image.patch.mul_(5)
        image.position.mul_(5)
    return student


def test_stock_open_clip_makes_the_same_without_a_stem(
    stemless: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = loaded(stemless)
    parity = export_openclip(student, tmp_path / "out", probe)
    assert parity["max_abs_diff"] <= 1e-5
    assert parity["conversion"]["exact"] and "cosine" not in parity
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    pixels, ids = inputs(student.model.shape, torch.float32)
    with torch.no_grad():
        for name, x in (("encode_image", pixels), ("encode_text", ids)):
            theirs = getattr(model.eval(), name)(x, normalize=True)
            ours = getattr(student.model, name)(x, normalize=True)
            assert (theirs - ours).abs().max() <= 1e-5
    assert type(model.visual.ln_post).__name__ == "LayerNorm"


def test_stock_clip_model_makes_nearly_the_same_behind_a_stem(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = flat(loaded(stemmed))
    parity = export_huggingface(student, tmp_path / "out", probe, more=random_probe(20))
    assert parity["class"] == "CLIPModel"
    with quiet():
        stock = CLIPModel.from_pretrained(tmp_path / "out").eval()
    pixels = torch.stack([student.preprocess(image) for image in probe.images])
    ids = student.tokenizer(probe.captions)
    with torch.no_grad():
        image = stock.get_image_features(pixels).pooler_output
        text = stock.get_text_features(ids).pooler_output
        near = torch.cosine_similarity(image, student.model.encode_image(pixels))
        assert near.min() >= parity["conversion"]["image"]["lowest"] > 0.95
        ours = student.model.encode_text(ids, normalize=True)
        gap = (torch.nn.functional.normalize(text) - ours).abs().max()
    assert gap <= 1e-5
    assert stock.config.vision_config.layer_norm_eps == 1e-5 * 24 / 16


def test_a_siglip_whose_text_alone_is_rotated_is_a_siglip_model(
    siglip_shape: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    text = in_basis(siglip_shape.text, 3, 16)
    student = loaded(siglip_shape.with_towers(text=text))
    parity = export_huggingface(student, tmp_path / "out", probe)
    assert parity["class"] == "SiglipModel"
    assert parity["max_abs_diff"] <= 1e-5
    with quiet():
        stock = SiglipModel.from_pretrained(tmp_path / "out").eval()
    assert stock.config.text_config.hidden_size == 12


def test_a_stem_whose_tokens_differ_in_length_is_refused_with_the_way_out(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    student = loaded(stemmed)
    image = student.model.image
    with torch.no_grad():  # of the class token nearly nothing is left behind the stem
        image.stem[0] = 0
        image.class_embedding[0] = 9
        image.norm_pre.weight.mul_(3)
    with pytest.raises(UserError, match=r"mean cosine of 0\.\d+ .*--code own"):
        export_openclip(student, tmp_path / "out", probe)
    with pytest.raises(UserError, match="--code stock: .*0.99 is needed.*--code own"):
        export_huggingface(student, tmp_path / "out", probe, code="stock")
    assert list(tmp_path.iterdir()) == []
    parity = export_huggingface(student, tmp_path / "out", probe)
    assert parity["class"] == "TinyclipModel" and "conversion" not in parity
    assert parity["max_abs_diff"] <= 1e-5
    assert "written with its own code" in caplog.text


def test_what_is_lost_is_told_everywhere(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = flat(loaded(stemmed))
    parity = export_openclip(student, tmp_path / "out", probe, more=random_probe(20))
    loss = parity["conversion"]
    assert not loss["exact"] and loss["n"] == parity["n"] == 20
    assert loss["image"]["lowest"] < loss["image"]["mean"] < 1
    assert 0 <= loss["top1_agreement"] <= 1
    assert parity["cosine"]["image"] == loss["image"]["lowest"]
    assert parity["max_abs_diff"] == loss["image"]["max_abs_diff"] > 1e-4
    assert parity["image"] == parity["max_abs_diff"] > parity["text"]
    assert parity["read_back"]["max_abs_diff"] <= 1e-5
    assert json.loads((tmp_path / "out" / "parity.json").read_text()) == parity
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{loss['image']['mean']:.5f} on average" in card
    assert "| image | 16 | 4 4 |" in card  # as the file has it


def test_a_rotated_attention_pool_has_no_stock_form(
    siglip_shape: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    image = in_basis(siglip_shape.image, 4, 24)
    student = loaded(siglip_shape.with_towers(image=image))
    with pytest.raises(UserError, match=r"attention pool stays .*--to huggingface"):
        export_openclip(student, tmp_path / "out", probe)
    with pytest.raises(UserError, match=r"attention pool stays .*--code own"):
        export_huggingface(student, tmp_path / "out", probe, code="stock")
    parity = export_huggingface(student, tmp_path / "out", probe)
    assert parity["class"] == "TinyclipModel"


def test_own_code_is_brought_where_it_is_wanted(
    uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    parity = export_huggingface(uniform_loaded, tmp_path / "out", probe, code="own")
    assert parity["class"] == "TinyclipModel"
    assert (tmp_path / "out" / "modeling_tinyclip.py").exists()


def test_a_stock_class_that_lacks_a_switch_is_no_class(
    pico_loaded: Loaded, uniform_loaded: Loaded, probe: Probe, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--code stock: the image tower is ragged"):
        export_huggingface(pico_loaded, tmp_path / "out", probe, code="stock")
    image = replace(uniform_loaded.model.shape.image, norm_pre=False)
    model = filled(uniform_loaded.model.shape.with_towers(image=image))
    student = replace(uniform_loaded, model=model)
    with pytest.raises(UserError, match="--code stock: .*lack a switch"):
        export_huggingface(student, tmp_path / "out", probe, code="stock")


def test_the_export_is_counted_as_its_file_has_it(
    stemmed: ClipShape,
    loaded: Callable[[ClipShape], Loaded],
    probe: Probe,
    tmp_path: Path,
) -> None:
    student = flat(loaded(stemmed))
    export_huggingface(student, tmp_path / "out", probe)
    report = describe_model(str(tmp_path / "out"))
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert report["params"]["total"] == sum(v.numel() for v in stored.values())
    assert report["embed"] == {"image": 16, "text": 12}
    assert report["basis"] == {"image": None, "text": None}
    assert report["layers"]["image"] == [{"heads": 4, "ffn": 9}] * 2


def test_pairs_beside_those_compared_are_taken_for_a_stem_alone(
    stemmed: ClipShape, stemless: ClipShape, pico_shape: ClipShape
) -> None:
    probe, more = probes_for(stemmed, "random")
    assert more is not None and len(probe) < len(more)
    for shape in (stemless, pico_shape):
        assert probes_for(shape, "random")[1] is None
