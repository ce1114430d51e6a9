"""The built wheel: every file of the packages and nothing else, the same from the sdist, at home anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from einsim.absent import FOLDERS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    """Einsim's wheel, built from the repository."""
    return build(repository, tmp_path_factory.mktemp("wheel"))


def build(source: Path, folder: Path) -> Path:
    run([sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "-q", "-w", str(folder)], folder)
    [built] = folder.glob("*.whl")
    return built


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def files(wheel: Path) -> dict[str, int]:
    """Name -> checksum of every file but the metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist() if ".dist-info/" not in each.filename}


def test_the_wheel_holds_every_file_of_every_package_and_nothing_else(repository, wheel):
    listed = run(["git", "ls-files", *FOLDERS, "einsim"], repository).split()
    links = {f"einsim/{folder}" for folder in FOLDERS}
    expected = {
        name if name.startswith("einsim/") else f"einsim/{name}" for name in listed if name not in links
    }
    assert set(files(wheel)) == expected
    kinds = {name.rsplit(".", 1)[-1] for name in expected}
    assert {"py", "sv", "yaml", "csv", "cu", "html", "typed"} <= kinds


def test_the_sdist_builds_the_same_wheel(repository, wheel, tmp_path):
    run([sys.executable, "-m", "pip", "install", "-q", "--target", str(tmp_path / "tool"), "build"], tmp_path)
    run(
        [sys.executable, "-m", "build", "-q", "--sdist", "-o", str(tmp_path), str(repository)],
        tmp_path, PYTHONPATH=str(tmp_path / "tool"),
    )  # fmt: skip
    [sdist] = tmp_path.glob("*.tar.gz")
    assert files(build(sdist, tmp_path)) == files(wheel)


def test_the_demo_runs_beside_folders_of_the_same_names(repository, wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    run([python, "-m", "pip", "install", "-q", str(wheel)], tmp_path)
    work = tmp_path / "work"
    for folder in FOLDERS:
        (work / folder).mkdir(parents=True)
        if folder != "accel":  # a folder without it is a package too
            (work / folder / "__init__.py").write_text("mine = True\n")
    (work / "engine.py").write_text("raise SystemExit('the user has this file too')\n")
    (work / "demo.py").write_text((repository / "examples" / "demo.py").read_text())
    shown = run([python, "demo.py"], work, PYTHONPATH="")
    assert "fusemax-cloud" in shown
    loaded = run([python, "-c", "import einsim.sim, sim; print(sim.mine, sim.__file__)"], work, PYTHONPATH="")
    assert loaded.split() == ["True", str(work / "sim" / "__init__.py")]
    run([python, "-m", "einsim", "list"], work, PYTHONPATH="")


def test_an_editable_install_is_einsim_and_nothing_else(repository, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    run([python, "-m", "pip", "install", "-q", "--no-deps", "-e", str(repository)], tmp_path)
    for folder in FOLDERS:
        (tmp_path / "work" / folder).mkdir(parents=True)
    program = f"import einsim, importlib.util, {', '.join(FOLDERS)}\nfor one in ({', '.join(FOLDERS)}): print(*one.__path__)"
    shown = run([python, "-c", program], tmp_path / "work", PYTHONPATH="")
    assert shown.split() == [str(tmp_path / "work" / folder) for folder in FOLDERS]
    shown = run(
        [python, "-c", "import einsim, importlib.util as u; print(u.find_spec('sim'))"],
        tmp_path,
        PYTHONPATH="",
    )
    assert shown.split() == ["None"]


def test_an_old_name_says_the_new_one_where_the_user_has_no_such_package(wheel, tmp_path):
    program = (
        "import einsim\ntry:\n    import dataflow.result\nexcept ModuleNotFoundError as e:\n    print(e)"
    )
    shown = run([sys.executable, "-S", "-c", program], tmp_path, PYTHONPATH=str(wheel))
    assert shown.strip().endswith("einsim's package is 'einsim.dataflow' since version 0.2")
