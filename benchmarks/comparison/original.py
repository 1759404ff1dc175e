"""TinyCLIP as it was published (Wu et al., ICCV 2023, scripts `auto_*` of its code).

Settings are those of `recipes/vit-b-32-paper.yaml`: hinge penalty, gate learning rate
0.02, pure affinity at scale 50, AdamW with clip 5, weights' rate warmed up over all of
the mask learning and then a cosine from a cold optimiser; the teacher runs at every
step. What tinyclip has no setting for is written here: gates start at 10 (5 after
clamping), both multipliers start at 10 and climb with Adam at 0.02, LayerNorm sees the
open channels but is not gated, survivors keep their soft gate, and each stage learns
masks on the full-size model, zeros where units are gone (gates at -10).

What differs, and why: (1) a gate scales the rows of a weight instead of the activation
that they give: the same function. (2) The published count of survivors follows from the
gates alone; at 0.02 a step they need 250 steps to move at all, so that a shorter run
would leave a larger model. Here the most open units stay that meet the size asked for,
as in every other method. (3) Masks are learned in the same share of the steps as in the
other methods (published: 1 to 3 %, of 290,000 steps). (4) Units that are gone stay in
their place instead of moving behind those that are left: a permutation. (5) A layer
that loses all of its heads keeps its output's bias.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tinyclip.config.load import load_recipe
from tinyclip.config.schema import Recipe
from tinyclip.inherit.slicing import inherit, slice_named
from tinyclip.keep import ClipKeep, Keep, TowerKeep, keep_to_dict
from tinyclip.losses.sparsity import Multipliers
from tinyclip.masks.choose import choose
from tinyclip.masks.gates import Gates
from tinyclip.model.block import Norm
from tinyclip.model.clip import Clip
from tinyclip.model.store import load_model
from tinyclip.pipeline.context import on_cpu
from tinyclip.pipeline.handover import Progress
from tinyclip.pipeline.phases import distil
from tinyclip.pipeline.phases.learn import LearnPhase
from tinyclip.pipeline.stage_context import StageContext
from tinyclip.shapes import TOWERS
from tinyclip.sites import GROUPS

from .cells import LEARNING, Cell
from .job import Job, store

PAPER = "vit-b-32-paper"
PRESENT, ABSENT = 10.0, -10.0  # gates at the start of a stage
MULTIPLIER = 10.0
SLOPE = 1.2  # of the soft gate that a survivor keeps: 0.8 / temperature


def recipe(base: Recipe, cell: Cell) -> Recipe:
    """The published stages at the base's batch, each with a third of the steps."""
    paper = load_recipe(PAPER).stages
    counts = [cell.steps // len(paper)] * (len(paper) - 1)
    counts.append(cell.steps - sum(counts))
    stages = []
    for number, (stage, steps) in enumerate(zip(paper, counts, strict=True), start=1):
        learning = max(1, round(LEARNING * steps))
        rate = cell.rate or stage.distil.optim.lr
        slow = replace(stage.learn.optim, lr=rate, warmup=learning)
        fast = replace(stage.distil.optim, lr=rate)
        target = 1 - number * (1 - cell.target) / len(paper)
        stages.append(
            replace(
                stage,
                batch=base.stages[0].batch,
                target=cell.target if number == len(paper) else round(target, 10),
                learn=replace(stage.learn, steps=learning, optim=slow),
                distil=replace(
                    stage.distil, steps=max(1, steps - learning), optim=fast
                ),
            )
        )
    return replace(base, cache_teacher="never", stages=tuple(stages))


class PublishedNorm(Norm):
    """LayerNorm over the open channels, its weight and bias as they are."""

    def forward(self, x: Tensor, embed_D: Tensor | None) -> Tensor:
        if embed_D is None:
            return super().forward(x, embed_D)
        open_D = (embed_D > 0).to(x.dtype)
        share_D = open_D / open_D.sum().clamp(min=1)
        centred = (x - (x @ share_D).unsqueeze(-1)) * open_D
        variance = (centred.square() @ share_D).unsqueeze(-1)
        normal = centred * torch.rsqrt(variance + self.eps)
        return (normal * self.weight + self.bias) * open_D


class PublishedMultipliers(Multipliers):
    """Both from 10, by gradient ascent with Adam: while the size is above what is
    wanted they grow by about the rate at each step, and they never fall."""

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        self.lambda_.fill_(MULTIPLIER)
        self.beta.fill_(MULTIPLIER)
        self.moments: Tensor
        self.register_buffer("moments", torch.zeros(2, 2, dtype=torch.float64))
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def ascend(self, gap: Tensor | float) -> None:
        """A step of Adam, up the slopes max(p-q, 0) and max(p-q, 0)^2."""
        over = torch.as_tensor(gap, dtype=torch.float64).clamp(min=0)
        slope = torch.stack([over, over.square()])
        self.steps += 1
        for moment, value, keep in zip(
            self.moments, (slope, slope.square()), (0.9, 0.999), strict=True
        ):
            moment.mul_(keep).add_((1 - keep) * value)
        first = self.moments[0] / (1 - 0.9**self.steps)
        second = self.moments[1] / (1 - 0.999**self.steps)
        step = self.lr * first / (second.sqrt() + 1e-8)
        self.lambda_ += step[0]
        self.beta += step[1]


def run(job: Job) -> Path:
    """Three stages, each from the full size; a stage that is whole is not redone."""
    context = job.context()
    full = context.base.model
    padded, alive, start, samples = full, None, 1.0, 0
    stages = job.stages(context)
    for stage in stages:
        folder = stage.folder
        if folder.done() is None:
            progress = Progress(with_published_norms(padded), samples)
            gates = learn(stage, progress, alive, start)
            kept = with_soft_gates(choose(gates, stage.goal), gates)
            progress.model = cut(progress.model, kept)
            distil.run(stage, progress)
            folder.write("keep.json", keep_to_dict(kept))
            store(stage, progress.model, progress.samples)
        done, kept_here = folder.done(), folder.keep()
        assert done is not None and kept_here is not None
        alive, samples, start = kept_here, done["samples"], stage.goal.target
        padded = zero_padded(load_model(folder.model).model, alive, full)
    return stages[-1].folder.model


def learn(
    stage: StageContext, progress: Progress, alive: ClipKeep | None, start: float
) -> Gates:
    """The mask learning of one stage; leaves the weights in `progress`.

    Args:
        alive: what earlier stages have left; None for all.
        start: share of the whole that those were to leave.
    """
    stage.match_scale(progress.model)
    shape, settings = progress.model.shape, stage.settings.learn
    gates = Gates(shape, stage.settings.sites, stage.goal.towers)
    begin(gates, alive)
    phase = LearnPhase(
        progress.model,
        gates,
        stage.teacher(settings),
        stage.engine,
        settings,
        start,
        stage.goal,
        stage.noise_seed,
        stage.student(progress),
    )
    multipliers = PublishedMultipliers(settings.multiplier_lr)
    phase.multipliers = stage.engine.place(multipliers)
    stage.train(phase, progress)
    progress.model = on_cpu(phase.model)
    return phase.mask.cpu()


@torch.no_grad()
def begin(gates: Gates, alive: ClipKeep | None) -> None:
    """Gates where a stage starts with them."""
    for name, alpha_U in gates.alpha.items():
        alpha_U.fill_(PRESENT)
        if alive is None:
            continue
        parts = alpha_U.split(gates.layout[name])
        for part, keep in zip(parts, units_of(alive, name), strict=True):
            gone = sorted(set(range(keep.total)) - set(keep.kept))
            part[gone] = ABSENT


def units_of(keep: ClipKeep, name: str) -> tuple[Keep, ...]:
    """The survivors of a site, by its full name."""
    group = GROUPS[name]
    return keep.towers()[group.tower][group.key]


def with_soft_gates(keep: ClipKeep, gates: Gates) -> ClipKeep:
    """Survivors with the deterministic gate that the published code folds in."""
    units: dict[str, dict[str, tuple[Keep, ...]]] = {name: {} for name in TOWERS}
    for name, alpha_U in gates.alpha.items():
        group = GROUPS[name]
        soft = torch.sigmoid(SLOPE * alpha_U.detach()).split(gates.layout[name])
        units[group.tower][group.key] = tuple(
            replace(kept, scale=tuple(float(part[i]) for i in kept.kept))
            for kept, part in zip(units_of(keep, name), soft, strict=True)
        )
    towers = keep.towers()
    return ClipKeep(
        **{
            n: TowerKeep({**towers[n].units, **units[n]}, towers[n].layers)
            for n in TOWERS
        }
    )


def with_published_norms(model: Clip) -> Clip:
    """A copy whose LayerNorms are the published ones; its weights have the same
    names."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if type(module) is Norm:
            module.__class__ = PublishedNorm  # nothing but forward differs
    return model


@torch.no_grad()
def cut(model: Clip, keep: ClipKeep) -> Clip:
    """The survivors, soft: what writes into the stream is scaled by their gates, and of
    the norms the last alone (published: the projection's rows, which is the same)."""
    student = inherit(model, keep)
    for name, tower in (("image", student.image), ("text", student.text)):
        embed = keep.towers()[name].sole("embed")
        if embed is None:
            continue
        scale_D = torch.tensor(embed.scales)
        norms = {id(m): m for m in tower.modules() if isinstance(m, Norm)}
        last = tower.norm_post if name == "image" else tower.norm_final
        del norms[id(last)]
        for norm in norms.values():
            norm.weight /= scale_D
            norm.bias /= scale_D
    return student


@torch.no_grad()
def zero_padded(student: Clip, keep: ClipKeep, full: Clip) -> Clip:
    """The student at the size of the whole model, zeros where units are gone."""
    numbers = {
        name: torch.arange(value.numel(), dtype=torch.float64).view(value.shape)
        for name, value in full.named_parameters()
    }
    places = slice_named(numbers, keep, full.shape, power=0)
    padded = copy.deepcopy(full)
    small = dict(student.named_parameters())
    for name, value in padded.named_parameters():
        value.zero_()
        value.view(-1)[places[name].long().flatten()] = small[name].flatten()
    return padded
