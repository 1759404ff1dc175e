"""CoOp: words before a class's name that are learnt as vectors, all else frozen (Zhou
et al. 2022, "Learning to Prompt for Vision-Language Models", §3.2, unified context).

Legend: C classes, T tokens, M words, D embed of the text tower, E joint embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..data.task import FewShotTask
from ..data.tokens import TokenMaker
from ..errors import UserError
from ..model.clip import Clip
from ..model.text import TextTower
from .features import Encoder, evaluating
from .few_shots import Adapted, Shots, cross_entropy, descend, few_shots
from .measures import Outcome, measures

WORDS = 4  # M
SPREAD = 0.02  # of the words before they are learnt
STEPS = 40
RATE = 0.03
HELD = 4096  # tokens whose activations are held at once
STANDS = "x", "a", "the"  # one of them is one token, and holds the words' places


class _Reader(nn.Module):
    """A text tower from the residual stream on."""

    def __init__(self, tower: TextTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, x_CTD: Tensor, tokens_CT: Tensor) -> Tensor:
        return F.normalize(self.tower.read(x_CTD, tokens_CT), dim=-1)


@dataclass(frozen=True, eq=False)
class Prompts:
    """The classes' texts, each with places for M words, and what reads them.

    Args:
        reader: its weights are those of `weights`.
        weights: of the model, in float32 and without gradients.
        stream_CTD: what the blocks read, where no word is learnt.
        tokens_CT: ids, of which those at the places count for nothing.
        first: the first place.
        cut: classes whose name does not fit whole.
    """

    reader: _Reader
    weights: Mapping[str, Tensor]
    stream_CTD: Tensor
    tokens_CT: Tensor
    first: int
    cut: int

    @property
    def width(self) -> int:
        return self.stream_CTD.shape[2]

    def features(self, words_MD: Tensor) -> Tensor:
        """Normalised features of the classes under these words, (C, E).

        Of many classes activations are made twice, and those of some held at once.
        """
        size = max(1, HELD // self.tokens_CT.shape[1])
        streams, tokens = self.stream_CTD.split(size), self.tokens_CT.split(size)
        if len(tokens) == 1:
            return self._read(words_MD, streams[0], tokens[0])
        read = partial(checkpoint, self._read, use_reentrant=False)
        parts = zip(streams, tokens, strict=True)
        return torch.cat([read(words_MD, *part) for part in parts])

    def _read(self, words_MD: Tensor, x_CTD: Tensor, tokens_CT: Tensor) -> Tensor:
        end = self.first + len(words_MD)
        placed_MD = words_MD + self.weights["tower.position"][self.first : end]
        placed_CMD = placed_MD.expand(len(x_CTD), -1, -1)
        x_CTD = torch.cat([x_CTD[:, : self.first], placed_CMD, x_CTD[:, end:]], dim=1)
        features_CE: Tensor = functional_call(
            self.reader, dict(self.weights), (x_CTD, tokens_CT)
        )
        return features_CE


def prompts(
    tower: TextTower, tokenizer: TokenMaker, classes: Sequence[str], where: str
) -> Prompts:
    """Texts with room for `WORDS` learnt words before the name.

    Raises:
        UserError: captions are too short for them, or no word is one token.
    """
    tokens_CT, first, cut = _placed(tokenizer, classes, where)
    tokens_CT = tokens_CT.to(tower.position.device)
    if tower.shape.causal and tower.shape.pool not in ("first", "last"):
        # what stands after the token that is read is read by nothing
        tokens_CT = tokens_CT[:, : int(tower.end(tokens_CT).max()) + 1]
    reader = _Reader(tower)
    named = reader.named_parameters()
    weights = {name: weight.detach().float() for name, weight in named}
    stream_CTD = F.embedding(tokens_CT, weights["tower.token_embedding"])
    stream_CTD = stream_CTD + weights["tower.position"][: tokens_CT.shape[1]]
    return Prompts(reader, weights, stream_CTD, tokens_CT, first, cut)


def _placed(
    tokenizer: TokenMaker, classes: Sequence[str], where: str
) -> tuple[Tensor, int, int]:
    """Ids (C, T) of names with words before them, the place of the first of these, and
    how many names are cut. What a tokenizer puts before a text and after it is what an
    empty one has."""
    names_CT, empty_T = tokenizer(list(classes)), tokenizer([""])[0]
    length = len(empty_T)
    differs_CT = names_CT != empty_T
    first = int(differs_CT.any(dim=0).int().argmax())
    end = first + WORDS
    if end + 2 > length:  # a token of the name, and the end of the caption
        raise UserError(
            where,
            f"learns {WORDS} words before a name, and the model's captions have room "
            f"for {length} tokens",
            "Leave the task out",
        )
    used_C = (differs_CT * torch.arange(1, length + 1)).amax(dim=1)
    cut_C = used_C + WORDS > length
    own_CT = torch.arange(first, length - WORDS) < used_C[:, None]
    for word in STANDS:
        placed_CT = tokenizer([" ".join([word] * WORDS + [name]) for name in classes])
        alike_CM = placed_CT[:, first:end] == placed_CT[0, first]
        moved_CT = placed_CT[:, end:] == names_CT[:, first : length - WORDS]
        whole_CT = moved_CT | ~own_CT | cut_C[:, None]
        if bool(alike_CM.all()) and bool(whole_CT.all()):
            return placed_CT, first, int(cut_C.sum())
    raise UserError(
        where, "finds no word that is one token of the model's", "Leave the task out"
    )


def prompts_of(
    model: object, tokenizer: TokenMaker, classes: Sequence[str], where: str
) -> Prompts:
    """`prompts` of a model.

    Raises:
        UserError: its text tower cannot be learnt through, or as `prompts`.
    """
    if not isinstance(model, Clip):
        raise UserError(
            where,
            "learns through the text tower, and this model only runs (ONNX)",
            "Leave the task out, or name the model that was exported",
        )
    return prompts(model.text, tokenizer, classes, where)


def learn_words(texts: Prompts, shots: Shots) -> Adapted:
    """Learn the words before the names."""
    words_MD = torch.randn(WORDS, texts.width, generator=shots.random()) * SPREAD
    words_MD = words_MD.to(texts.stream_CTD.device).requires_grad_()

    def loss(rows: Tensor) -> Tensor:
        classes_CE = texts.features(words_MD).cpu()
        labels_M = shots.labels_M[rows]
        return cross_entropy(shots.images_ME[rows], classes_CE, labels_M, shots.scale)

    descend([words_MD], loss, shots, STEPS, RATE)
    with torch.no_grad():
        return Adapted(nn.Identity(), texts.features(words_MD).cpu())


@measures.register("coop")
def coop(encoder: Encoder, task: FewShotTask) -> Outcome:
    """Words before the classes' names.

    Raises:
        UserError: as `prompts_of`.
    """
    texts = prompts_of(encoder.model, encoder.tokenizer, task.classes, task.name)
    with evaluating(encoder.model):
        found = few_shots(encoder, task, partial(learn_words, texts))
    return replace(found, counts={**found.counts, "cut": texts.cut})
