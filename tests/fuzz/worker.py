"""Plays cases that its input names, one a line, and says how each ended: a line of JSON."""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from tests.fuzz.bench import Bench, FaultError
from tests.fuzz.kinds import play

KIB = 1024


def outcome(seed: int, case: int) -> dict[str, object]:
    """What a case ended with: its kind, its fault if any, and all that it did."""
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        bench = Bench(Path(folder))
        fault = ""
        try:
            with contextlib.chdir(folder):  # outputs may be called anything
                kind = play(seed, case, bench)
        except FaultError as found:
            kind, fault = bench.log[0], str(found)
        except Exception:  # noqa: BLE001 - what einsim wrote can't be read, or the like
            kind, fault = bench.log[0], traceback.format_exc()
    done = {"case": case, "kind": kind, "fault": fault, "cpu_s": time.process_time() - began}
    return {**done, "log": bench.log, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB}


def warm() -> None:
    """What compiles, once: a case that does would seem to hang."""
    small = ["softmax", "--accel", "tpu-v4i", "--set", "p=8", "d=8"]
    searched = ["map", *small, "--effort", "quick", "--workers", "1"]
    restricted = [*searched, "--tiles", "steps", "--objective", "pareto"]
    timed = ["run", *small, "accel.dram.timing=ddr4-3200", "accel.dram.bandwidth=25GB/s"]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for words in (searched, restricted, timed):
            Bench(Path(folder)).run(*words)


def main() -> None:
    """Say that all is compiled, then read cases, play them, answer."""
    warnings.simplefilter("error")
    answers, sys.stdout = sys.stdout, sys.stderr
    warm()
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        seed, case = map(int, line.split())
        answers.write(json.dumps(outcome(seed, case)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
