"""The README's picture is what its script draws now."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest


def test_the_readmes_picture_is_of_the_program_as_it_is(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update_golden: bool
) -> None:
    picture = repository / "docs" / "img" / "demo.svg"
    script = repository / "examples" / "readme_picture.py"
    drawn = picture if update_golden else tmp_path / "demo.svg"
    monkeypatch.setattr(sys, "argv", [str(script), str(drawn)])
    monkeypatch.syspath_prepend(str(script.parent))
    runpy.run_path(str(script), run_name="__main__")
    assert drawn.read_text() == picture.read_text()
