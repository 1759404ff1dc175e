"""A CLIP in plain torch whose weights have open_clip's names.

It exists so that the teacher can be trained where open_clip is not installed.
"""

# B batch, N tokens, D width, E joint embedding, H heads, K head dim, V vocabulary,
# C channels, S side of a picture

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Self-attention with the parameter names of `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        joint = F.linear(x_BND, self.in_proj_weight, self.in_proj_bias)
        split = joint.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        # Plain products: in bfloat16 on a CPU the fused kernel's backward pass takes
        # six times as long as theirs.
        scores_BHNN = query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5
        if self.causal:
            past_NN = torch.ones_like(scores_BHNN[0, 0], dtype=torch.bool).tril()
            scores_BHNN = scores_BHNN.masked_fill(~past_NN, -math.inf)
        out_BHNK = scores_BHNN.softmax(-1).to(value.dtype) @ value
        return self.out_proj(out_BHNK.transpose(1, 2).flatten(2))


class Ffn(nn.Module):
    """Two matrices with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, hidden)
        self.c_proj = nn.Linear(hidden, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x_BND)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, hidden: int, causal: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, causal)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Ffn(width, hidden)

    def forward(self, x_BND: Tensor) -> Tensor:
        x_BND = x_BND + self.attn(self.ln_1(x_BND))
        return x_BND + self.mlp(self.ln_2(x_BND))


class Transformer(nn.Module):
    """Blocks in a row."""

    def __init__(
        self, width: int, layers: int, heads: int, ratio: float, causal: bool
    ) -> None:
        super().__init__()
        hidden = int(width * ratio)
        self.resblocks = nn.ModuleList(
            Block(width, heads, hidden, causal) for _ in range(layers)
        )

    def forward(self, x_BND: Tensor) -> Tensor:
        for block in self.resblocks:
            x_BND = block(x_BND)
        return x_BND


class Visual(nn.Module):
    """The image tower."""

    def __init__(self, embed_dim: int, config: dict) -> None:
        super().__init__()
        width, patch = config["width"], config["patch_size"]
        grid = config["image_size"] // patch
        scale = width**-0.5
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(
            scale * torch.randn(grid**2 + 1, width)
        )
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(
            width,
            config["layers"],
            width // config["head_width"],
            config["mlp_ratio"],
            causal=False,
        )
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))

    def forward(self, x_BCSS: Tensor) -> Tensor:
        x_BND = self.conv1(x_BCSS).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(x_BND.dtype).expand(len(x_BND), 1, -1)
        x_BND = torch.cat([first, x_BND], dim=1) + self.positional_embedding
        x_BND = self.transformer(self.ln_pre(x_BND))
        return self.ln_post(x_BND[:, 0]) @ self.proj


class SmallClip(nn.Module):
    """Both towers."""

    def __init__(self, model_cfg: dict) -> None:
        super().__init__()
        embed_dim, text = model_cfg["embed_dim"], model_cfg["text_cfg"]
        width = text["width"]
        self.visual = Visual(embed_dim, model_cfg["vision_cfg"])
        self.token_embedding = nn.Embedding(text["vocab_size"], width)
        self.positional_embedding = nn.Parameter(
            0.01 * torch.randn(text["context_length"], width)
        )
        self.transformer = Transformer(
            width, text["layers"], text["heads"], text["mlp_ratio"], causal=True
        )
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(width**-0.5 * torch.randn(width, embed_dim))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self._init()

    def _init(self) -> None:
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        for tower in (self.visual.transformer, self.transformer):
            blocks = list(tower.resblocks)
            width = blocks[0].ln_1.normalized_shape[0]
            # Deep sums of residuals must not grow with the number of blocks.
            out_std = width**-0.5 * (2 * len(blocks)) ** -0.5
            for block in blocks:
                nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
                nn.init.normal_(block.attn.out_proj.weight, std=out_std)
                nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
                nn.init.normal_(block.mlp.c_proj.weight, std=out_std)
                nn.init.zeros_(block.attn.out_proj.bias)

    def encode_image(self, x_BCSS: Tensor) -> Tensor:
        """Normalised image features in float32."""
        return F.normalize(self.visual(x_BCSS).float(), dim=-1)

    def encode_text(self, tokens_BN: Tensor) -> Tensor:
        """Normalised text features in float32."""
        x_BND = self.token_embedding(tokens_BN) + self.positional_embedding
        x_BND = self.transformer(x_BND)
        # The end mark has the largest id.
        ends_B = tokens_BN.argmax(-1)
        last_BD = x_BND[torch.arange(len(x_BND), device=x_BND.device), ends_B]
        last_BD = self.ln_final(last_BD) @ self.text_projection
        return F.normalize(last_BD.float(), dim=-1)
