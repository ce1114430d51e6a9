"""Faults planted into einsim: one replaced text of one module, and all of einsim imported anew with it.

The suite's laws are then held on the faulted code. Nothing of it is left afterwards: no bytecode, no kernels.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import msgspec
import numba

import einsim
from einsim.specs.loader import decode, load_yaml

ROOT = Path(einsim.__file__).parent
ANEW = ("einsim.", "tests.dataflow.read_text", "tests.validation.oracle.")
"""What is imported anew, or all below, and `einsim` itself."""
SEED, MOST = 0, 500
"""Drawn cases on which a fault is looked for: their seed, and how many at most."""
SOUND: dict[str, ModuleType] = {}
"""Modules without a fault."""
COMPARISON = "einsim.validation.oracle.compare"


class Planted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In `file`, the only occurrence of `text` becomes `instead`: `what` is wrong then.

    `law` is how what must come up begins: the kind of a disagreement, or the name of a test. Cases are drawn
    of the `kinds` of cascades, of all if none is named; in the mappings of `reworked` ones more was changed.
    """

    what: str
    file: str
    text: str
    instead: str
    law: str
    kinds: tuple[str, ...] = ()
    reworked: bool = False


class FaultTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `planted.yaml` holds."""

    faults: tuple[Planted, ...]


@cache
def stored_faults() -> tuple[Planted, ...]:
    """Every fault of `planted.yaml`."""
    return decode(load_yaml(Path(__file__).parent / "planted.yaml"), FaultTable, "faults").faults


class _Faulted(SourceFileLoader):
    """Compiles a module's own text with the fault in it, never what was compiled before."""

    def __init__(self, fault: Planted, name: str, path: str) -> None:
        super().__init__(name, path)
        self.fault = fault

    def get_code(self, fullname: str) -> CodeType:
        text = Path(self.path).read_text()
        return compile(text.replace(self.fault.text, self.fault.instead), self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, fault: Planted) -> None:
        self.fault, self.path = fault, str(ROOT / fault.file)
        self.name = f"einsim.{fault.file.removesuffix('.py').replace('/', '.')}"
        count = Path(self.path).read_text().count(fault.text)
        assert count == 1, f"{fault.file}: '{fault.text}' stands there {count} times, not once: {fault.what}"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return spec_from_file_location(fullname, self.path, loader=_Faulted(self.fault, fullname, self.path))


@contextmanager
def imported(modules: dict[str, ModuleType], fault: Planted | None = None) -> Iterator[None]:
    """Within, `modules` are what has been imported of einsim; more is added to them, with the fault where its
    place is. Kernels are plain functions there, kept nowhere.
    """
    finder = [] if fault is None else [_Finder(fault)]
    before, path, plain = _taken_out(), sys.meta_path, numba.config.DISABLE_JIT
    sys.modules.update(modules)
    sys.meta_path = [*finder, *(other for other in path if not isinstance(other, _Finder))]
    numba.config.DISABLE_JIT = True
    try:
        yield
        assert all(one.name in sys.modules for one in finder), f"nothing has imported {finder[0].name}"
    finally:
        numba.config.DISABLE_JIT, sys.meta_path = plain, path
        modules.update(_taken_out())
        sys.modules.update(before)


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == "einsim" or name.startswith(ANEW)]
    return {name: sys.modules.pop(name) for name in names}


def caught(fault: Planted, cases: int = MOST) -> str:
    """What shows the fault in so many cases and is not there without it; "" if nothing does."""
    with imported({}, fault):
        return _by_laws(fault.law) if fault.law.startswith("test_") else _by_cases(fault, cases)


def _by_laws(name: str) -> str:
    """The first law of a module of this folder that does not hold."""
    module = importlib.import_module(f"tests.validation.oracle.{name}")
    for law, function in vars(module).items():
        if law.startswith("test_"):
            marks = {mark.name: mark.args for mark in getattr(function, "pytestmark", ())}
            names, rows = marks.get("parametrize", ((), [()]))
            for row in [(row,) for row in rows] if isinstance(names, str) else rows:
                try:
                    function(*row)
                except AssertionError as error:
                    return f"{law}{row}: {error}"
    return ""


def _by_cases(fault: Planted, cases: int) -> str:
    """The first disagreement of the fault's kind that its case does not show without the fault."""
    for number in range(cases):
        found = {k: text for k, text in _disagreements(fault, number).items() if k.startswith(fault.law)}
        if found:
            with imported(SOUND):
                known = _disagreements(fault, number)
            for kind in (kind for kind in found if kind not in known):
                return found[kind]
    return ""


def _disagreements(fault: Planted, number: int) -> dict[str, str]:
    """Of one drawn case, by kind, by whatever code is imported at the time."""
    compare = importlib.import_module(COMPARISON)
    kinds = [fault.kinds] if fault.kinds else []
    case = compare.draw(SEED, number, *kinds, reworked=fault.reworked)
    found = compare.judge(case, figures=not fault.reworked).found if case is not None else ()
    return {one.kind: f"case {case.name} ({case.kind}): {one.kind}: {one.text}" for one in found}
