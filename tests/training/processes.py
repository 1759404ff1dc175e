"""Twenty steps of a phase in float64, in one of several processes.

The tests launch it:

    python processes.py PHASE OUT
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from tinyclip.config.objectives import Losses, Strategies
from tinyclip.config.schema import Distil, Learn, Optim
from tinyclip.data.batch import Batch, Unpaired, UnpairedPictures, UnpairedTexts
from tinyclip.goal import SizeGoal
from tinyclip.masks.gates import Gates
from tinyclip.model.clip import Clip
from tinyclip.pipeline.phases.distil import DistilPhase
from tinyclip.pipeline.phases.learn import LearnPhase
from tinyclip.shapes import BlockShape, ClipShape, ImageShape, TextShape
from tinyclip.training.engine import Engine
from tinyclip.training.needs.provider import Offered
from tinyclip.training.phase import Student, TrainingPhase
from tinyclip.training.step import backward
from tinyclip.training.strategies import strategies
from tinyclip.training.teacher.beside import Beside
from tinyclip.training.teacher.live import LiveTeacher
from tinyclip.training.unpaired import UnpairedTeacher

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from learnable import registered  # type: ignore[import-not-found]  # noqa: E402
from made import MadePairs, made_loader  # type: ignore[import-not-found]  # noqa: E402

STEPS, SIZE, PAIRS = 20, 8, 12
UNPAIRED = 4, 10  # pictures and texts of a step
SHAPE = ClipShape(
    embed_dim=6,
    image=ImageShape(
        width=12,
        head_width=3,
        blocks=(BlockShape(heads=4, ffn=16), BlockShape(heads=2, ffn=9)),
        image_size=8,
        patch_size=4,
    ),
    text=TextShape(
        width=8,
        head_width=2,
        blocks=(BlockShape(heads=4, ffn=10),) * 2,
        context_length=5,
        vocab_size=20,
    ),
)


OPTIM = Optim(lr=1e-2, warmup=2)
LOSSES: Losses = {"mimic": 1.0, "contrastive": 0.5, "feature": 0.5}


def random_clip(shape: ClipShape, seed: int) -> Clip:
    model, generator = Clip(shape).double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(
                parameter.shape, generator=generator, dtype=torch.float64
            )
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_norm else 0.2 * noise)
        model.logit_scale.fill_(2.0)
    return model


class Looked(LiveTeacher):
    """One whose features of other pictures can be looked up, as in a cache."""

    def pictures(self, rows: Sequence[int]) -> Tensor:
        draw = torch.Generator().manual_seed(9)
        size = PAIRS, self.model.shape.embed_dim
        features = torch.randn(*size, generator=draw, dtype=torch.float64)
        return F.normalize(features, dim=-1)[list(rows)]


def make_phase(kind: str, shape: ClipShape, engine: Engine) -> TrainingPhase:
    """`KIND` with the usual objectives, `KIND+NAME+...` with more of them; `projected`
    is one that the tests made, `several` is three teachers in place of one, and NAME
    may be a strategy; with `unpaired` a step sees more than pairs."""
    kind, *added = kind.split("+")
    how: Strategies = {name: {} for name in added if name in strategies}
    names = [n for n in added if n not in {"several", "unpaired", *how}]
    losses = {**LOSSES, **dict.fromkeys(names, 0.5)}
    with registered() if "projected" in added else nullcontext():
        phase = phase_of(kind, shape, engine, losses, how)
    if "several" in added:
        others = (LiveTeacher(random_clip(shape, s), engine, None) for s in (2, 3))
        always, assistant = (UnpairedTeacher.live(one) for one in others)
        phase.beside = Beside((always,), (assistant,), 0.5, seed=5)
    if "unpaired" in added:
        live = cast(LiveTeacher, phase.teacher)
        phase.teacher = UnpairedTeacher.live(live)
    return phase


def phase_of(
    kind: str,
    shape: ClipShape,
    engine: Engine,
    losses: Losses,
    how: Strategies | None = None,
) -> TrainingPhase:
    student, teacher = random_clip(shape, 0), random_clip(shape, 1)
    live = Looked(teacher, engine, None)
    loader = made_loader(SHAPE, PAIRS, SIZE)
    offered = Offered(engine, loader, live, lambda: live, seed=5)
    if kind == "distil":
        settings = Distil(steps=20, optim=OPTIM, losses=losses, strategies=how or {})
        return DistilPhase(student, live, engine, settings, Student(), offered)
    gates = Gates(shape).double()
    goal = SizeGoal(0.5, reference=30_000)
    learn = Learn(steps=20, optim=OPTIM, losses=losses, strategies=how or {})
    goal_of = 1.0, goal, 3, Student(), offered
    return LearnPhase(student, gates, live, engine, learn, *goal_of)


def make_batch(shape: ClipShape, size: int, step: int) -> Batch:
    """The batch of a step: the same in every process."""
    generator = torch.Generator().manual_seed(step)
    side, text = shape.image.image_size, shape.text
    pixels = torch.randn(size, 3, side, side, generator=generator)
    ids = torch.randint(
        0, text.vocab_size, (size, text.context_length), generator=generator
    )
    rows = torch.arange(size)
    texts = (MadePairs(PAIRS).captions(row) for row in range(size))
    captions = tuple(text[step % len(text)] for text in texts)
    return Batch(rows, torch.zeros_like(rows), pixels, ids, captions)


def make_unpaired(shape: ClipShape, step: int, engine: Engine) -> Unpaired:
    """What this process sees of a step beside its pairs."""
    batches = (make_batch(shape, size, 1000 * size + step) for size in UNPAIRED)
    images, texts = (
        batch.rows(torch.arange(len(batch)).chunk(engine.world)[engine.rank])
        for batch in batches
    )
    return Unpaired(
        UnpairedPictures(images.index_B, images.augmentation_B, images.pixels),
        UnpairedTexts(texts.index_B, texts.tokens_BT),
    )


def train(phase: TrainingPhase, engine: Engine, pieces: int = 1) -> list[float]:
    """Losses of the steps; the phase is trained."""
    losses = []
    # of both halves its part, as `dlb` has them
    mine = torch.arange(SIZE).view(2, engine.world, -1)[:, engine.rank].flatten()
    for step in range(STEPS):
        batch = make_batch(SHAPE, SIZE, step).rows(mine)
        if isinstance(phase.teacher, UnpairedTeacher):
            batch = replace(batch, unpaired=make_unpaired(SHAPE, step, engine))
        phase.optimizer.set_lr_share(1.0)
        loss, _ = backward(phase, batch, step, engine, pieces)
        assert engine.update(phase.optimizer)
        phase.after()
        losses.append(float(loss))
    return losses


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine = Engine()
    phase = make_phase(sys.argv[1], SHAPE, engine)
    losses = train(phase, engine)
    tensors = {**phase.tensors(), "losses": torch.tensor(losses, dtype=torch.float64)}
    save_file(tensors, f"{sys.argv[2]}-{engine.rank}.safetensors")
