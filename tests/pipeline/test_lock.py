"""One process works in a run's folder at a time."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
from pathlib import Path

import pytest

from tinyclip.errors import UserError
from tinyclip.pipeline.lock import LOCK, locked


def test_a_second_run_in_the_folder_is_refused_by_owner_and_host(
    tmp_path: Path,
) -> None:
    with locked(tmp_path), pytest.raises(UserError) as refused, locked(tmp_path):
        pass
    assert f"process {os.getpid()} on {socket.gethostname()}" in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_pipe_in_place_of_the_lock_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(UserError, match="is no regular file"), locked(tmp_path):
        pass


def test_the_lock_goes_with_the_block(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass


def test_an_error_leaves_no_lock_that_holds(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_stale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == child
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        pass
    assert f"process {child}" in caplog.text and "stale" in caplog.text


def test_a_lock_left_by_another_host_is_not_taken(tmp_path: Path) -> None:
    owner = {"pid": 7, "host": "elsewhere", "since": "2026-01-01"}
    (tmp_path / LOCK).write_text(json.dumps(owner))
    with pytest.raises(UserError, match="process 7 on elsewhere") as refused:
        with locked(tmp_path):
            pass
    assert f"remove {tmp_path / LOCK}" in str(refused.value)
