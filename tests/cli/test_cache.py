"""`tinyclip cache`: what it writes, prints and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tinyclip.cli.main import main
from tinyclip.pipeline.lock import locked


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A source of twelve pairs."""
    lines = ["path,title"]
    for i in range(12):
        picture = Image.new("RGB", (8, 8), (20 * i, 0, 255 - 20 * i))
        picture.save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,caption {i}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return f"csv:{tmp_path / 'pairs.csv'}"


def run(data: str, out: Path, *words: str, teacher: str = "builtin:pico") -> int:
    return main(
        ["cache", "--teacher", teacher, "--data", data, "--out", str(out), *words]
    )


def test_json_is_one_object_and_progress_goes_to_stderr(data, tmp_path, capsys) -> None:
    assert run(data, tmp_path / "out", "--augmentations", "2", "--json") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["pairs"] == report["captions"] == 12
    assert (report["augmentations"], report["embed_dim"]) == (2, 16)
    assert (report["dtype"], report["shards"], report["kept"]) == ("float16", 2, 0)
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("*-0*")]
    assert report["bytes"] == sum(sizes)
    assert "teacher features: 36/36" in err


def test_a_second_time_everything_is_there(data, tmp_path, capsys) -> None:
    run(data, tmp_path / "out")
    capsys.readouterr()
    assert run(data, tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 2


def test_people_are_told_how_to_use_it(data, tmp_path, capsys) -> None:
    run(data, tmp_path / "out")
    assert f"--set cache={tmp_path / 'out'}" in capsys.readouterr().out


# a process of its own, since from Python the command takes no signals
SIGNALLED = """
import os, signal, sys
from tinyclip.training.teacher import make
write = make.write_shard
def signalled(*args):
    write(*args)
    os.kill(os.getpid(), signal.SIGTERM)
make.write_shard = signalled
from tinyclip.cli.main import main
sys.exit(main())
"""


def test_a_signal_stops_it_and_the_line_it_names_goes_on(
    data, tmp_path, capsys
) -> None:
    words = ["cache", "--teacher", "builtin:pico", "--data", data, "--seed", "4"]
    argv = [sys.executable, "-c", SIGNALLED, *words, "--out", str(tmp_path / "out")]
    stopped = subprocess.run(argv, capture_output=True, text=True)
    assert stopped.returncode == 3
    command = stopped.stderr.rpartition("Go on with: tinyclip ")[2].split()
    assert command[-4:] == ["--seed", "4", "--dtype", "float16"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 1


def test_types_have_either_spelling(data, tmp_path, capsys) -> None:
    words = ("--dtype", "fp16", "--precision", "float32", "--json")
    assert run(data, tmp_path / "out", *words) == 0
    assert json.loads(capsys.readouterr().out)["dtype"] == "float16"


def test_settings_of_the_data_can_be_given(data, tmp_path, capsys) -> None:
    set_ = ("--set", "data.caption_column=title", "--set", "data.workers=2")
    assert run(data, tmp_path / "out", *set_) == 0
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert "--set data.workers=2" in index["again"]


def test_broken_pictures_are_counted_in_the_log(data, tmp_path, capsys, caplog) -> None:
    (tmp_path / "3.png").write_bytes(b"no picture")
    allowed = ("--set", "data.max_broken_share=0.2")
    assert run(data, tmp_path / "out", *allowed, "--json") == 0
    assert json.loads(capsys.readouterr().out)["broken"] == {"not a picture": 1}
    assert "3.png" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--augmentations", "0"), "augmentations"),
        (("--augmentations", "two"), "augmentations"),
        (("--crop", "1.5"), "crop"),
        (("--seed", "-1"), "seed"),
        (("--precision", "fp16"), "fp16 needs a GPU"),
        (("--set", "data.crops=1"), "Did you mean 'crop'?"),
        (("--set", "data.source=csv:x"), "has an option of its own here. Use --data"),
        (("--set", "seed=9"), "has an option of its own here. Use --seed"),
        (("--set", "teacher=x"), "Use --teacher"),
        (("--set", "stages[0].batch=9"), "only settings of the data are used here"),
        (("--dtype", "int8"), "invalid choice: 'int8'"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_is_written(
    data, tmp_path, capsys, words, message
) -> None:
    assert run(data, tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["teacher", "data"])
def test_a_source_that_is_none_is_refused(data, tmp_path, capsys, what) -> None:
    words = {"data": data, "teacher": "builtin:pico", what: "builtin:nothing"}
    assert run(words["data"], tmp_path / "out", teacher=words["teacher"]) == 2
    assert "nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(data, tmp_path, capsys) -> None:
    assert run(data, tmp_path) == 2
    assert "is not empty, and no teacher cache" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run(data, tmp_path / "file") == 2
    assert "is a file" in capsys.readouterr().err


def test_another_cache_in_the_folder_is_refused(data, tmp_path, capsys) -> None:
    two = ("--augmentations", "2")
    run(data, tmp_path / "out", *two)
    assert run(data, tmp_path / "out", *two, "--seed", "9") == 2
    assert "holds another cache (seed: 0 in the cache, 9" in capsys.readouterr().err
    assert run(data, tmp_path / "out", *two, "--dtype", "float32") == 2
    assert "dtype: float16 in the cache, float32 here" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(data, tmp_path, capsys) -> None:
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"):
        assert run(data, tmp_path / "out") == 2
    assert "is in use by" in capsys.readouterr().err


def test_a_launch_of_several_processes_is_refused(
    data, tmp_path, capsys, monkeypatch
) -> None:
    from tinyclip.training.engine import Engine

    monkeypatch.setattr(Engine, "world", property(lambda _: 2))
    assert run(data, tmp_path / "out") == 2
    assert "was launched as 2 processes" in capsys.readouterr().err
