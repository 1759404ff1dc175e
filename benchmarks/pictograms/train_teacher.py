"""Train the built-in teacher on a prepared set (torch and safetensors alone).

    python train_teacher.py train.safetensors --out DIR [--resume | --start WEIGHTS]

The learning rate is constant and falls over the last `--fall` steps. While it is
constant, states of one run and of a longer one are the same: any of them can be gone on
from, or made to fall (`--resume STATE --out OTHER --steps S --fall F`).
"""

# B batch, E joint embedding

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from small_clip import SmallClip
from teacher_data import Batch, Mix, Pool
from teacher_eval import Judge
from torch import Tensor, nn
from torch.nn import functional as F

MODEL = {
    "embed_dim": 192,
    "vision_cfg": {
        "image_size": 64,
        "layers": 6,
        "width": 192,
        "patch_size": 16,
        "head_width": 48,
        "mlp_ratio": 4.0,
    },
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 8192,
        "width": 192,
        "heads": 4,
        "layers": 4,
        "mlp_ratio": 4.0,
    },
}
KEPT_STATES = 3


@dataclass(frozen=True)
class Plan:
    """Everything that decides the weights."""

    steps: int = 5000
    fall: int = 1500
    warmup: int = 200
    lr: float = 1e-3
    weight_decay: float = 0.1
    concepts: int = 64
    views: int = 2
    emoji_share: float = 0.8
    image_image: float = 0.5
    strength: float = 1.0
    ema: float = 0.999
    seed: int = 0

    @property
    def mix(self) -> Mix:
        parts = self.concepts, self.views, self.emoji_share, self.seed
        return Mix(*parts, self.strength)

    def rate(self, step: int) -> float:
        """The learning rate: warm-up, constant, then down to a hundredth."""
        left = (self.steps - step) / self.fall if self.fall else 1.0
        return self.lr * min(1.0, (step + 1) / self.warmup, max(0.01, left))


def contrast(scores_BB: Tensor, also_right_BB: Tensor) -> Tensor:
    """InfoNCE both ways; what would be right too counts for nothing."""
    own_B = torch.arange(len(scores_BB), device=scores_BB.device)
    also_right_BB = also_right_BB.clone().fill_diagonal_(False)
    scores_BB = scores_BB.masked_fill(also_right_BB, -math.inf)
    return (F.cross_entropy(scores_BB, own_B) + F.cross_entropy(scores_BB.T, own_B)) / 2


def loss_of(clip: SmallClip, batch: Batch, plan: Plan) -> Tensor:
    """Image-text terms, one a view, and image-image terms, one a pair of views."""
    views = clip.encode_image(batch.images_VCSS).chunk(plan.views)
    texts_BE = clip.encode_text(batch.tokens_BN)
    scale, fits_BB = clip.logit_scale.exp(), batch.fits_BB
    terms = [contrast(scale * view @ texts_BE.T, fits_BB.T) for view in views]
    total = torch.stack(terms).mean()
    if plan.views > 1 and plan.image_image:
        alike_BB = fits_BB | fits_BB.T
        pairs = [
            contrast(scale * one @ other.T, alike_BB)
            for one, other in combinations(views, 2)
        ]
        total = total + plan.image_image * torch.stack(pairs).mean()
    return total


