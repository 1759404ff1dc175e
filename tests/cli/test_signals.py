"""A signal ends every verb with 3 and one line, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinyclip import leaving

NAMES = ["SIGINT", "SIGTERM", "SIGHUP"]
# a command that sends itself a signal where a module of ours is first looked for
SENDS = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})
sys.meta_path.insert(0, Finder())
sys.argv = ["tinyclip", *{argv!r}]
from tinyclip.cli.main import main
sys.exit(main())
"""
# a process that leaves, or is asked to, from within
INSIDE = """
import os, signal, sys, tempfile, time
from pathlib import Path
from tinyclip import leaving
leaving.take_signals()
def send():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
{body}
print("went on")
"""


def run(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(cwd)}
    done = [sys.executable, "-c", code]
    return subprocess.run(done, cwd=cwd, env=env, capture_output=True, text=True)


# one signal for each verb, and all of them for one
@pytest.mark.parametrize(
    ("name", "module", "argv"),
    [
        *((name, "argparse", ["recipes", "ls"]) for name in NAMES),
        (
            "SIGTERM",
            "tinyclip.cli.streams",
            ["recipes", "ls"],
        ),  # the first import after the door
        ("SIGTERM", "yaml", ["recipes", "ls"]),
        ("SIGTERM", "tinyclip.pipeline.inspection", ["inspect", "builtin:pico"]),
        (
            "SIGTERM",
            "tinyclip.formats.folder",
            ["export", "x", "--to", "openclip", "--out", "o"],
        ),
        ("SIGTERM", "tinyclip.evaluation.bench", ["bench", "builtin:pico"]),
        ("SIGTERM", "tinyclip.pipeline.quality", ["evaluate", "builtin:pico"]),
        ("SIGTERM", "tinyclip.pipeline.run_dir", ["compress", "smoke", "--out", "run"]),
    ],
)
def test_every_verb_leaves_at_once_while_it_is_imported(
    tmp_path: Path, name: str, module: str, argv: list[str]
) -> None:
    code = SENDS.format(module=module, signal=name, argv=argv)
    done = run(code, tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"tinyclip: stopped ({name})\n"
    assert not list(tmp_path.iterdir())


def inside(body: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(INSIDE.format(body=body), cwd)


def test_only_the_door_takes_what_belongs_to_a_process() -> None:
    own = re.compile(
        r"signal\.signal\(|os\._exit|os\.dup2|take_signals\(\)|settle\(code"
    )
    package = Path(leaving.__file__).parent
    takes = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if own.search(path.read_text())
    }
    assert takes == {"leaving.py", "cli/main.py"}


def test_drafts_and_scratch_go_first(tmp_path: Path) -> None:
    done = inside(
        "draft = Path('out.part')\n"
        "with leaving.removed(draft), leaving.removed(Path('never.made')):\n"
        "    draft.mkdir(); (draft / 'file').touch(); tempfile.mkdtemp(prefix='x')\n"
        "    send()",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert not list(tmp_path.iterdir())


def test_what_is_whole_stays(tmp_path: Path) -> None:
    inside(
        "draft = Path('out')\nwith leaving.removed(draft):\n    draft.mkdir()\nsend()",
        tmp_path,
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_no_library_can_swallow_it(tmp_path: Path) -> None:
    done = inside("try:\n    send()\nexcept BaseException:\n    pass", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")


def test_where_a_state_is_saved_the_first_signal_asks(tmp_path: Path) -> None:
    done = inside(
        "with leaving.gently():\n    send()\n    assert leaving.asked()", tmp_path
    )
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert done.stderr == "tinyclip: stopping after this step (SIGTERM)\n"


def test_where_none_is_saved_it_leaves_at_once_and_says_how_to_go_on(
    tmp_path: Path,
) -> None:
    body = "with leaving.going_on('tinyclip compress'):\n    send()"
    done = inside(body, tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    line = "tinyclip: stopped (SIGTERM). Go on with: tinyclip compress\n"
    assert done.stderr == line


def test_the_second_one_does_not_wait_and_says_how_to_go_on(tmp_path: Path) -> None:
    body = (
        "with leaving.going_on('tinyclip compress'), leaving.gently():\n"
        "    send()\n    send()"
    )
    done = inside(body, tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    last = "tinyclip: stopped (SIGTERM). Go on with: tinyclip compress\n"
    assert done.stderr.endswith(last)


def test_a_child_that_was_forked_undoes_nothing(tmp_path: Path) -> None:
    done = inside(
        "draft = Path('out.part'); draft.mkdir()\n"
        "with leaving.removed(draft):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        send()\n"
        "        os._exit(7)\n"
        "    status = os.waitpid(child, 0)[1]\n"
        "assert os.WTERMSIG(status) == signal.SIGTERM, status",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert (tmp_path / "out.part").is_dir()


@pytest.mark.parametrize("code", [0, 2])
def test_when_the_work_is_done_its_own_code_stands(tmp_path: Path, code: int) -> None:
    done = inside(f"leaving.settle({code})\nsend()", tmp_path)
    assert (done.returncode, done.stderr) == (code, "")


def test_nohup_is_respected(tmp_path: Path) -> None:
    done = inside(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "leaving.take_signals()\n"
        "os.kill(os.getpid(), signal.SIGHUP)",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_a_run_that_is_asked_to_stop_says_how_to_go_on(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tinyclip", "compress", "smoke", "--out", "a run"]
    small = ["evaluate=false", "tasks=[]"]
    for setting in small:
        argv += ["--set", setting]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        argv, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    with running.stderr as stream:
        for line in stream:
            if line.startswith("stage 1"):
                break
        running.send_signal(signal.SIGTERM)
        rest = stream.read()
    assert running.wait() == 3
    assert "Go on with: tinyclip compress --resume --out 'a run'" in rest
    assert not (tmp_path / "a run" / "lock.json").exists()
