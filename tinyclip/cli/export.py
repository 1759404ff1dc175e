"""`tinyclip export`: a model in another format, checked before it is there."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..formats.onnx.export import Measure, Measured
    from ..formats.parity import Probe
    from ..model.store import Loaded

FORMATS = ("safetensors", "openclip", "huggingface", "onnx")
PRECISIONS = ("fp32", "fp16", "int8")
DTYPES = {"fp16": "float16", "bf16": "bfloat16"}
DATA = "builtin:pictograms"
CALIBRATE = 128  # pairs that give int8 its ranges
# an option, and the one format that has it
ONLY_FOR = {"precision": "onnx", "dtype": "safetensors"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model directory, a run, or a source")
    add("--to", required=True, choices=FORMATS, help="the format")
    add(
        "--precision",
        choices=PRECISIONS,
        help="of --to onnx; default: fp32; int8 is calibrated on --data",
    )
    add("--dtype", choices=tuple(DTYPES), help="of --to safetensors; default: float32")
    add("--out", type=Path, metavar="DIR", help="default: MODEL-FORMAT")
    add(
        "--data",
        metavar="SOURCE",
        default=DATA,
        help=f"pairs to compare the two models on; {DATA}; `random` makes noise",
    )
    add("--json", action="store_true", help="one JSON object on stdout")


def default_out(model: str, to: str) -> Path:
    """`demo-openclip` for `runs/demo`, `runs/demo/model` or `run:runs/demo`."""
    words = [w for w in re.split(r"[/:@]+", model) if w not in ("", ".", "..", "model")]
    return Path(f"{words[-1] if words else 'model'}-{to}")


def check_options(args: argparse.Namespace) -> None:
    """Refuse an option that another format has.

    Raises:
        UserError: there is one.
    """
    for option, to in ONLY_FOR.items():
        if getattr(args, option) is not None and args.to != to:
            raise UserError(
                f"--{option}",
                f"is for --to {to}, not for --to {args.to}",
                "Leave it out",
            )


def run(args: argparse.Namespace) -> int:
    """Write beside, load again, compare, then put in place.

    Raises:
        UserError: the model cannot be read or exported, or the folder is in use.
        TinyclipError: what was written is not the same model.
    """
    check_options(args)
    from ..formats.folder import check_free

    out = args.out or default_out(args.model, args.to)
    check_free(out)  # before anything is loaded
    if args.to == "onnx":
        from ..formats.onnx.graph import require_packages

        require_packages()
    from ..formats.source import beside, load_source

    loaded = load_source(args.model, "MODEL")
    found = _export(
        args,
        loaded,
        out,
        certificate=beside(args.model, "certificate.json"),
        metrics=beside(args.model, "metrics.json"),
    )
    if args.json:
        from .show import print_json

        print_json({"model": args.model, "out": str(out), "parity": found})
        return 0
    _show(out, found)
    return 0


def _export(
    args: argparse.Namespace, loaded: Loaded, out: Path, **known: Any
) -> dict[str, Any]:
    """Call the exporter of the format."""
    from ..formats.parity import probe_of

    if args.to == "safetensors":
        from ..formats.safetensors import export_safetensors

        dtype = DTYPES.get(args.dtype, "float32")
        probe = probe_of(args.data)
        return export_safetensors(loaded, out, probe, dtype=dtype, **known)
    if args.to == "openclip":
        from ..formats.openclip.export import export_openclip

        return export_openclip(loaded, out, probe_of(args.data), **known)
    if args.to == "huggingface":
        from ..formats.huggingface.export import export_huggingface

        return export_huggingface(loaded, out, probe_of(args.data), **known)
    from ..formats.onnx.export import export_onnx

    precision = args.precision or "fp32"
    probe, others = probe_of(args.data), None
    if precision == "int8":
        probe, others = apart(args.data)
    return export_onnx(
        loaded,
        out,
        probe,
        precision=precision,
        calibration=others,
        measure=measure_on(args.data, loaded),
        **known,
    )


def apart(source: str) -> tuple[Probe, Probe | None]:
    """Pairs to compare on, and others to calibrate on; few pairs do both.

    Raises:
        UserError: the source cannot be opened, or has too few whole pairs.
    """
    from ..formats.parity import COUNT, RANDOM, Probe, random_probe, real_probe

    count = COUNT + CALIBRATE
    both = random_probe(count) if source == RANDOM else real_probe(source, count)
    if len(both) < count:
        return both, None
    every = count // COUNT
    held = [i for i in range(count) if i % every == 0]
    rest = [i for i in range(count) if i % every]

    def part(rows: list[int]) -> Probe:
        images, captions = both.images, both.captions
        return Probe(
            source, tuple(images[i] for i in rows), tuple(captions[i] for i in rows)
        )

    return part(held), part(rest)


def measure_on(source: str, loaded: Loaded) -> Measure | None:
    """How to tell the quality of a model on the data's test pairs.

    Retrieval where the data offers it, else its zero-shot tasks; noise offers nothing.

    Raises:
        UserError: the source cannot be opened.
    """
    from ..config.schema import Data
    from ..data.tasks import RetrievalTask, tasks_of
    from ..evaluation.suite import evaluate
    from ..formats.parity import RANDOM

    if source == RANDOM:
        return None
    tasks = tasks_of(Data(source=source))  # on 2,000 held-out pairs at most
    tasks = [one for one in tasks if isinstance(one, RetrievalTask)] or tasks

    def measure(model: Any) -> Measured:
        names = ", ".join(task.name for task in tasks)
        kind = "the export" if model is not loaded else "the model"
        print(f"measuring {kind} on {names} ...", file=sys.stderr, flush=True)
        found = evaluate(model, tasks)
        values: dict[str, float] = {}
        for name, result in found.items():
            values[f"{name} {result['metric']}"] = result["value"]
            other = result["also"].get("text_to_image_r1")
            if other is not None:
                values[f"{name} text_to_image_r1"] = other
        return values, min(result["n"] for result in found.values())

    return measure


def _show(out: Path, found: dict[str, Any]) -> None:
    inputs = "random pairs" if found["inputs"] == "random" else "real pairs"
    cosine = found.get("cosine")
    if cosine is None:
        words = f"its features differ by at most {found['max_abs_diff']:.1e}"
    else:
        words = (
            f"its features have a cosine of at least {cosine['image']:.5f} (image) and "
            f"{cosine['text']:.5f} (text)"
        )
    print(f"{out}: loaded again, and {words} on {found['n']} {inputs}")
    if tasks := found.get("tasks"):
        for name, value in tasks["ours"].items():
            print(
                f"{name}: {100 * value:.1f}, exported {100 * tasks['onnx'][name]:.1f}"
            )
    print(LOAD[found["format"]].format(out=out))


LOAD = {
    "safetensors": 'Load it: model, preprocess, tokenizer = tinyclip.load("{out}")',
    "openclip": "Load it: open_clip.create_model_and_transforms('local-dir:{out}')",
    "huggingface": "Load it: transformers.AutoModel.from_pretrained('{out}'), as its "
    "README.md says",
    "onnx": "Run it: onnxruntime.InferenceSession('{out}/image.onnx'), as its "
    "README.md says",
}
