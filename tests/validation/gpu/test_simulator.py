"""The pure numba kernels, run in numba's CUDA simulator on tiny shapes, agree with float64 numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_kernels_agree_with_float64() -> None:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(ROOT)}
    script = Path(__file__).with_name("simulate.py")
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    errors = {name: float(error) for name, error in (line.split() for line in done.stdout.splitlines())}
    assert len(errors) == 8 + 3 * (3 + 2 + 1) + 1 + 3 + 4 * 2 + 3 + 3
    wrong = {name: error for name, error in errors.items() if not error < 1e-6}
    assert not wrong
