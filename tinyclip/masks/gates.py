"""The learnable openness of every unit of a CLIP.

Legend: U units of one tower and site (those of all layers one after the other).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..model.clip import Clip
from ..model.gating import ClipGates, TowerGates
from ..shapes import TOWERS, ClipShape
from ..sites import GROUPS, SITES, USUAL
from . import gate
from .sites import layout

SPREAD = 1.0  # logits that one standard deviation of importance is worth at the start


class Gates(nn.Module):
    """One logit alpha a unit, in a flat vector a tower and site.

    Pass it to a model's forward, which asks it for a fresh sample:
    `model(pixels, tokens, gates=gates)`.

    Args:
        model: the CLIP that is gated, or its shape. Nothing is attached to it.
        sites: which sites are gated; the others are left as they are.
        towers: which towers are gated.
        pool: gate the heads and ffn units of an attention pool too. It stays whole in
            a ragged student; a uniform one cuts it like every layer.

    Raises:
        UserError: a site or tower does not exist.
    """

    def __init__(
        self,
        model: Clip | ClipShape,
        sites: Sequence[str] = USUAL,
        towers: Sequence[str] = TOWERS,
        pool: bool = False,
    ) -> None:
        super().__init__()
        self.shape = model.shape if isinstance(model, Clip) else model
        self.layout = layout(self.shape, sites, towers, pool)
        self.sites = tuple(site for site in SITES if site in sites)
        self.alpha = nn.ParameterDict(
            {name: torch.zeros(sum(units)) for name, units in self.layout.items()}
        )
        self.init_constant(0.95)
        if isinstance(model, Clip):
            self.to(model.logit_scale.device)

    def forward(self) -> ClipGates:
        return self.sample()

    def sample(self, generator: torch.Generator | None = None) -> ClipGates:
        """Soft gates under fresh noise, differentiable in alpha.

        Args:
            generator: the only source of the noise, if given; the sites draw from it in
                the order of their names.
        """

        def draw(alpha_U: Tensor) -> Tensor:
            u_U = gate.draw_noise(len(alpha_U), generator, alpha_U)
            return gate.sample(alpha_U, u_U)

        return self._assemble(draw)

    @torch.no_grad()
    def clamp_(self) -> None:
        """Bring alpha back into ±ln 100; call it after every optimiser step."""
        for alpha_U in self.alpha.values():
            alpha_U.clamp_(-gate.LIMIT, gate.LIMIT)

    def open_probability(self) -> dict[str, Tensor]:
        """P(z > 0) of every unit by site, each (U,), differentiable."""
        return {name: gate.open_probability(a_U) for name, a_U in self.alpha.items()}

    @torch.no_grad()
    def hardened_values(self) -> dict[str, Tensor]:
        """What each unit's gate is if the unit is kept, by site, each (U,)."""
        return {name: gate.hardened(a_U) for name, a_U in self.alpha.items()}

    @torch.no_grad()
    def init_constant(self, open_probability: float) -> Gates:
        """The same openness everywhere (within the clamped range); returns self."""
        for alpha_U in self.alpha.values():
            alpha_U.fill_(gate.alpha_of(open_probability))
        return self

    @torch.no_grad()
    def init_from_scores(
        self, scores: Mapping[str, Tensor], mean_open: float, spread: float = SPREAD
    ) -> Gates:
        """Start from an importance: its z-score per tower and site, moved so far that
        the mean open probability of the site is `mean_open`; returns self.

        Args:
            scores: one score a unit, (U,), by site name; more is more important.

        Raises:
            UserError: a gated site has no scores, or not one a unit.
        """
        for name, alpha_U in self.alpha.items():
            if name not in scores or scores[name].shape != alpha_U.shape:
                raise UserError("scores", f"need {len(alpha_U)} values for {name!r}")
            alpha_U.copy_(_shifted(spread * zscore(scores[name]), mean_open))
        return self

    def _assemble(self, values: Callable[[Tensor], Tensor]) -> ClipGates:
        towers: dict[str, dict[str, tuple[Tensor, ...]]] = {n: {} for n in TOWERS}
        for name, alpha_U in self.alpha.items():
            group = GROUPS[name]
            parts = values(alpha_U).split(self.layout[name])
            towers[group.tower][group.key] = parts
        return ClipGates(*(TowerGates(towers[name]) for name in TOWERS))


def zscore(score_U: Tensor) -> Tensor:
    """Scores as standard deviations from their mean; all alike gives zeros."""
    wide_U = score_U.double()
    centred_U = wide_U - wide_U.mean()
    std = centred_U.square().mean().sqrt()
    # rounding of equal scores is no importance
    noise = 1e-12 * wide_U.abs().max() if len(wide_U) else std
    return centred_U / std if std > noise else torch.zeros_like(wide_U)


def _shifted(logit_U: Tensor, mean_open: float) -> Tensor:
    """The clamped logits moved by one constant so that their mean openness is given."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        alpha_U = (logit_U + middle).clamp(-gate.LIMIT, gate.LIMIT)
        below = bool(gate.open_probability(alpha_U).mean() < mean_open)
        low, high = (middle, high) if below else (low, middle)
    return (logit_U + high).clamp(-gate.LIMIT, gate.LIMIT)
