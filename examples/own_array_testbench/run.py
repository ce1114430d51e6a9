"""Builds the array and runs its testbench: `python run.py [icarus|verilator]` in this folder."""

import sys
import tempfile
from pathlib import Path

from einsim.cocotb import choose, run_bench

HERE = Path(__file__).resolve().parent


def main(simulator: str = "") -> int:
    """Run the testbench; 1 when a test failed."""
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "own_bench.py").write_text((HERE / "own_bench.py").read_text())
        failed = run_bench(choose(simulator), [HERE / "own_array.v"], "own_array", "own_bench", Path(work))
    print("\n".join(failed) or "own_array: every value is einsim's")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
