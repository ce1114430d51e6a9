"""What isn't there says the way on where it is imported, and is simply not there for who asks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from einsim.absent import EXTRAS, FOLDERS, PARTS, Absent

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, work: Path) -> str:
    """What a program prints where nothing but einsim's own source is to be found."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=work, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("name", FOLDERS)
def test_an_old_name_is_not_there_for_who_asks_and_says_the_new_one_when_imported(
    name: str, tmp_path: Path
) -> None:
    program = f"""
import einsim, importlib.util
print(importlib.util.find_spec("{name}"))
try:
    import {name}
except ModuleNotFoundError as error:
    print(error.name, error)
try:
    import {name}.inner
except ModuleNotFoundError as error:
    print(error.name)
"""
    message = f"no module named '{name}'; einsim's package is 'einsim.{name}' since version 0.2"
    assert run(program, tmp_path).splitlines() == ["None", f"{name} {message}", name]


def test_a_part_that_einsim_lacks_says_which_there_are() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"einsim has no part 'shadow'; its parts are specs, work"):
        importlib.import_module("einsim.shadow")
    with pytest.raises(ModuleNotFoundError, match=r"'gpu'; it is an extra, pip install 'einsim\[gpu\]'; its"):
        importlib.import_module("einsim.gpu")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'einsim.sim.shadow'$"):
        importlib.import_module("einsim.sim.shadow")
    assert importlib.util.find_spec("einsim.shadow") is None


def test_the_parts_are_the_packages() -> None:
    assert sorted(PARTS) == sorted(each.parent.name for each in (ROOT / "einsim").glob("*/__init__.py"))


def test_an_extra_says_how_it_is_installed_only_where_einsim_imports_it(tmp_path: Path) -> None:
    program = """
import einsim
for importer in ("einsim.sim.trial", "mine"):
    try:
        exec("import pywellen", {"__name__": importer})
    except ModuleNotFoundError as error:
        print(error)
"""
    said = ["no module named 'pywellen'; pip install 'einsim[rtl]'", "No module named 'pywellen'"]
    assert run(program, tmp_path).splitlines() == said


def test_every_extra_is_one_of_the_project() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*EXTRAS.values()} <= {*project["optional-dependencies"]}


def test_a_finder_that_is_asked_by_hand_gives_none() -> None:
    assert all(Absent.find_spec(name) is None for name in (*FOLDERS, *EXTRAS, "einsim.shadow"))
