"""Which importer reads a file, and that what it made is read by einsim."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from einsim.accel.load import load_machine
from einsim.importers import accelforge, scalesim, timeloop
from einsim.importers.imported import Imported
from einsim.importers.plain_yaml import read_plain
from einsim.specs.errors import SpecError
from einsim.workloads.file import read_cascade

Kind = Literal["machine", "workload"]
_READERS = {
    ("problem", "workload"): timeloop.problem, ("architecture", "machine"): timeloop.architecture,
    ("workload", "workload"): accelforge.workload, ("arch", "machine"): accelforge.architecture,
}  # fmt: skip
"""By the key that a file of theirs has at its top, and what it becomes."""


def read_foreign(path: Path, only: Kind | None = None) -> Imported:
    """A SCALE-Sim topology (.csv), or a Timeloop or AccelForge file (YAML), as ours.

    `only` chooses where a file holds a machine and a workload. SpecError with the file and its line or key
    for what is neither, or what has no counterpart here.
    """
    if path.suffix.lower() == ".csv":
        found = scalesim.topology(path)
    else:
        data = read_plain(path)
        held = [(key, kind) for key, kind in _READERS if key in data and only in (None, kind)]
        if not held:
            keys = ", ".join(key for key, _ in _READERS)
            rule = f"is no file of AccelForge or Timeloop: none of {keys} at its top"
            raise SpecError("", rule, where=str(path), hint="a SCALE-Sim topology ends in .csv")
        if len(held) > 1:
            raise SpecError(
                "", "holds a machine and a workload", where=str(path), hint="--only machine, or workload"
            )
        try:
            found = _READERS[held[0]](data, path)
        except (AttributeError, KeyError, TypeError) as error:
            rule = f"is not as {held[0][0]} is published: {type(error).__name__} {error}"
            raise SpecError(held[0][0], rule, where=str(path)) from None
    if only not in (None, found.kind):
        raise SpecError("", f"holds a {found.kind}", where=str(path))
    return _checked(found, path)


def _checked(found: Imported, path: Path) -> Imported:
    """The same, once einsim has read it. SpecError, told of the file that it came from."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "imported.yaml"
            made.write_text(found.text, encoding="utf-8")
            if found.kind == "machine":
                load_machine(str(made))
            else:
                read_cascade(made, {})
    except SpecError as error:
        raise SpecError(error.path, error.rule, got=error.got, where=str(path), hint=error.hint) from None
    except OSError as error:
        raise SpecError("", f"needs a temporary folder: {error.strerror}", where=str(path)) from None
    return found
