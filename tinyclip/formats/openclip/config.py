"""open_clip's model configurations, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...bounds import LAYERS, WIDTH, check_number
from ...errors import UserError
from ...shapes import (
    Activation,
    BlockShape,
    ClipShape,
    ImagePool,
    ImageShape,
    TextPool,
    TextShape,
)
from .trunk import LISTED, entry_of, trunk_shape

EPS = 1e-5  # of torch's LayerNorm, where a configuration names none
TANH = {"approximate": "tanh"}  # `act_kwargs` of the tanh-GELU
POOLS: dict[str, ImagePool] = {"tok": "class", "avg": "mean"}  # theirs -> ours
# keys that a shape reads; those that only training, the tokenizer or random weights see
TOP = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_bias"}
TOP_FREE = {"custom_text", "init_logit_scale", "nonscalar_logit_scale"}
TOWER = {"width", "layers", "mlp_ratio", "ls_init_value", "act_kwargs", "norm_kwargs"}
VISION = TOWER | {"image_size", "patch_size", "head_width", "no_ln_pre", "pool_type"}
VISION |= {"final_ln_after_pool"}
VISION_FREE = {"patch_dropout", "attn_pooler_queries", "attn_pooler_heads"}
TRUNK = {"timm_model_name", "timm_pool", "timm_proj", "image_size"}
TRUNK_FREE = {"timm_model_pretrained", "timm_drop", "timm_drop_path", "patch_dropout"}
TEXT = TOWER | {"context_length", "vocab_size", "heads", "no_causal_mask", "pool_type"}
TEXT |= {"eos_id", "proj_bias", "proj_type"}
TEXT_FREE = {"hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs"}
# open_clip never looks at the first, and at the second only with a class embedding
TEXT_FREE |= {"final_ln_after_pool", "pad_id"}
# the custom block with all its switches off computes what the default one does
BLOCKS = (None, "default", "custom")
WHY = {
    "attentional_pool": "pools with many learned queries, as CoCa does",
    "embed_cls": "has a class embedding behind the caption, as CoCa has",
    "output_tokens": "returns every token, as CoCa does",
    "pos_embed_type": "has positions that are not learned",
    "qk_norm": "normalises queries and keys",
    "scaled_cosine_attn": "attends by cosine",
    "scale_heads": "scales each head",
    "scale_attn_inner": "has a LayerNorm inside its attention",
    "scale_attn": "has a LayerNorm behind its attention",
    "scale_fc": "has a LayerNorm inside its FFN",
}


def refuse_unknown(
    cfg: Mapping[str, Any], keys: set[str], defaults: Mapping[str, Any], where: str
) -> None:
    """Refuse every switch that our towers do not have.

    Args:
        known: keys that a shape reads, and those that change no feature.
        defaults: open_clip's own value of every other key: it changes nothing.

    Raises:
        UserError: a key outside `known` has a value that changes the model.
    """
    for key, value in cfg.items():
        if key in keys or (key in defaults and value == defaults[key]):
            continue
        if key == "block_type" and value in BLOCKS:
            continue
        shown = f"{key}={value!r}" if not isinstance(value, Mapping) else key
        why = f"{WHY[key]} ({shown}), which" if key in WHY else shown
        raise UserError(where, f"{why} is not supported", LISTED)


def refuse_foreign(cfg: Mapping[str, Any], where: str) -> None:
    """Refuse a configuration of another kind of model.

    Raises:
        UserError: it is a CoCa, a ResNet, or has a text tower of Hugging Face.
    """
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    what = None
    if "multimodal_cfg" in cfg:
        what = "it is a CoCa, with a decoder that writes captions"
    elif text.get("hf_model_name"):
        what = f"its text tower is Hugging Face's {text['hf_model_name']}"
    elif isinstance(vision.get("layers"), list | tuple):
        what = "its image tower is a ResNet, which has no heads to cut"
    if what is not None:
        raise UserError(where, f"is not supported: {what}", LISTED)


def shape_of(cfg: Mapping[str, Any], where: str) -> ClipShape:
    """The shape that an open_clip model configuration describes.

    Raises:
        UserError: it has a switch that is not supported.
    """
    refuse_foreign(cfg, where)
    refuse_unknown(cfg, TOP | TOP_FREE, {}, where)
    embed_dim, quick = cfg["embed_dim"], bool(cfg.get("quick_gelu"))
    if cfg["vision_cfg"].get("timm_model_name"):
        image = _trunk(cfg["vision_cfg"], embed_dim, where)
    else:
        image = _image(cfg["vision_cfg"], quick, f"{where}: vision_cfg")
    return ClipShape(
        embed_dim=embed_dim,
        image=image,
        text=_text(cfg["text_cfg"], embed_dim, quick, f"{where}: text_cfg"),
        logit_bias=cfg.get("init_logit_bias") is not None,
    )


def _trunk(cfg: Mapping[str, Any], embed_dim: int, where: str) -> ImageShape:
    """The image tower that timm builds by a name.

    Raises:
        UserError: it is not one of SigLIP's kind.
    """
    from open_clip.model import CLIPVisionCfg

    vision = {**asdict(CLIPVisionCfg()), **cfg}
    # its own widths win over those that the configuration names
    keys = TRUNK | TRUNK_FREE | VISION | VISION_FREE
    keys |= {"timm_proj_bias"}  # of a projection that is not there
    refuse_unknown(vision, keys, asdict(CLIPVisionCfg()), f"{where}: vision_cfg")
    name = vision["timm_model_name"]
    entry_of(name, where)  # a foreign family is the plainer reason
    pool, proj = vision["timm_pool"], vision["timm_proj"]
    if (pool, proj) != ("map", "none"):
        raise UserError(
            where,
            f"is not supported: its image tower is timm's {name} with timm_pool="
            f"{pool!r} and timm_proj={proj!r}; of timm's, only those with an attention "
            "pool and no projection are ('map' and 'none', as SigLIP's)",
            LISTED,
        )
    image = trunk_shape(name, where)
    if image.width != embed_dim:
        raise UserError(
            where,
            f"the image tower is {image.width} wide and has no projection to "
            f"embed_dim={embed_dim}",
        )
    return image


def _image(cfg: Mapping[str, Any], quick: bool, where: str) -> ImageShape:
    """open_clip's own vision transformer."""
    from open_clip.model import CLIPVisionCfg

    vision = {**asdict(CLIPVisionCfg()), **cfg}
    timm = {key for key in vision if key.startswith("timm_")}
    refuse_unknown(vision, VISION | VISION_FREE | timm, asdict(CLIPVisionCfg()), where)
    if vision["pool_type"] not in POOLS:
        raise UserError(where, f"pool_type={vision['pool_type']!r} is not supported")
    pool = POOLS[vision["pool_type"]]
    return ImageShape(
        **_common(vision, vision["width"] // vision["head_width"], quick, where),
        image_size=square(vision["image_size"], f"{where}: image_size"),
        patch_size=square(vision["patch_size"], f"{where}: patch_size"),
        norm_pre=not vision["no_ln_pre"],
        pool=pool,
        # of one token it is all the same
        norm_after_pool=pool != "mean" or bool(vision["final_ln_after_pool"]),
    )


def _text(cfg: Mapping[str, Any], embed_dim: int, quick: bool, where: str) -> TextShape:
    from open_clip.model import CLIPTextCfg

    text = {**asdict(CLIPTextCfg()), **cfg}
    hugging = {key for key in text if key.startswith("hf_")}
    refuse_unknown(text, TEXT | TEXT_FREE | hugging, asdict(CLIPTextCfg()), where)
    pool: TextPool = text["pool_type"]
    if pool not in ("argmax", "eos", "last", "first"):
        raise UserError(where, f"pool_type={pool!r} is not supported")
    if text["proj_type"] not in ("linear", "none"):
        raise UserError(where, f"proj_type={text['proj_type']!r} is not supported")
    bare = text["proj_type"] == "none"
    if bare and text["width"] != embed_dim:
        raise UserError(
            where,
            f"the text tower is {text['width']} wide and has no projection to "
            f"embed_dim={embed_dim}",
        )
    return TextShape(
        **_common(text, text["heads"], quick, where),
        context_length=text["context_length"],
        vocab_size=text["vocab_size"],
        causal=not text["no_causal_mask"],
        pool=pool,
        eos_id=text["eos_id"] if pool == "eos" else None,
        projection_bias=bool(text["proj_bias"]) and not bare,
    )


def _common(
    cfg: Mapping[str, Any], heads: int, quick: bool, where: str
) -> dict[str, Any]:
    """What both towers' shapes have.

    Raises:
        UserError: the width is not that of whole heads, a number is out of bounds, or
            a switch is unknown.
    """
    width, layers = cfg["width"], cfg["layers"]
    for name, value, bounds in (
        ("width", width, WIDTH),
        ("layers", layers, LAYERS),
        ("heads", heads, (0, WIDTH[1])),
    ):
        try:
            check_number(name, value, bounds)
        except ValueError as error:
            raise UserError(where, str(error), LISTED) from None
    if heads < 1 or width % heads:
        raise UserError(
            where,
            f"width {width} is no whole number of heads, or there is no layer",
        )
    norm = dict(cfg["norm_kwargs"] or {})
    eps = norm.pop("eps", EPS)
    if norm:
        raise UserError(where, f"norm_kwargs={norm!r} is not supported", LISTED)
    ffn = int(width * cfg["mlp_ratio"])  # open_clip truncates
    return {
        "width": width,
        "head_width": width // heads,
        "blocks": (BlockShape(heads=heads, ffn=ffn),) * layers,
        "activation": _activation(cfg["act_kwargs"], quick, where),
        "eps": eps,
        "layer_scale": cfg["ls_init_value"] is not None,
    }


def _activation(
    settings: Mapping[str, Any] | None, quick: bool, where: str
) -> Activation:
    """Which GELU a tower has.

    Raises:
        UserError: `act_kwargs` says what that activation does not take.
    """
    settings = dict(settings or {})
    if quick and not settings:
        return "quick_gelu"
    kind: Activation | None = {
        "{}": "gelu",
        "{'approximate': 'none'}": "gelu",
        str(TANH): "gelu_tanh",
    }.get(str(settings))  # type: ignore[assignment]
    if quick or kind is None:
        clash = " beside quick_gelu" if quick else ""
        raise UserError(
            where, f"act_kwargs={settings!r}{clash} is not supported", LISTED
        )
    return kind


def square(value: Any, where: str) -> int:
    """The side of a picture or patch, which open_clip also takes as a pair.

    Raises:
        UserError: it is not square.
    """
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(set(sides)) != 1:
        raise UserError(where, f"{value!r} is not square, which is not supported yet")
    return int(sides[0])
