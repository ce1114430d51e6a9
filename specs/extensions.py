"""A user's extensions: modules that register names as they are imported, when a name is first looked up.

They are the modules and `.py` files that the variable EINSIM_EXTENSIONS names, separated by commas, and the
entry points of the group `einsim.extensions` of the packages that are installed.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import RLock
from typing import Final, TypeVar

from einsim.specs.errors import EinsimError, SpecError

VARIABLE: Final = "EINSIM_EXTENSIONS"
GROUP: Final = "einsim.extensions"
FILES: Final = "einsim_extension_"
"""What the names of modules that are files begin with: `json.py` is not in the way of `json`."""

R = TypeVar("R")

_LOCK = RLock()
_failures: list[EinsimError] = []
_begun: list[str] = []
"""What was loaded, by name, after a mark that loading has begun: an extension may look names up itself."""


def load_extensions() -> None:
    """Import every extension, once in a process. SpecError, each time, where one of them is faulty."""
    if not _begun:
        with _LOCK:
            if not _begun:
                _begun.append("")
                try:
                    for name, load in found():
                        _begun.append(name)
                        _load(name, load)
                except EinsimError as failure:
                    _failures.append(failure)
    if _failures:
        raise _failures[0]


def loaded() -> tuple[str, ...]:
    """Names of the extensions in the order in which they were loaded."""
    load_extensions()
    return tuple(_begun[1:])


def found() -> Iterator[tuple[str, Callable[[], object]]]:
    """The extensions that this process should have: where each is named, and how to load it."""
    for name in filter(None, (part.strip() for part in os.environ.get(VARIABLE, "").split(","))):
        load = (lambda file=Path(name): run_file(file)) if name.endswith(".py") else (
            lambda module=name: importlib.import_module(module)
        )  # fmt: skip
        yield f"{VARIABLE}={name}", load
    from importlib.metadata import entry_points  # 0.08 s that `import einsim` can do without

    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        yield f"entry point {point.name} = {point.value}", point.load


def run_file(path: Path) -> object:
    """The module of a file that need not be on the path, whatever modules are called like it."""
    name = f"{FILES}{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}"
    spec = spec_from_file_location(name, path)
    assert spec is not None  # a name that ends in .py has a loader
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _load(name: str, load: Callable[[], object]) -> None:
    try:
        value = load()
        if callable(value):
            value()
    except EinsimError:
        raise
    except Exception as error:
        raise SpecError("", f"could not be loaded: {in_words(error)}", where=name) from error


def guarded(what: str, function: Callable[..., R], returns: type[R] | None = None) -> Callable[..., R]:
    """A user's function, of which any fault is one SpecError that names it; `returns` is its value's type."""

    def call(*arguments: object, **named: object) -> R:
        try:
            value = function(*arguments, **named)
        except EinsimError:
            raise
        except Exception as error:
            raise SpecError(what, f"raised {in_words(error)}", where=place(function)) from error
        if returns is not None and not isinstance(value, returns):
            kind = returns.__name__
            rule = f"must return {'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
            raise SpecError(what, rule, got=type(value).__name__, where=place(function))
        return value

    return call


def in_words(error: Exception) -> str:
    """The error's type and message, and the last line of the user's file on the way to it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    mine = [frame for frame in frames if frame.filename == frames[0].filename]
    at = f" at {Path(mine[-1].filename).name}:{mine[-1].lineno}" if mine else ""
    return f"{type(error).__name__}: {error}{at}"


def place(function: Callable[..., object]) -> str:
    """`file.py:12` of a function's definition, "" where it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else ""


def caller() -> str:
    """`file.py:12` of the nearest line on the stack that is not einsim's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


_OTHERS: Final = (
    f"{Path(__file__).parent.parent}{os.sep}",
    f"{Path(importlib.__file__).parent}{os.sep}",
    "<frozen ",
)
"""Where files lie that are not the user's, on the way to one of theirs."""


def _is_users(filename: str) -> bool:
    return not filename.startswith(_OTHERS)
