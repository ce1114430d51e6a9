"""The built wheel holds every file of the packages: data such as YAML, RTL, kernels and captures too."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from einsim.shadow import PACKAGES


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_every_package_and_nothing_else(repository, tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", str(repository), "--no-deps", "-q", "-w", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        built = {name for name in archive.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES, "einsim"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert built == set(listed.stdout.split())
    kinds = {name.rsplit(".", 1)[-1] for name in built}
    assert {"py", "sv", "yaml", "csv", "cu", "html", "typed"} <= kinds
