"""Workers end with the process that they work for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from einsim.specs.workers import workers_of

BOSS = """
import os, time
from einsim.specs.workers import workers_of
if __name__ == "__main__":
    with workers_of(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600).result()
"""


def test_workers_are_processes_that_give_what_they_worked_out() -> None:
    with workers_of(1) as pool:
        assert list(pool.map(abs, [-2, 3])) == [2, 3]
        assert pool.submit(os.getpid).result() != os.getpid()


def test_a_worker_ends_where_its_boss_is_killed(tmp_path: Path) -> None:
    (tmp_path / "boss.py").write_text(BOSS)
    boss = subprocess.Popen([sys.executable, str(tmp_path / "boss.py")], stdout=subprocess.PIPE)
    assert boss.stdout is not None
    assert int(boss.stdout.readline()) != boss.pid
    boss.kill()
    boss.communicate(timeout=30)  # until the worker, too, has let go of its end of the pipe
