"""What `config.json` says of a CLIP whose blocks differ in width.

This file lies beside the weights of an exported model.
"""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig


class TinyclipConfig(PretrainedConfig):
    """The widths and switches of both towers.

    Args:
        embed_dim: width of the embedding that both towers lead to.
        image: width, head_width, blocks (a list of {heads, ffn}, and dims of each head
            where they are fewer than head_width), activation, eps, layer_scale,
            image_size, patch_size, class_token, patch_bias, norm_pre, pool (class,
            mean or map), norm_after_pool, pool_block, projection; of a tower in a
            basis of its own norm (rms), full_width, projection_bias.
        text: width, head_width, blocks, activation, eps, layer_scale, context_length,
            vocab_size, causal, pool (argmax, eos, last or first), eos_id,
            projection_bias; norm and full_width likewise.
        logit_bias: whether a bias is added to the scaled products (SigLIP).
        pad_token_id: what fills shorter captions where a tower looks at padding; None
            where the tokenizer has to do it.
    """

    model_type = "tinyclip"

    def __init__(
        self,
        embed_dim: int = 0,
        image: dict[str, Any] | None = None,
        text: dict[str, Any] | None = None,
        logit_bias: bool = False,
        pad_token_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.embed_dim, self.logit_bias = embed_dim, logit_bias
        self.image, self.text = image or {}, text or {}
        super().__init__(**kwargs)
        self.pad_token_id = pad_token_id
