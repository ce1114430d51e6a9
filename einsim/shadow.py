"""Finds a file of the user's that hides one of einsim's packages: names such as `sim` are common."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

# Floor by floor, as DESIGN names them; einsim itself is the one that asks.
PACKAGES = ("specs", "workloads", "accel", "dataflow", "sim", "rtl_models", "validation")

HOME = Path(__file__).resolve().parent.parent


def shadowed(packages: tuple[str, ...] = PACKAGES, home: Path = HOME) -> str:
    """One line that says which file hides which package and what to do, or "" when none is hidden.

    A package is einsim's own when it lies in `home`, beside `einsim`; nothing is imported to find out.
    """
    for package in packages:
        own = home / package
        found = location(package)
        if own.is_dir() and found != own:
            where = str(found) if found else "nothing at all"
            return (
                f"{where} shadows einsim's package '{package}' ({own}): "
                "rename it, or start Python from another folder"
            )
    return ""


def location(package: str) -> Path | None:
    """The folder of a package, or the file of a module, that `import package` would take here."""
    try:
        spec = sys.modules[package].__spec__ if package in sys.modules else find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
