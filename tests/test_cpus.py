"""Threads that wait without spinning, and as many as the process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyclip import cpus

ROOT = Path(__file__).resolve().parents[1]
CHOSEN = (*cpus.WAITING, *cpus.COUNTING)
SAYS = "import os; print(os.environ.get('GOMP_SPINCOUNT'))"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in which the user has chosen `environment` and no more."""
    bare = {name: value for name, value in os.environ.items() if name not in CHOSEN}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**bare, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.fixture
def told(no_torch: None) -> dict[str, str]:
    """The variables after a user who chose nothing."""
    environment: dict[str, str] = {}
    cpus.prepare(environment)
    return environment


def groups(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "groups"
    path.write_text(text)
    return path


def test_openmp_itself_says_that_its_threads_spin_briefly() -> None:
    told = python("import tinyclip, torch", OMP_DISPLAY_ENV="VERBOSE").stderr
    assert f"GOMP_SPINCOUNT = '{cpus.SPINS}'" in told


@pytest.mark.parametrize("name", cpus.WAITING)
def test_a_users_way_of_waiting_stays(no_torch: None, name: str) -> None:
    environment = {name: "7"}
    cpus.prepare(environment)
    assert environment == {name: "7"}


def test_nothing_is_said_once_torch_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", object())
    environment: dict[str, str] = {}
    cpus.prepare(environment)
    assert environment == {}


def test_python_m_tinyclip_spins_briefly_too() -> None:
    code = f"import runpy, sys; sys.argv = ['x', '--version']\n{SAYS}\ntry:\n"
    code += " runpy.run_module('tinyclip', run_name='__main__')\nexcept SystemExit:\n"
    assert python(code + f" {SAYS}").stdout.splitlines()[::2] == ["None", cpus.SPINS]


def test_without_a_quota_openmp_counts_by_itself(
    no_torch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "quota", lambda: None)
    environment: dict[str, str] = {}
    cpus.prepare(environment)
    assert environment == {"GOMP_SPINCOUNT": cpus.SPINS}


@pytest.mark.parametrize(
    ("chosen", "count"),
    [({}, "2"), ({"OMP_NUM_THREADS": "5"}, "5"), ({"MKL_NUM_THREADS": "5"}, None)],
)
def test_a_quota_is_the_thread_count_where_the_user_has_not_chosen(
    no_torch: None,
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, str],
    count: str | None,
) -> None:
    monkeypatch.setattr(cpus, "quota", lambda: 2.5)
    monkeypatch.setattr(cpus, "in_mask", lambda: 64)
    environment = dict(chosen)
    cpus.prepare(environment)
    assert environment.get("OMP_NUM_THREADS") == count


@pytest.mark.parametrize(("allowed", "count"), [(0.5, 1), (1.9, 1), (3.0, 3), (99, 8)])
def test_usable_cpus_are_whole_and_never_more_than_the_mask(
    monkeypatch: pytest.MonkeyPatch, allowed: float, count: int
) -> None:
    monkeypatch.setattr(cpus, "quota", lambda: allowed)
    monkeypatch.setattr(cpus, "in_mask", lambda: 8)
    assert cpus.usable() == count


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="knows no masks")
def test_a_process_that_is_pinned_to_one_cpu_has_one_thread() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from tinyclip import cpus; import torch\n"
        "print(cpus.in_mask(), cpus.usable(), torch.get_num_threads())"
    )
    assert python(code).stdout.split() == ["1", "1", "1"]


def test_a_quota_of_version_2_is_read(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "cpu.max").write_text("150000 100000\n")
    named = groups(tmp_path, "0::/a/b\n")
    assert cpus.quota(named, tmp_path) == 1.5


def test_the_tightest_group_of_a_line_of_groups_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "cpu.max").write_text("200000 100000\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("max 100000\n")
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    assert cpus.quota(groups(tmp_path, "0::/a/b\n"), tmp_path) == 2.0


@pytest.mark.parametrize("home", ["cpu,cpuacct", "cpu"])
def test_a_quota_of_version_1_is_read(tmp_path: Path, home: str) -> None:
    folder = tmp_path / home / "box"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("50000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    named = groups(tmp_path, "5:memory:/box\n4:cpu,cpuacct:/box\n")
    assert cpus.quota(named, tmp_path) == 0.5


def test_a_container_finds_its_quota_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("300000 100000\n")
    assert cpus.quota(groups(tmp_path, "0::/docker/3f\n"), tmp_path) == 3.0


@pytest.mark.parametrize("words", ["max 100000", "-1 100000", "", "much", "100 0"])
def test_no_limit_and_what_cannot_be_read_are_no_quota(
    tmp_path: Path, words: str
) -> None:
    (tmp_path / "cpu.max").write_text(words)
    assert cpus.quota(groups(tmp_path, "0::/\n"), tmp_path) is None


def test_a_system_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpus.quota(tmp_path / "absent", tmp_path) is None
