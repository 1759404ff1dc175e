"""A CLIP whose blocks differ in width, for Hugging Face transformers.

This file, `towers_tinyclip.py` and `configuration_tinyclip.py` lie beside the weights
of an exported model and are all the code it needs:
    model = AutoModel.from_pretrained("path/to/it", trust_remote_code=True)

Legend: B batch, N tokens, T text tokens, D embed, E joint embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput

from .configuration_tinyclip import TinyclipConfig
from .towers_tinyclip import ImageTower, TextTower, parameter


@dataclass
class TinyclipOutput(ModelOutput):
    """What `CLIPModel` returns, too.

    Args:
        loss: with `return_loss`, of a batch whose pictures and texts are pairs.
        logits_per_image: (images, texts); logits_per_text: its transpose.
        text_embeds, image_embeds: (B, E), of length 1.
    """

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    text_model_output: BaseModelOutputWithPooling | None = None
    vision_model_output: BaseModelOutputWithPooling | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(
            value.to_tuple() if isinstance(value, ModelOutput) else value
            for value in self.values()
        )


class TinyclipModel(PreTrainedModel):
    """Both towers; the methods and outputs are those of `CLIPModel`."""

    config_class = TinyclipConfig
    base_model_prefix = "tinyclip"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: TinyclipConfig) -> None:
        super().__init__(config)
        self.image = ImageTower(config.image, config.embed_dim)
        self.text = TextTower(config.text, config.embed_dim)
        self.logit_scale = parameter()
        self.logit_bias = parameter() if config.logit_bias else None
        self.post_init()

    def get_image_features(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """`pooler_output` is the feature, (B, E), before normalisation.

        Args:
            output_hidden_states: whether to give what goes into the blocks, and what
                comes out of each, (B, N, D).
            return_dict: False for a tuple.
            kwargs: nothing that this model has.
        """
        made = self.image(pixel_values, self._hidden(output_hidden_states))
        return self._told(made, return_dict)

    def get_text_features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """`pooler_output` is the feature, (B, E), before normalisation.

        Args:
            input_ids: (B, T); where all tokens see each other, or the last one is the
                feature, they are padded to the full length, as in training.
            attention_mask: not looked at: padding was seen in training as well.
            position_ids: (B, T) or (1, T), where they are not 0, 1, ...
            The rest as `get_image_features`.
        """
        ids_BT, hidden = self._padded(input_ids), self._hidden(output_hidden_states)
        return self._told(self.text(ids_BT, position_ids, hidden), return_dict)

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        return_loss: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> TinyclipOutput | tuple[Any, ...]:
        """Both towers' features, normalised, and their scaled products."""
        hidden = self._hidden(output_hidden_states)
        image = self.image(pixel_values, hidden)
        text = self.text(self._padded(input_ids), position_ids, hidden)
        image_BE = F.normalize(image.pooler_output, dim=-1)
        text_BE = F.normalize(text.pooler_output, dim=-1)
        logits = self.logit_scale.exp() * text_BE @ image_BE.T
        if self.logit_bias is not None:
            logits = logits + self.logit_bias
        made = TinyclipOutput(
            loss=self._loss(logits) if return_loss else None,
            logits_per_image=logits.T,
            logits_per_text=logits,
            text_embeds=text_BE,
            image_embeds=image_BE,
            text_model_output=text,
            vision_model_output=image,
        )
        return self._told(made, return_dict)

    def _padded(self, input_ids: Tensor) -> Tensor:
        text, pad = self.config.text, self.config.pad_token_id
        missing = text["context_length"] - input_ids.shape[1]
        seen = not text["causal"] or text["pool"] == "last"
        if pad is None or not seen or missing <= 0:
            return input_ids
        return F.pad(input_ids, (0, missing), value=pad)

    def _loss(self, logits: Tensor) -> Tensor:
        """`SiglipModel`'s where there is a bias, else `CLIPModel`'s."""
        pairs = torch.eye(len(logits), device=logits.device)
        if self.logit_bias is not None:
            return -F.logsigmoid((2 * pairs - 1) * logits).sum(dim=-1).mean()
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2

    def _hidden(self, asked: bool | None) -> bool:
        """Whether hidden states are wanted; the configuration's wish where nothing was
        said."""
        return bool(self.config.output_hidden_states if asked is None else asked)

    def _told(self, made: ModelOutput, as_dict: bool | None) -> Any:
        """An output as it is wanted, likewise."""
        whole = self.config.return_dict if as_dict is None else as_dict
        return made if whole else made.to_tuple()
