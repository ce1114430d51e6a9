"""Plays cases in a worker of its own, which it ends when one hangs or grows."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
LONGEST_S: Final = 20.0
"""CPU seconds of a case at most."""
STANDING_S: Final = 120.0
"""Seconds in which a case may do nothing at all: a busy machine may give it little time, but gives it some."""
MOST_BYTES: Final = 2 * 2**30
"""What a worker may grow to."""


class Failed(NamedTuple):
    """A case that found a fault, and all that it did."""

    seed: int
    case: int
    fault: str
    log: list[str]

    def __str__(self) -> str:
        replay = f"python -m tests.fuzz --seed {self.seed} --case {self.case}"
        return f"{replay}\n{self.fault.strip()}\n"


class Worker:
    """One process that plays cases."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONPATH": str(ROOT), "EINSIM_CACHE_DIR": "off", "COLUMNS": "160"},
        )  # fmt: skip
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the worker did not begin")

    def play(self, seed: int, case: int) -> dict[str, Any]:
        """What a case ended with; a fault too where it hangs, grows, or ends the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{seed} {case}\n")
        self.process.stdin.flush()
        began, spent = time.monotonic(), self.cpu_s()
        moved, took = began, 0.0
        while not select.select([self.process.stdout], [], [], 0.25)[0]:
            before, took, grown = took, self.cpu_s() - spent, self.bytes()
            now = time.monotonic()
            moved = now if took > before else moved
            if took > LONGEST_S or now - moved > STANDING_S:
                return self.ended(case, f"hangs: {took:.0f} CPU-s in {now - began:.0f} s")
            if grown > MOST_BYTES:
                return self.ended(case, f"grows to {grown / 2**30:.1f} GiB")
        line = self.process.stdout.readline()
        if not line:
            return self.ended(case, f"the process ended with {self.process.wait()}")
        done: dict[str, Any] = json.loads(line)
        if not done["fault"] and done["peak"] > MOST_BYTES:
            return self.ended(case, f"grew to {done['peak'] / 2**30:.1f} GiB")
        return done

    def ended(self, case: int, fault: str) -> dict[str, Any]:
        """The fault, with the process gone."""
        self.end()
        return {"case": case, "kind": "?", "fault": fault, "cpu_s": LONGEST_S, "log": []}

    @property
    def alive(self) -> bool:
        """Whether it can play another case."""
        return self.process.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds that it has taken; 0 when it is gone."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bytes(self) -> int:
        """Bytes that it holds."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except OSError:
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.communicate()


def fuzz(
    seed: int, cases: Iterable[int], told: Callable[[dict[str, Any]], None] = lambda done: None
) -> list[Failed]:
    """Every case that found a fault; `told` hears of each case as it ends."""
    worker, failed = Worker(), []
    try:
        for case in cases:
            if not worker.alive:
                worker = Worker()
            done = worker.play(seed, case)
            told(done)
            if done["fault"]:
                failed.append(Failed(seed, case, done["fault"], done["log"]))
    finally:
        worker.end()
    return failed


def summary(kinds: Counter[str]) -> str:
    """How many cases there were of each kind."""
    return ", ".join(f"{kind.removesuffix('_case')} {count:,}" for kind, count in kinds.most_common())
