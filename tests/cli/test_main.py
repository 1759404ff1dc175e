"""The command line answers at once, and every mistake gets one message."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import resource
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from tinyclip import __version__, leaving
from tinyclip.cli import parser as command
from tinyclip.cli.main import main
from tinyclip.cli.parser import QUICK_START, VERBS, build_parser
from tinyclip.errors import Interrupted, UserError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "open_clip", "pandas")
COMMANDS = [
    line.split("  ")[0].split()[1:]
    for line in QUICK_START.split("\n  ")
    if line.startswith("tinyclip ")
]
Plant = Callable[[BaseException | int], None]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the checkout."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """A verb `planted` that returns a number or raises an exception."""

    def verb(outcome: BaseException | int) -> None:
        def run(_: object) -> int:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = types.ModuleType("tinyclip.cli.planted")
        vars(module).update(run=run, add_arguments=lambda parser: None)
        monkeypatch.setitem(sys.modules, "tinyclip.cli.planted", module)
        monkeypatch.setitem(command.VERBS, "planted", "for tests")

    return verb


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (0, 0, ""),
        (2, 2, ""),
        (
            UserError("--data", "is empty", "Name another"),
            2,
            "tinyclip: error: --data: is empty. Name another\n",
        ),
        (
            Interrupted("stopped at step 3", "tinyclip compress --resume --out a"),
            3,
            "tinyclip: stopped at step 3. "
            "Go on with: tinyclip compress --resume --out a\n",
        ),
        (KeyboardInterrupt(), 3, "tinyclip: interrupted\n"),
    ],
)
def test_each_outcome_has_its_exit_code_and_its_message(
    plant: Plant,
    capsys: pytest.CaptureFixture[str],
    outcome: BaseException | int,
    code: int,
    words: str,
) -> None:
    plant(outcome)
    assert main(["planted"]) == code
    assert capsys.readouterr() == ("", words)


def test_from_python_the_process_stays_the_callers(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    def state() -> tuple[object, ...]:
        handlers = [signal.getsignal(kind) for kind in leaving.SIGNALS]
        logging_to = list(logging.getLogger().handlers)
        return *handlers, sys.stdout, sys.stderr, sys.__stdout__, logging_to

    for outcome in (0, UserError("a", "b"), ZeroDivisionError(), KeyboardInterrupt()):
        before = state()
        plant(outcome)
        main(["planted"])
        assert state() == before


def test_from_python_a_reader_that_goes_away_closes_no_stream_of_the_caller() -> None:
    code = (
        "import os, sys; from tinyclip.cli.main import main\n"
        "kept, (reader, writer) = os.dup(1), os.pipe()\n"
        "os.close(reader), os.dup2(writer, 1)\n"
        "codes = [main(['recipes', 'ls']), main(['inspect', 'builtin:pico'])]\n"
        "whole = os.fstat(1).st_ino == os.fstat(writer).st_ino\n"
        "os.dup2(kept, 1)\n"
        "print(codes, whole, file=sys.stderr)"
    )
    assert python("-c", code).stderr == "[0, 0] True\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ValueError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_disk_that_is_full_is_one_message_in_every_verb(
    plant: Plant, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    plant(error)
    assert main(["planted"]) == 2
    assert "the disk: cannot be written (No space left" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA: Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
        ImportError("libtorch.so: failed to map segment from shared object"),
        type("SafetensorError", (Exception,), {})("Cannot allocate (os error 12)"),
        type("RuntimeException", (Exception,), {})("Failed to allocate memory for x"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_memory_that_ends_is_one_message_in_every_verb(
    plant: Plant, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    plant(error)
    assert main(["planted"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("tinyclip: error: memory: there is no more of it. Give it")


def test_a_bug_of_ours_shows_its_traceback_and_says_so(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(ZeroDivisionError("no such luck"))
    assert main(["planted"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "ZeroDivisionError: no such luck" in err
    assert "bug of tinyclip" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compres"], "unknown verb 'compres'. Did you mean 'compress'?"),
        (["compress", "--taget", "0.2"], "--taget: unknown argument. Did you mean"),
        (
            ["compress", "--tasks", "x"],
            "--tasks: unknown argument. It is a setting: --set tasks=...\n",
        ),
        (
            ["compress", "--resume"],
            "--out: no run is named to go on with. Name its folder with --out DIR",
        ),
        (["compress", "--taget=0.2"], "unknown argument. Did you mean '--target'?"),
        (["compress", "demo", "smoke"], "smoke: unknown argument"),
        (["compress", "--target"], "--target: expected one argument"),
        (["compress", "--budget", "bits"], "invalid choice: 'bits'"),
        (["compress", "--dry-run", "--log-with", "wandbb"], "Did you mean 'wandb'?"),
        (["compress", "--family", "0.5"], "--family: wants two shares at least"),
        (["compress", "--family", "0.5,0.75"], "--family: 0.75 is not below 0.5"),
        (
            ["compress", "--family", "0.5,0.25", "--target", "0.25"],
            "--family: does not go with --target",
        ),
        (
            ["compress", "smoke", "--family", "0.5,0.25"],
            "does not choose its units by allocate",
        ),
        (["recipes"], "ACTION"),
        (["recipes", "lst"], "invalid choice: 'lst'"),
        (["recipes", "show"], "name"),
        (["--bogus"], "--bogus: unknown argument"),
    ],
)
def test_a_wrong_command_line_is_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tinyclip: error: ")
    assert err.count("\n") == 1
    assert words in err


def test_no_verb_is_a_question_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    nothing = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == nothing


def test_help_opens_with_commands_and_lists_every_verb(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--help"])
    shown = capsys.readouterr().out
    assert shown.index("tinyclip compress") < shown.index("options:")
    assert all(f"    {verb} " in shown for verb in VERBS)


def test_the_help_shows_four_commands_that_parse() -> None:
    assert len(COMMANDS) == 4
    for arguments in COMMANDS:
        args = build_parser(arguments[0]).parse_args(arguments)
        assert args.verb == arguments[0]


def test_every_module_with_a_verb_is_in_the_table_and_the_other_way_round() -> None:
    verbs = set()
    for path in (ROOT / "tinyclip" / "cli").glob("[!_]*.py"):
        module = importlib.import_module(f"tinyclip.cli.{path.stem}")
        run = getattr(module, "run", None)
        if run is not None and list(inspect.signature(run).parameters) == ["args"]:
            assert callable(module.add_arguments)
            verbs.add(path.stem)
    assert verbs == set(VERBS)


def test_every_verb_answers_help_without_anything_heavy() -> None:
    code = (
        "import sys; from tinyclip.cli.main import main\n"
        "from tinyclip.cli.parser import VERBS\n"
        "codes = [main([*verb, '--help']) for verb in [(), *((v,) for v in VERBS)]]\n"
        f"print(codes, [m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    assert python("-c", code).stderr == f"{[0] * (len(VERBS) + 1)} []\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_answer_takes_less_than_half_a_second_of_work(option: str) -> None:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    done = python("-m", "tinyclip", option)
    assert spent() - before < 0.5  # work, not waiting: the machine may be busy
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_tinyclip_is_the_same() -> None:
    assert python("-m", "tinyclip", "--version").stdout.strip() == __version__
    wrong = python("-m", "tinyclip", "compres")
    assert (wrong.returncode, wrong.stdout) == (2, "")


@pytest.mark.parametrize(
    "action", ["'show', 'demo'", "'ls'"]
)  # more than a buffer, less
def test_a_reader_that_goes_away_is_no_error(action: str) -> None:
    code = (
        "import sys; from tinyclip.cli.main import main\n"
        f"sys.argv = ['tinyclip', 'recipes', {action}]\n"
        "sys.exit(main())"
    )
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    writer = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    writer.stdout.close()
    assert writer.stderr is not None
    with writer.stderr as stream:
        assert stream.read() == ""
    assert writer.wait() == 0
