"""Says where a package went: until version 0.2 `einsim.sim` was `sim`, and so on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

FOLDERS = ("specs", "workloads", "accel", "dataflow", "sim", "rtl_models", "validation")


class OldNames:
    """A finder asked last, so that a package of the user's by one of these names is never in its way."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise for an old name that nothing else provides; ModuleNotFoundError with the new name."""
        del path, target
        if name in FOLDERS:
            message = f"no module named '{name}'; einsim's package is 'einsim.{name}' since version 0.2"
            raise ModuleNotFoundError(message, name=name)
        return None


def explain_old_names() -> None:
    """Ask `OldNames` after all other finders, once."""
    if OldNames not in sys.meta_path:
        sys.meta_path.append(OldNames)
