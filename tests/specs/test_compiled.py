"""A kernel that was compiled from other sources never runs, and without a folder to write to kernels still do."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from einsim.specs import compiled
from einsim.specs.compiled import KEPT_S, Forgiving, kernels_folder, njit, source_hash

KERNEL = "from einsim.specs.compiled import njit\n\n@njit()\ndef twice(x):\n    return 2 * x\n"


@pytest.fixture
def afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own, and nothing remembered of another one or of sources."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for remembered in (
        compiled.cache_folder,
        compiled.warn_uncached,
        kernels_folder,
        compiled._source,
        compiled._imported,
    ):
        remembered.cache_clear()


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_the_hash_is_of_all_that_a_kernel_may_see(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = afresh / "einsim"
    texts = {
        "kernel.py": "from einsim.called import (\n    inner,\n)\nfrom einsim.layout import Row\n",
        "called.py": "import einsim.constants\n",
        "constants.py": "N = 4\n",
        "layout/__init__.py": "from einsim.layout.row import Row\n",
        "layout/row.py": "class Row: ...\n",
        "unrelated.py": "N = 5\n",
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(compiled, "PACKAGE", root)
    before = source_hash(root / "kernel.py")
    for name, text in texts.items():
        (root / name).write_text(text + "# another\n")
        forget()
        assert (source_hash(root / "kernel.py") == before) == (name == "unrelated.py"), name
        (root / name).write_text(text)
    forget()
    assert source_hash(root / "kernel.py") == before


def test_what_a_kernel_calls_is_what_it_is_now(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself numba keeps the caller's old code: its own file has not changed."""
    root = afresh / "einsim"
    root.mkdir()
    (root / "__init__.py").write_text("")
    caller = root / "stale_caller.py"
    caller.write_text(
        "from einsim.specs.compiled import njit\ntry:\n    from einsim.stale_called import inner\n"
        "except ImportError:\n    from stale_called import inner\n\n"
        "@njit()\ndef outer(x):\n    return inner(x) + 1\n"
    )
    monkeypatch.setattr(compiled, "PACKAGE", root)
    found = []
    for factor in (2, 3):
        (root / "stale_called.py").write_text(KERNEL.replace("twice", "inner").replace("2 *", f"{factor} *"))
        forget()
        load(root / "stale_called.py")
        found.append(load(caller).outer(10))
    assert found == [21, 31]


def test_machine_code_is_found_again_under_the_hash(afresh: Path) -> None:
    path = afresh / "kept_kernel.py"
    path.write_text(KERNEL)
    assert not compiled.compiled_before(str(path))
    assert load(path).twice(4) == 8
    folder = afresh / "cache" / source_hash(path)
    assert compiled.compiled_before(str(path))
    assert kernels_folder(str(path)) == folder
    assert list(folder.rglob("*.nbc"))
    again = load(path).twice
    assert again(4) == 8
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_damaged_file_is_compiled_anew(afresh: Path) -> None:
    path = afresh / "damaged_kernel.py"
    path.write_text(KERNEL)
    assert load(path).twice(4) == 8
    for kept in (afresh / "cache").rglob("*.nb?"):
        kept.write_bytes(b"\x80\x04damaged")
    assert load(path).twice(4) == 8


def test_nothing_is_kept_where_nothing_can_be_written(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (afresh / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(afresh / "file" / "cache"))
    forget()
    path = afresh / "memory_kernel.py"
    path.write_text(KERNEL)
    assert kernels_folder(str(path)) is None
    with pytest.warns(RuntimeWarning) as said:
        assert [load(path).twice(4) for _ in range(2)] == [8, 8]
    [warning] = said
    rule = "can't be written, so kernels are compiled in every process, which takes a minute"
    assert str(warning.message) == f"{afresh}/file/cache: {rule}; NUMBA_CACHE_DIR names another folder"


def test_machine_code_is_found_by_way_of_a_link(afresh: Path) -> None:
    (afresh / "root").mkdir()
    (afresh / "link").symlink_to("root")
    (afresh / "root" / "linked_kernel.py").write_text(KERNEL)
    assert load(afresh / "root" / "linked_kernel.py").twice(4) == 8
    again = load(afresh / "link" / "linked_kernel.py").twice
    assert again(4) == 8
    assert sum(again.stats.cache_hits.values()) == 1


def test_nor_where_numbas_own_folder_is_in_the_way(afresh: Path) -> None:
    path = afresh / "blocked_kernel.py"
    path.write_text(KERNEL)
    load(path)
    folder = kernels_folder(str(path))
    assert folder is not None
    for made in folder.iterdir():
        made.rmdir()
        made.write_text("not a folder")
    assert load(path).twice(4) == 8


def test_nor_on_a_full_disk(afresh: Path) -> None:
    class Full:
        def load_overload(self, *_: object) -> None:
            raise EOFError

        def save_overload(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

    def thrice(x: int) -> int:
        return 3 * x

    kernel = njit()(thrice)
    kernel._cache = Forgiving(Full())  # type: ignore[attr-defined]
    assert kernel(4) == 12


def test_without_a_home_nothing_is_written_here(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(compiled, "user_cache_path", lambda _: Path("~/.cache/einsim"))
    monkeypatch.chdir(afresh)
    forget()
    assert compiled.cache_folder() is None
    assert not Path("~").exists()


def test_what_is_old_is_removed(afresh: Path) -> None:
    cache = afresh / "cache"
    for name in ("k-old", "k-new", "mine"):
        (cache / name).mkdir(parents=True)
        if name != "k-new":
            os.utime(cache / name, (0, cache.stat().st_mtime - 2 * KEPT_S))
    path = afresh / "later_kernel.py"
    path.write_text(KERNEL)
    kernels_folder(str(path))
    assert {each.name for each in cache.iterdir()} == {"k-new", "mine", source_hash(path)}


def test_an_inner_kernel_is_for_kernels_only() -> None:
    """It has no wrapper for Python, which would jump to address 0: a call from Python is refused."""

    @njit(inner=True)
    def inner(x: float) -> float:
        return 2 * x

    @njit()
    def outer(x: float) -> float:
        return inner(x) + 1

    assert outer(3.0) == 7.0
    with pytest.raises(TypeError, match="only kernels call it"):
        inner(3.0)
