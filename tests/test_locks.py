"""The locks hold what pyproject.toml asks for, each package with its hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = {"demo": (), "test": ("dev", "docs", "rtl", "fpga", "onnx")}


def pinned(lock: Path) -> dict[str, tuple[str, int]]:
    """Version and number of hashes by package."""
    found: dict[str, tuple[str, int]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line):
            name = canonicalize_name(pin[1])
            found[name] = pin[2], 0
        elif "--hash=sha256:" in line:
            version, hashes = found[name]
            found[name] = version, hashes + 1
    return found


@pytest.mark.parametrize("lock", list(EXTRAS))
def test_a_lock_holds_what_the_project_asks_for(lock: str, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"]) + project["build-system"]["requires"]
    for extra in EXTRAS[lock]:
        asked += project["project"]["optional-dependencies"][extra]
    pins = pinned(repository / ".ci" / "locks" / f"{lock}.txt")
    for text in asked:
        wanted = Requirement(text)
        version, _ = pins[canonicalize_name(wanted.name)]
        assert version in wanted.specifier, f"{text} is locked as {version}: make lock"
    assert all(hashes for _, hashes in pins.values())
    assert "://" not in (repository / ".ci" / "locks" / f"{lock}.txt").read_text()
