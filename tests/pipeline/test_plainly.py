"""What the machine has no more of is one message with what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from tinyclip.errors import Interrupted, StorageError, UserError
from tinyclip.pipeline.plainly import told_plainly

RUN = Path("/runs/mine")
GO_ON = "tinyclip compress --resume --out /runs/mine"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_memory_that_ends_names_what_takes_less(error: Exception) -> None:
    with pytest.raises(UserError, match="memory: there is no more") as told:
        with told_plainly(RUN, GO_ON):
            raise error
    for word in ("batch", "accumulate", "recompute", f"Go on with: {GO_ON}"):
        assert word in str(told.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file", "/runs/mine/model"), "no such folder"),
        (OSError(errno.ENOSPC, "No space left on device"), "Make room there"),
        (ValueError("I/O error: File too large (os error 27)"), "ulimit -f"),
        (StorageError("/runs/mine/x", OSError(errno.EROFS, "ro")), "another place"),
    ],
)
def test_a_folder_that_takes_no_more_is_told_with_the_line_that_goes_on(
    error: Exception, words: str
) -> None:
    with pytest.raises(UserError, match=words) as told:
        with told_plainly(RUN, GO_ON):
            raise error
    assert "/runs/mine" in told.value.where
    assert GO_ON in str(told.value)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file", "/elsewhere"),
        FileNotFoundError(2, "No such file", "/runs/mine2"),
        RuntimeError("shapes do not match"),
        ZeroDivisionError(),
    ],
)
def test_a_bug_stays_a_bug(error: Exception) -> None:
    with pytest.raises(type(error)), told_plainly(RUN, GO_ON):
        raise error


def test_a_stop_gets_the_line_that_goes_on() -> None:
    with pytest.raises(Interrupted, match="Go on with: tinyclip compress --resume"):
        with told_plainly(RUN, GO_ON):
            raise Interrupted("Stopped")
