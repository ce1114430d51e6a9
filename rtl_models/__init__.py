"""Synthesizable designs whose cycles and bits the simulator must match, and what builds and runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RTL_DIR: Final = Path(__file__).resolve().parent
"""Where the SystemVerilog lies, one folder a design."""
