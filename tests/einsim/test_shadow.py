"""A file of the user's that hides a package is named in one line, with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from einsim.shadow import HOME, PACKAGES, location, shadowed


def test_the_repositorys_own_packages_are_not_shadowed() -> None:
    assert shadowed() == ""


def test_every_package_of_the_house_is_looked_for(repository: Path) -> None:
    there = {path.parent.name for path in repository.glob("*/__init__.py")} - {"einsim", "tests"}
    assert there <= set(PACKAGES)


def test_a_package_elsewhere_is_named_with_its_place_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    message = shadowed(("json",), tmp_path)
    found = location("json")
    assert message == (
        f"{found} shadows einsim's package 'json' ({tmp_path / 'json'}): "
        "rename it, or start Python from another folder"
    )


def test_a_package_that_cannot_be_found_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "no_such_package_anywhere").mkdir()
    assert shadowed(("no_such_package_anywhere",), tmp_path).startswith("nothing at all shadows")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("shape", ["sim.py", "sim/__init__.py"])
def test_the_command_line_says_it_in_one_line(tmp_path: Path, shape: str) -> None:
    file = tmp_path / shape
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    done = run(tmp_path, "-m", "einsim", "--help")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'sim'}")
    assert "shadows einsim's package 'sim'" in done.stderr


def test_a_program_gets_an_import_error_with_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "accel.py").write_text("")
    done = run(tmp_path, "-c", "import einsim")
    assert done.returncode == 1
    assert "ImportError: " in done.stderr
    assert "shadows einsim's package 'accel'" in done.stderr.splitlines()[-1]
