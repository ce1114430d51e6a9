"""Says the way on where a module isn't there: a package's old name, a part that einsim lacks, an extra."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType

FOLDERS = ("specs", "workloads", "accel", "dataflow", "sim", "rtl_models", "validation")
"""Packages that until version 0.2 went by these names alone."""
PARTS = (*FOLDERS, "cli", "cocotb", "importers", "models", "report")
EXTRAS = {
    "cocotb": "rtl", "pywellen": "rtl", "numba.cuda": "gpu", "pynvml": "gpu", "pyosys": "fpga",
    "hwcomponents": "energy", "pandas": "pandas", "onnx": "onnx",
}  # fmt: skip
"""Modules of others that einsim imports where they are asked for, with the extra that installs them."""


class Absent:
    """A finder asked last, so that a package of the user's by one of these names is never in its way."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """ModuleNotFoundError with the way on, where a module is imported that nothing else provides. Who
        only asks (`importlib.util.find_spec`) gets None, as from other finders.
        """
        del path, target
        message, importer = _message(name), _importer(sys._getframe(1).f_back)
        if message and importer and (name not in EXTRAS or importer.partition(".")[0] == "einsim"):
            raise ModuleNotFoundError(message, name=name)
        return None


def _message(name: str) -> str:
    """What to say of a module that isn't there; "" where that is not einsim's to say."""
    home, _, part = name.partition(".")
    if name in FOLDERS:
        return f"no module named '{name}'; einsim's package is 'einsim.{name}' since version 0.2"
    if name in EXTRAS:
        return f"no module named '{name}'; pip install 'einsim[{EXTRAS[name]}]'"
    if home != "einsim" or not part or "." in part:
        return ""
    hint = f"its parts are {', '.join(PARTS)}"
    if part in EXTRAS.values():
        hint = f"it is an extra, pip install 'einsim[{part}]'; {hint}"
    return f"einsim has no part '{part}'; {hint}"


def _importer(frame: FrameType | None) -> str:
    """The module whose import asks a finder, that far up the stack; "" where nothing is imported."""
    if frame is None or frame.f_code.co_name != "_find_and_load_unlocked":
        return ""
    while frame.f_back is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "?"))


def explain_absent() -> None:
    """Ask `Absent` after all other finders, once."""
    if Absent not in sys.meta_path:
        sys.meta_path.append(Absent)
