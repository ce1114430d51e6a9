"""How kernels are compiled: numba's njit with one set of defaults, its cache in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numba
from platformdirs import user_cache_path

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def njit(
    *,
    error_model: Literal["python", "numpy"] = "python",
    nogil: bool = False,
    allocates: bool = True,
    inline: bool = False,
) -> Callable[[Kernel], Kernel]:
    """Compile a function at its first call and keep the machine code for the next process.

    `error_model`: "numpy" leaves out the checks for divisions by zero. `allocates=False` leaves out numba's
    reference counts, for kernels that make no arrays. `inline` puts the machine code into the caller's:
    passing many arrays takes a small kernel longer than its work.

    Nothing is kept where no folder can be written.
    """
    options: dict[str, Any] = {"error_model": error_model, "nogil": nogil}
    if not allocates:
        options["_nrt"] = False
    if inline:
        options["forceinline"] = True

    def decorate(function: Kernel) -> Kernel:
        folder = cache_folder()
        if folder is None:
            return numba.njit(**options)(function)  # type: ignore[no-any-return]
        # numba takes the folder of a function's cache when it is decorated; what the user's own functions
        # have stays as it is. It looks at the age of the function's own file only.
        users, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder / _stamp(function))
        try:
            return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
        finally:
            numba.config.CACHE_DIR = users

    return decorate


def _stamp(function: Callable[..., Any]) -> str:
    """A name that changes with the files of all kernels which a function may call."""
    files, pending = set[str](), [function]
    while pending:
        found = (value.py_func for value in pending.pop().__globals__.values() if hasattr(value, "py_func"))
        new = {one.__code__.co_filename: one for one in found if one.__code__.co_filename not in files}
        files |= set(new)
        pending += new.values()
    ages = [(name, Path(name).stat().st_mtime_ns) for name in sorted(files) if Path(name).exists()]
    return hashlib.sha256(repr(ages).encode()).hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """NUMBA_CACHE_DIR, or `einsim/numba` in the platform's cache folder; None when it can't be written."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(named) if named else user_cache_path("einsim") / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
