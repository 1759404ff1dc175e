"""The closed form in float64, in one of several processes, each with its own pairs.

The tests launch it:

    python in_processes.py OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from towers import (  # type: ignore[import-not-found]  # noqa: E402
    Pairs,
    noisy,
    plain_shape,
    some_pairs,
)

from tinyclip.data.batch import Batch  # noqa: E402
from tinyclip.goal import SizeGoal  # noqa: E402
from tinyclip.inherit.carried import carried  # noqa: E402
from tinyclip.inherit.rotate import rotate  # noqa: E402
from tinyclip.inherit.search import Search  # noqa: E402
from tinyclip.inherit.solve import solve  # noqa: E402
from tinyclip.keep import ClipKeep, keep_to_dict  # noqa: E402
from tinyclip.model.clip import Clip  # noqa: E402
from tinyclip.pipeline.phases.allocate import MimicJudge  # noqa: E402
from tinyclip.shapes import BlockShape  # noqa: E402
from tinyclip.training.engine import Engine  # noqa: E402

DOUBLE = torch.float64
SITES = ("dims", "ffn", "embed")


def teacher() -> Clip:
    block = BlockShape(heads=2, ffn=60)
    return noisy(plain_shape(width=16, blocks=(block, block)), dtype=DOUBLE)


def batch_of(pairs: Pairs) -> Batch:
    rows = torch.arange(len(pairs))
    return Batch(rows, torch.zeros_like(rows), pairs.pixels, pairs.tokens_BT)


def closed_form(engine: Engine) -> tuple[dict[str, Tensor], str]:
    """All of it on this process's share of 32 pairs; tensors by name, and the keep."""
    whole, held_out = some_pairs(32, dtype=DOUBLE), some_pairs(32, 1, DOUBLE)
    share = 32 // engine.world
    rows = torch.arange(engine.rank * share, (engine.rank + 1) * share)
    mine = [Pairs(whole.pixels[rows], whole.tokens_BT[rows])]
    turned = rotate(teacher(), mine, engine.summed)
    with torch.no_grad():  # what each solved for itself may differ in its last digits
        turned.model.text.position += 1e-9 * engine.rank
    model = engine.shared(turned.model)
    scores = carried(model, mine, engine.summed)
    judge = MimicJudge(teacher(), [batch_of(held_out)], engine)

    def make(keep: ClipKeep) -> Clip:
        return solve(model, keep, mine, reduce=engine.summed).model

    search = Search(model, scores, make, judge, SITES)
    keep, _ = search.best(SizeGoal(0.6).against(model.shape), tries=3)
    student = engine.shared(make(keep))
    tensors = {f"turned.{n}": v for n, v in model.state_dict().items()}
    tensors |= {f"student.{n}": v for n, v in student.state_dict().items()}
    tensors |= {f"score.{n}": v for n, v in scores.items()}
    tensors |= {f"spectrum.{n}": v for n, v in turned.spectra.items()}
    return tensors, json.dumps(keep_to_dict(keep), sort_keys=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    engine = Engine()
    tensors, keep = closed_form(engine)
    out = {name: value.contiguous() for name, value in tensors.items()}
    save_file(out, f"{sys.argv[1]}-{engine.rank}.safetensors", {"keep": keep})
