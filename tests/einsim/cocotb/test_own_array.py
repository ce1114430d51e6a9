"""The example testbench for a foreign 6 x 10 array is short; docs/testbench.md runs it and has it find a fault."""

from __future__ import annotations


def test_a_user_needs_under_40_lines(repository):
    bench = repository / "examples" / "own_array_testbench" / "own_bench.py"
    assert len(bench.read_text().splitlines()) < 40
