"""What an editable install puts on the path: einsim and nothing else, so that users may call theirs as they like."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from einsim.absent import FOLDERS


def path(repository: Path) -> list[Path]:
    """Folders that an editable install adds to `sys.path`."""
    build = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    return [repository / name for name in build["dev-mode-dirs"]]


def run(program: str, work: Path, *folders: Path) -> str:
    """What a program prints that runs in a folder, with others behind it on the path."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=work, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_but_einsim_is_on_the_path(repository: Path) -> None:
    found = [each for folder in path(repository) for each in folder.iterdir()]
    assert [each.name for each in found] == ["einsim"]
    assert found[0].resolve() == repository / "einsim"


@pytest.mark.parametrize("marked", [True, False])
def test_a_users_folder_of_any_name_is_theirs(repository: Path, tmp_path: Path, marked: bool) -> None:
    folders = [each.name for each in repository.iterdir() if each.is_dir() and each.name.isidentifier()]
    mine = sorted({*folders} - {"einsim"})
    assert {*FOLDERS, "tests"} <= {*mine}
    for name in mine:
        (tmp_path / name).mkdir()
        (tmp_path / name / ("__init__.py" if marked else "part.py")).write_text("")
    program = (
        f"import einsim, einsim.absent, {', '.join(mine)}\n"
        f"for one in ({', '.join(mine)},): print(*one.__path__)"
    )
    assert run(program, tmp_path, *path(repository)).splitlines() == [str(tmp_path / name) for name in mine]


def test_einsim_is_found_beside_a_clone_of_its_name(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "einsim").mkdir()  # as `~` looks to Python after `git clone .../einsim`
    assert run("import einsim; print(einsim.__version__)", tmp_path, *path(repository))
