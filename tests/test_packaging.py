"""What is in the tree is in the wheel, and the wheel works far from the tree."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from setuptools import find_packages  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
SHELVES = ("stages", "recipes")
IMPORT_NAME = {  # where it differs from the distribution's
    "Jinja2": "jinja2",
    "open_clip_torch": "open_clip",
    "pillow": "PIL",
    "PyYAML": "yaml",
    "torch-pruning": "torch_pruning",
}


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(section: str, key: str) -> set[str]:
    """The distributions that setup.cfg names under a key."""
    rows = setup_cfg()[section][key].splitlines()
    return {re.split(r"[\s<>=!~;\[]", row.strip())[0] for row in rows if row.strip()}


def constrained() -> dict[str, str]:
    rows = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [row.split("==") for row in rows if row and not row.startswith("#")]
    return {name.lower(): version for name, version in pairs}


def test_setup_cfg_lists_every_package() -> None:
    listed = set(setup_cfg()["options"]["packages"].split())
    found = set(find_packages(str(ROOT), include=["tinyclip", "tinyclip.*"]))
    assert listed == found | {f"tinyclip.{shelf}" for shelf in SHELVES}


@pytest.mark.parametrize("shelf", SHELVES)
def test_a_shelf_is_a_package_so_that_editable_installs_find_it(shelf: str) -> None:
    assert (ROOT / shelf / "__init__.py").is_file()


def test_pyproject_holds_no_metadata() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(settings) == {"build-system", "tool"}
    assert "setuptools" not in settings["tool"]


def test_every_library_that_is_imported_is_required_and_the_other_way_round() -> None:
    required = requirements("options", "install_requires")
    known = {IMPORT_NAME.get(name, name) for name in required}
    used = set()
    for path in (ROOT / "tinyclip").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                used.add(node.module.split(".")[0])
    used -= set(sys.stdlib_module_names) | {"tinyclip"}
    # what an extra brings is imported only where that extra was asked for
    used -= requirements("options.extras_require", "onnx")
    # transformers imports these two when it meets a sentencepiece tokenizer
    assert used == known - {"sentencepiece", "protobuf"}


def test_every_direct_dependency_has_a_tested_version() -> None:
    direct = requirements("options", "install_requires")
    direct |= requirements("options.extras_require", "dev")
    assert {name.lower() for name in direct} <= set(constrained())


def test_constraints_name_versions_and_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"(?m)^\s*-|://|@|/", re.sub(r"(?m)^#.*", "", text))


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without this checkout on its path; its output is the message."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def copy_of_tree(target: Path) -> Path:
    """The sources alone, so that no stale build/ and no .egg-info takes part."""
    archive = target / "tree.tar"
    skip = {".git", ".venv", "build", "dist", "runs", "__pycache__"}

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(entry.name).parts
        hidden = any(p in skip or p.endswith((".egg-info", "_cache")) for p in parts)
        return None if hidden else entry

    with tarfile.open(archive, "w") as out:
        out.add(ROOT, "tree", filter=wanted)
    with tarfile.open(archive) as stored:
        stored.extractall(target, filter="data")
    return target / "tree"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built as `make build` does: sdist first, the wheel from it."""
    scratch = tmp_path_factory.mktemp("wheel")
    tree = copy_of_tree(scratch)
    run(
        *(
            sys.executable,
            "-m",
            "build",
            "--no-isolation",
            "--outdir",
            scratch / "dist",
        ),
        cwd=tree,
    )
    (built,) = (scratch / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment: the wheel, and today's packages by a .pth.

    The folder of today's packages is appended, so the wheel's own `tinyclip` is the
    one that counts; an editable install's .pth in it is not read.
    """
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    purelib = run(
        python,
        "-c",
        "import sysconfig; print(sysconfig.get_paths()['purelib'])",
        cwd=home,
    ).stdout.strip()
    here = sysconfig.get_paths()
    packages = sorted({here["purelib"], here["platlib"]})
    Path(purelib, "today.pth").write_text("\n".join(packages) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", wheel, cwd=home)
    return home / "bin"


def shipped(shelf: str, suffix: str) -> set[str]:
    folder = ROOT / shelf
    return {str(path.relative_to(folder)) for path in folder.rglob(f"*{suffix}")}


@pytest.mark.slow
def test_the_wheel_holds_every_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for room in ("formats", "data")
        for path in (ROOT / "tinyclip" / room / "builtin").rglob("*")
        if path.is_file()
    }
    for shelf in SHELVES:
        wanted |= {f"tinyclip/{shelf}/{name}" for name in shipped(shelf, ".yaml")}
    wanted.add("tinyclip/py.typed")
    assert wanted - names == set()


@pytest.mark.slow
def test_the_wheel_holds_no_tests_and_stays_under_32_mib(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tinyclip"}
    assert wheel.stat().st_size < 32 * 2**20


@pytest.mark.slow
def test_the_sdist_holds_tests_benchmarks_and_licences(wheel: Path) -> None:
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as stored:
        names = {name.split("/", 1)[-1] for name in stored.getnames()}
    wanted = {"LICENSE", "NOTICE", "constraints.txt", "tests/test_packaging.py"}
    assert wanted - names == set()
    assert any(name.startswith("benchmarks/") for name in names)


@pytest.mark.slow
def test_an_installed_wheel_lists_the_shipped_recipes(
    installed: Path, tmp_path: Path
) -> None:
    found = run(installed / "tinyclip", "recipes", "ls", cwd=tmp_path).stdout
    top = {Path(name).stem for name in shipped("recipes", ".yaml")}
    assert top
    assert {name for name in top if name not in found} == set()


@pytest.mark.slow
def test_an_installed_wheel_is_not_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    code = "import tinyclip; print(tinyclip.__file__, tinyclip.__version__)"
    where, version = run(installed / "python", "-c", code, cwd=tmp_path).stdout.split()
    assert Path(where).is_relative_to(installed.parent)
    shown = run(installed / "tinyclip", "--version", cwd=tmp_path).stdout
    assert version in shown