def make_optimizers(clip: SmallClip, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the rest, of which matrices decay.

    Muon's steps are scaled to the size of AdamW's, so that one learning rate serves
    both (Liu et al. 2025, arXiv:2502.16982). Four turns of its iteration do.
    """
    blocks, decays, rest = [], [], []
    for name, parameter in clip.named_parameters():
        if parameter.ndim < 2 or "embedding" in name:
            rest.append(parameter)
        elif "resblocks" in name:
            blocks.append(parameter)
        else:
            decays.append(parameter)
    groups = [
        {"params": decays, "weight_decay": plan.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return [
        torch.optim.Muon(
            blocks,
            lr=plan.lr,
            weight_decay=plan.weight_decay,
            ns_steps=4,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(groups, lr=plan.lr, betas=(0.9, 0.98), eps=1e-6, fused=True),
    ]


class Run:
    """A training run: its state, its folder and its clock."""

    def __init__(self, data: dict[str, Tensor], plan: Plan, out: Path) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.out = plan, out
        self.device = data["pictures"].device.type
        self.pool, self.judge = Pool(data), Judge(data, self.device)
        self.clip = SmallClip(MODEL).to(self.device)
        self.optimizers = make_optimizers(self.clip, plan)
        self.average = self._copy()
        self.step, self.seconds, self.loss = 0, 0.0, 0.0

    def _copy(self) -> dict[str, Tensor]:
        return {n: v.detach().clone() for n, v in self.clip.state_dict().items()}

    def start_from(self, weights: Path) -> None:
        """Weights with open_clip's names instead of random ones."""
        self.clip.load_state_dict(load_file(weights, device=self.device))
        self.average = self._copy()

    def train_step(self) -> None:
        """One optimizer step and one of the average."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.plan.rate(self.step)
        batch = self.pool.batch(self.step, self.plan.mix)
        with torch.autocast(self.device, torch.bfloat16):
            loss = loss_of(self.clip, batch, self.plan)
        self.clip.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.clip.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        # Young averages follow fast: the random start must not stay in them.
        keep = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            self.clip.logit_scale.clamp_(0, math.log(100))
            for name, value in self.clip.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        weight = 0.02 if self.step else 1.0
        self.loss += weight * (loss.item() - self.loss)
        self.step += 1

    def log(self) -> dict[str, object]:
        """Measure the weights and their average, and append a line."""
        plan = self.plan
        averaged = SmallClip(MODEL).to(self.device)
        averaged.load_state_dict(self.average)
        line = {
            "step": self.step,
            "seconds": round(self.seconds),
            "pictures": self.step * plan.concepts * plan.views,
            "loss": round(self.loss, 4),
            "raw": self.judge.measure(self.clip),
            "ema": self.judge.measure(averaged),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return line

    def save(self, name: str) -> None:
        """Write the whole state beside and rename it; three numbered ones stay."""
        state = {
            "clip": self.clip.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "counters": [self.step, self.seconds, self.loss],
        }
        draft = self.out / f"{name}.part"
        torch.save(state, draft)
        draft.replace(self.out / name)
        for old in sorted(self.out.glob("state-*.pt"))[:-KEPT_STATES]:
            old.unlink()

    def load(self, path: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.clip.load_state_dict(state["clip"])
        pairs = zip(self.optimizers, state["optimizers"], strict=True)
        for optimizer, saved in pairs:
            optimizer.load_state_dict(saved)
        self.average = state["average"]
        self.step, self.seconds, self.loss = state["counters"]

    def train(self, every: int, saves: int) -> dict[str, object]:
        """To the last step; a measurement and a state every so many; the last one."""
        line: dict[str, object] = {}
        while self.step < self.plan.steps:
            began = time.process_time()
            self.train_step()
            self.seconds += time.process_time() - began
            last = self.step == self.plan.steps
            if self.step % every == 0 or last:
                line = self.log()
            if self.step % saves == 0 or last:
                self.save(f"state-{self.step:08d}.pt")
        for name, weights in (("raw", self.clip.state_dict()), ("ema", self.average)):
            whole = {key: value.contiguous().cpu() for key, value in weights.items()}
            save_file(whole, self.out / f"{name}.safetensors")
        return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        *("--resume", "-r"), nargs="?", const="", help="a state, or OUT's last one"
    )
    parser.add_argument("--start", type=Path, help="weights with open_clip's names")
    parser.add_argument("--every", type=int, default=1000, help="steps a measurement")
    parser.add_argument("--saves", type=int, default=1000, help="steps a state")
    parser.add_argument("--threads", type=int, default=2)
    for name, value in asdict(Plan()).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(**{name: getattr(args, name) for name in asdict(Plan())})
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(load_file(args.data, device=device), plan, args.out)
    if args.start:
        run.start_from(args.start)
    if args.resume is not None:
        states = sorted(args.out.glob("state-*.pt"))
        if args.resume or states:
            run.load(Path(args.resume) if args.resume else states[-1])
    (args.out / "plan.json").write_text(json.dumps(asdict(plan), indent=1) + "\n")
    print(json.dumps(run.train(args.every, args.saves)))


if __name__ == "__main__":
    main()
