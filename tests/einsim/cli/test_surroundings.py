"""Commands work wherever they are run: no home, nobody's user, files that can't be written, no terminal."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from einsim.specs.compiled import wanted_folder

SMALL = ["softmax", "--accel", "tpu-v4i", "--set", "p=8", "d=8"]
NOBODY = 65534
BARE = {"PATH": os.environ.get("PATH", ""), "EINSIM_CACHE_DIR": "off"}
"""No HOME, no TERM, no language, no folder for caches."""


def einsim(*words, root, where, before=(), umask=0o022, **more):
    environment = {**BARE, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(wanted_folder()), **more}
    return subprocess.run(
        [*before, sys.executable, "-m", "einsim", *map(str, words)], cwd=where, check=False, timeout=300, text=True,
        env={key: value for key, value in environment.items() if value}, stdin=subprocess.DEVNULL,
        capture_output=True, umask=umask,
    )  # fmt: skip


@pytest.fixture
def as_nobody():
    """What stands before a command that nobody runs, and a folder of theirs."""
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to be somebody else, and setpriv")
    can = subprocess.run([*words, sys.executable, "-c", "import einsim"], check=False, capture_output=True,
                         env={**BARE, "PYTHONPATH": str(Path(__file__).parents[3])})  # fmt: skip
    if can.returncode:
        pytest.skip(f"nobody may not run {sys.executable}")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are below one of root's
        os.chown(folder, NOBODY, NOBODY)
        yield words, Path(folder)


def test_nobody_runs_maps_and_reports_from_an_install_that_they_cannot_write(as_nobody, repository):
    before, folder = as_nobody
    kept = {"root": repository, "where": folder, "before": before}
    for words in (
        ["run", *SMALL, "--level", "analytical", "-o", "kept.json"],
        ["report", "kept.json", "-o", "page.html"],
        ["passes", "softmax"],
        ["rtl", "emit", "tpu-v4i", "-o", "rtl", "--unit", "nope"],
    ):
        done = einsim(*words, **kept)
        assert done.returncode == (2 if "nope" in words else 0), done.stderr
        told = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
        assert len(told) == (1 if "nope" in words else 0), done.stderr
    assert {path.name for path in folder.iterdir()} == {"kept.json", "page.html"}


@pytest.mark.slow
def test_nobody_is_told_in_a_line_where_they_may_not_write(as_nobody, repository):
    before, folder = as_nobody
    target = repository / "kept.json"
    done = einsim(
        "run", *SMALL, "--level", "analytical", "-o", target, root=repository, where=folder, before=before
    )
    told = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert (done.returncode, len(told)) == (2, 1), done.stderr
    assert "cannot be written: Permission denied" in told[0]
    assert not target.exists()


@pytest.mark.parametrize(
    "more",
    [
        {"TZ": "nonsense+99:99"},
        {"HOME": "/nowhere/at/all", "TZ": "Antarctica/Troll", "TERM": "dumb", "LC_ALL": "C"},
    ],
    ids=["no HOME", "a HOME that isn't there"],
)
def test_run_and_report_need_nothing_of_their_surroundings(more, repository, tmp_path):
    plain = einsim("run", *SMALL, "--json", "-o", "kept.json", root=repository, where=tmp_path, **more)
    assert (plain.returncode, plain.stderr) == (0, "")
    done = einsim("report", "kept.json", "-o", "page.html", root=repository, where=tmp_path, **more)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "kept.json",
        "page.html",
    ]  # no folder called ~


@pytest.mark.slow
def test_files_have_the_permissions_that_the_umask_leaves(repository, tmp_path):
    for umask, left in ((0o077, 0o600), (0o022, 0o644)):
        name = f"kept-{umask}.json"
        einsim(
            "run", *SMALL, "--level", "analytical", "-o", name, root=repository, where=tmp_path, umask=umask
        )
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == left


@pytest.mark.slow
def test_without_any_folder_for_caches_a_warning_says_so(repository, tmp_path):
    done = einsim(
        "run", *SMALL, "--level", "analytical", root=repository, where=tmp_path, NUMBA_CACHE_DIR="/proc/none"
    )
    assert done.returncode == 0
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    assert "/proc/none" in done.stderr
