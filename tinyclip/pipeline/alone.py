"""What a model takes by itself: a process of its own loads it and runs it once.

python -m tinyclip.pipeline.alone MODEL THREADS
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import TinyclipError, UserError
from ..evaluation.bench import Contender, peak_rss, run_once
from ..formats.lookup import open_model
from ..quoting import one_line

SMALLEST = "builtin:pico"


def alone(name: str, threads: int) -> dict[str, Any]:
    """Load a model in a process of its own, and run one picture and one caption.

    Returns:
        `load_seconds` (from when the libraries are there), `peak_bytes` (of the whole
        process) and `own_bytes` (beyond the libraries).

    Raises:
        UserError: the process ended without an answer.
    """
    words = [sys.executable, "-m", __name__, name, str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = one_line((done.stderr.strip().splitlines() or ["nothing"])[-1])
        what = f"ended with {done.returncode} when it was loaded alone: {said}"
        raise UserError(name, what, "Free memory, or use --no-alone") from None
    return answer


def measure(name: str, threads: int) -> dict[str, Any]:
    """What `alone` returns, of this process.

    Raises:
        UserError: the model cannot be loaded.
    """
    import torch

    torch.set_num_threads(threads)
    open_model(SMALLEST)  # brings the libraries that every model takes
    highest, before, began = peak_rss(), resident(), time.perf_counter()
    opened = open_model(name)
    seconds, loaded = time.perf_counter() - began, resident()
    run_once(Contender(name, opened.loaded.model))
    peak = peak_rss()
    # the libraries themselves may have taken more for a moment than the model does
    most = peak if peak > highest else max(loaded, resident())
    own = max(0, most - before)
    return {"load_seconds": seconds, "peak_bytes": peak, "own_bytes": own}


def resident() -> int:
    """What the process holds now, in bytes; its peak where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_rss()
    return pages * os.sysconf("SC_PAGESIZE")


def files_of(name: str) -> dict[str, int] | None:
    """Bytes of every file of a model's folder; None of what is no folder."""
    path = Path(name.removeprefix("run:").removeprefix("hf:").removeprefix("openclip:"))
    folder = path / "model" if (path / "model" / "config.json").exists() else path
    if not folder.is_dir():
        return None
    return {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


if __name__ == "__main__":
    try:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    except TinyclipError as error:
        raise SystemExit(str(error)) from None
