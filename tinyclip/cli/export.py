"""`tinyclip export`: a model in another format."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from ..errors import UserError

HELP = "write a model in another format"
FORMATS = ("safetensors", "openclip")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of design §3.1."""
    add = parser.add_argument
    add("model", help="a model directory, a run, or a source")
    add("--to", required=True, choices=FORMATS, help="the format")
    add("--out", type=Path, metavar="DIR", help="default: MODEL-FORMAT")
    add("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Write beside, compare, then put in place.

    Raises:
        UserError: the model cannot be read or exported, or the folder is in use.
    """
    out = args.out or Path(f"{Path(args.model).name.replace(':', '-')}-{args.to}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(str(out), "exists and is not empty", "Name another with --out")
    from ..adapters.source import load_source
    from ..export.openclip import export_openclip
    from ..export.safetensors import export_safetensors
    from ..model.files import write_json
    from .show import print_json

    loaded = load_source(args.model, "MODEL")
    work = {"safetensors": export_safetensors, "openclip": export_openclip}
    draft = out.with_name(out.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        found = work[args.to](loaded, draft)
        write_json(draft / "parity.json", found.to_dict())
        if out.exists():
            out.rmdir()
        draft.rename(out)
    except OSError as error:
        raise UserError(str(out), f"cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    if args.json:
        print_json({"out": str(out), "to": args.to, "parity": found.to_dict()})
        return 0
    print(
        f"{out}: loaded again as {args.to}; features differ by at most "
        f"{found.max_abs_diff:.1e} on {found.n} real pairs"
    )
    if args.to == "openclip":
        print(
            f"Load it: open_clip.create_model_and_transforms('local-dir:{out.resolve()}')"
        )
    return 0
