"""The wheel holds all that the program needs, and works where nothing else of this project is."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = ("zuul_launcher", "alembic", "etc", "setup.cfg", "pyproject.toml", "README.rst", "LICENSE")
SECONDS = 240
EVERY_MODULE = """
import importlib, pathlib, pkgutil, sys, zuul_launcher
assert pathlib.Path(zuul_launcher.__file__).is_relative_to(sys.prefix), zuul_launcher.__file__
for found in pkgutil.walk_packages(zuul_launcher.__path__, "zuul_launcher."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
        print(found.name)
"""

pytestmark = pytest.mark.xdist_group("packaging")  # one worker builds it, once


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree: a build leaves its traces."""
    copy = tmp_path_factory.mktemp("source")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def expected(source: Path) -> set[str]:
    """Names of all files of the package, as the wheel is to hold them."""
    places = {"zuul_launcher": "zuul_launcher", "alembic": "zuul_launcher/alembic", "etc": "zuul_launcher/etc"}
    return {
        f"{place}/{path.relative_to(source / folder)}"
        for folder, place in places.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def wheel(source: Path, expected: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a look at the network."""
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(target), str(source)], check=True, timeout=SECONDS)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel and our dependencies, but not this checkout."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=SECONDS)
    bin = environment / "bin"
    install = [sys.executable, "-m", "pip", "--python", str(bin / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, str(wheel)], check=True, timeout=SECONDS)
    return bin


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # A folder on PYTHONPATH has its .pth files unread, so that an installation in place is not found there.
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib"), "COLUMNS": "120"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS)


def test_the_wheel_holds_the_code_the_migrations_the_samples_and_the_page(wheel: Path, expected: set[str]) -> None:
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
        licences = [name for name in opened.namelist() if name.endswith("LICENSE")]
    assert packed == expected
    assert {"zuul_launcher/web/templates/page.html", "zuul_launcher/alembic/env.py"} <= packed
    assert len(licences) == 1


def test_the_installed_command_tells_its_version(installed: Path, tmp_path: Path) -> None:
    done = _run(str(installed / "zuul-launcher"), "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.1.0" in done.stdout


def test_every_module_can_be_imported_from_the_wheel_alone(installed: Path, expected: set[str], tmp_path: Path) -> None:
    done = _run(str(installed / "python"), "-W", "error", "-c", EVERY_MODULE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    modules = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in expected
        if path.endswith(".py") and not path.startswith(("zuul_launcher/alembic", "zuul_launcher/etc"))
    }
    assert set(done.stdout.split()) == {name for name in modules if not name.endswith("__main__")} - {"zuul_launcher"}


def test_the_installed_program_finds_its_migrations(installed: Path, tmp_path: Path) -> None:
    make = (
        "from zuul_launcher.db import engine, migrate\n"
        f"database = engine.connect('sqlite:///{tmp_path}/new.sqlite')\n"
        "migrate.create(database); print(migrate.current(database), migrate.scripts())"
    )
    done = _run(str(installed / "python"), "-c", make, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    revision, folder = done.stdout.split()
    assert revision != "None"
    assert Path(folder).is_relative_to(installed.parent)


def test_the_wheel_alone_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    done = _run(str(installed / "zuul-launcher"), "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
