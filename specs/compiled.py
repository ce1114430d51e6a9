"""How kernels are compiled: numba's njit with one set of defaults, its cache in the user's cache folder.

What a kernel was compiled from is more than its own file, which is all that numba looks at: kernels that it
calls are compiled into it, names of other modules are constants to it, fields of a tuple are places. So the
machine code of a module's kernels is kept under a hash of that module and of all of einsim that it imports,
by way of others too: what was compiled from other sources is never found.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numba
import numpy as np
from numba.core.caching import NullCache
from numba.extending import overload, register_jitable
from platformdirs import user_cache_path

from einsim.specs.rules import RULES, down, up

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

PACKAGE: Final = Path(__file__).parent.parent
"""The folder of `einsim`."""
IMPORT: Final = re.compile(
    r"^[ \t]*(?:from (einsim[\w.]*)|import (einsim[\w.]*))(?: import (\([^)]*\)|[^\n]*))?", re.MULTILINE
)
WORD: Final = re.compile(r"\w+")
KEPT_S: Final = 30 * 24 * 3600
"""Seconds after which machine code of other sources is removed."""
UNREADABLE: Final = (
    OSError, EOFError, AttributeError, ImportError, KeyError, TypeError, ValueError, pickle.PickleError
)  # fmt: skip
"""What unpickling of a damaged or foreign file raises, and writing to a full disk."""


#: How rules are compiled into kernels.
IN_KERNELS: Final[dict[str, Any]] = {
    "error_model": "numpy", "_nrt": False, "forceinline": True, "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}  # fmt: skip


# `//` takes floats five times as long.
overload(up, jit_options=IN_KERNELS)(lambda amount, part: lambda amount, part: np.ceil(amount / part))
overload(down, jit_options=IN_KERNELS)(lambda amount, part: lambda amount, part: np.floor(amount / part))


def njit(
    *,
    error_model: Literal["python", "numpy"] = "python",
    nogil: bool = False,
    allocates: bool = True,
    inline: bool = False,
    inner: bool = False,
) -> Callable[[Kernel], Kernel]:
    """Compile a function at its first call and keep the machine code for the next process.

    `error_model`: "numpy" leaves out the checks for divisions by zero. `allocates=False` leaves out numba's
    reference counts, for kernels that make no arrays. `inline` puts the machine code into the caller's:
    passing many arrays takes a small kernel longer than its work. `inner`: only kernels call it, so that it
    needs no wrapper for Python, which takes longer to compile than most kernels; from Python it raises a
    TypeError.

    Nothing is kept where no folder can be written, which a warning says once.
    """
    options: dict[str, Any] = {"error_model": error_model, "nogil": nogil, "no_cfunc_wrapper": True}
    if not allocates:
        options["_nrt"] = False
    if inline:
        options["forceinline"] = True
    if inner:
        options["no_cpython_wrapper"] = True

    def decorate(function: Kernel) -> Kernel:
        while RULES:
            register_jitable(**IN_KERNELS)(RULES.pop())
        kernel = numba.njit(**options)(function)
        if inner and not numba.config.DISABLE_JIT:
            _keep_inside(kernel)
        folder = kernels_folder(function.__code__.co_filename)
        if folder is None:
            warn_uncached()
        if folder is not None and not numba.config.DISABLE_JIT:  # else it stays a plain function
            # numba finds machine code by the path of its source: by way of links it is the same.
            code = function.__code__
            function.__code__ = code.replace(co_filename=os.path.realpath(code.co_filename))
            # It takes the folder of a function's cache when caching is enabled; what the user's own functions
            # have stays as it is.
            users, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
            try:
                kernel.enable_caching()
                kernel._cache = Forgiving(kernel._cache)
            except (OSError, RuntimeError):  # numba's own folder within can't be written
                kernel._cache = NullCache()
            finally:
                numba.config.CACHE_DIR = users
        return kernel  # type: ignore[no-any-return]

    return decorate


def _keep_inside(kernel: Any) -> None:
    """Let a kernel that has no wrapper be called by kernels only: Python would jump to address 0."""

    def refuse(*_: object, **__: object) -> None:
        name = f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"
        raise TypeError(f"{name}: only kernels call it (inner=True)")

    kernel.add_overload = lambda result: kernel.overloads.update({tuple(result.signature.args): result})
    kernel._compile_for_args = refuse


class Forgiving:
    """numba's cache of one function, which is done without where it can't be read or written."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *arguments: Any) -> Any:
        """The compiled function, None where there is none that can be read."""
        with contextlib.suppress(*UNREADABLE):
            return self._cache.load_overload(*arguments)
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep the compiled function, where there is room."""
        with contextlib.suppress(*UNREADABLE):
            self._cache.save_overload(*arguments)


def wanted_folder() -> Path:
    """NUMBA_CACHE_DIR, or `einsim/numba` in the platform's cache folder."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    return Path(named).absolute() if named else user_cache_path("einsim") / "numba"


@cache
def cache_folder() -> Path | None:
    """The wanted folder; None when it can't be written."""
    folder = wanted_folder()
    # Without a home the platform's folder would be one called "~", right here.
    return folder if folder.is_absolute() and _writable(folder) else None


@cache
def warn_uncached() -> None:
    """Say once, and not in every process of a search, why each run begins with a minute of compiling."""
    if parent_process() is None:
        rule = "can't be written, so kernels are compiled in every process, which takes a minute"
        hint = "NUMBA_CACHE_DIR names another folder"
        warnings.warn(f"{wanted_folder()}: {rule}; {hint}", RuntimeWarning, stacklevel=3)


@cache
def kernels_folder(file: str) -> Path | None:
    """Where the kernels of a file are kept; None where nothing can be written."""
    above = cache_folder()
    if above is None:
        return None
    folder = above / source_hash(Path(file))
    if not folder.is_dir():
        _forget(above)
    return folder if _writable(folder) else None


def compiled_before(file: str) -> bool:
    """Whether machine code of a file's kernels is kept already: else their first call compiles them."""
    folder = kernels_folder(file)
    return folder is not None and any(folder.rglob("*.nbc"))


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made first."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # which also says when the folder was used
            return True
    except OSError:
        return False


def _forget(above: Path) -> None:
    """Remove machine code of sources that no process has had for a while."""
    for old in above.glob("k-*"):
        with contextlib.suppress(OSError):
            if old.stat().st_mtime < time.time() - KEPT_S:
                shutil.rmtree(old, ignore_errors=True)


def source_hash(file: Path) -> str:
    """A name for a file with all of einsim that it imports, by their contents."""
    seen, pending = {file}, [file]
    while pending:
        found = set(_imported(pending.pop())) - seen
        seen |= found
        pending += found
    digest = hashlib.sha256()
    for path in sorted(seen):
        name = str(path.relative_to(PACKAGE)) if path.is_relative_to(PACKAGE) else path.name
        digest.update(f"{name}\0".encode() + _source(path) + b"\0")
    return f"k-{digest.hexdigest()[:20]}"


@cache
def _source(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    """Files of einsim that a file imports, its packages' own among them."""
    names = set()
    for module, plain, imported in IMPORT.findall(_source(path).decode()):
        names |= {module or plain, *(f"{module}.{name}" for name in WORD.findall(imported))}
    return tuple(file for name in sorted(names) for file in _files(name))


def _files(name: str) -> Iterator[Path]:
    parts = name.split(".")
    if parts[0] == "einsim":
        place = PACKAGE.joinpath(*parts[1:])
        yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())
