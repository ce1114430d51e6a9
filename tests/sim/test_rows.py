"""Rows under a bound are skipped exactly: what a plain run counts, stalls and takes, each row longer than the last."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim import rows
from einsim.sim.engine import Simulation
from einsim.sim.rows import RowJumper
from einsim.sim.stateful import rows_of
from einsim.workloads.load import load_workload
from tests.dataflow.read_text import parse_text
from tests.sim.test_jump import alike, tiles

CASES = {
    "shorter rows": ("fusemax-stalled", {"m0": "4", "m": "96", "p": "96"}),
    "two engines": ("fusemax-interleaved", {"m0": "8", "m": "128", "p": "128"}),
    "more queries than keys": ("fusemax-stalled", {"m0": "4", "m": "64", "p": "120"}),
    "the last tile is smaller": ("fusemax-stalled", {"m0": "4", "m": "96", "p": "98"}),
    "heads": ("fusemax-stalled", {"m0": "8", "m": "128", "p": "128", "h": "2"}),
    "a window": ("fusemax-stalled", {"m0": "4", "m": "112", "p": "112", "window": "48"}),
    "a window beside tiles": ("fusemax-stalled", {"m0": "4", "m": "112", "p": "112", "window": "50"}),
}


def program(template, sizes):
    chip = load_machine("fusemax-cloud", {"array.rows": "4", "array.cols": "4", "vector.lanes": "4"})
    fixed = {"passes": "1", "b": "1", "h": "1", "e": "4", "f": "4", "causal": "true"}
    cascade = load_workload("attention", fixed | sizes)
    return lower(build_mapping(cascade, chip, template), cascade, chip), chip


@pytest.fixture
def skipped(monkeypatch):
    """Of each look at three rows whether some were skipped."""
    plain, found = RowJumper._skip, []

    def skip(self, *parts):
        found.append(plain(self, *parts))
        return found[-1]

    monkeypatch.setattr(RowJumper, "_skip", skip)
    return found


@pytest.mark.parametrize("case", CASES)
def test_rows_are_as_in_the_plain_run(case, skipped):
    alike(*program(*CASES[case]))
    assert any(skipped), "no row was skipped: the case says nothing"


def band(folder, size, outer, tile):
    """A band of three, one tile of which is in each row of `tile` queries (404:28 of the drawn inputs)."""
    chip = load_machine("sa8295p", {})
    file = folder / "band.yaml"
    file.write_text(
        f"name: band\nranks: {{e: 5, m: {size}, p: {size}}}\nwhere: [m <= p, p - m < 3]\n"
        "einsums: 'QK[m,p] = Q[e,p] * K[e,m]'\n"
    )
    cascade = load_workload(str(file), {})
    mapping = f"""band on sa8295p (resident)
for m/{outer}
  keep K in gb x1
    for p/{tile}
      keep Q QK in gb x1
        for m/{outer // 4}
          QK on tensor cores=m rows=p cols=m"""
    return lower(parse_text(mapping), cascade, chip), chip


def test_rows_of_one_tile_are_skipped_where_each_is_cut_elsewhere(skipped, tmp_path):
    alike(*band(tmp_path, 256, 128, 4))
    assert any(skipped), "no row was skipped: the case says nothing"
    few = tiles(band(tmp_path, 2048, 1024, 4)[0])
    assert tiles(band(tmp_path, 8192, 4096, 4)[0]) < 2 * few


def test_a_look_at_rows_costs_little_more_than_what_it_skips(monkeypatch, tmp_path):
    """Rows that one operation can't skip aren't walked for the others: that took as many rows squared."""
    asked, plain = [], rows._ends

    def ends(*given):
        asked.append(given)
        return plain(*given)

    monkeypatch.setattr(rows, "_ends", ends)
    monkeypatch.setattr(rows, "_one_a_row", lambda *_: False)  # each look is in vain
    tiles(band(tmp_path, 1024, 1024, 4)[0])
    few = len(asked)
    asked.clear()
    tiles(band(tmp_path, 4096, 4096, 4)[0])
    assert 0 < len(asked) < 6 * few


def test_the_work_of_a_run_hardly_grows_with_its_rows(skipped):
    """Four times as many rows, and sixteen times as many tiles."""
    few = tiles(program("fusemax-stalled", {"m0": "4", "m": "256", "p": "256"})[0])
    assert any(skipped)
    assert tiles(program("fusemax-stalled", {"m0": "4", "m": "1024", "p": "1024"})[0]) < 2 * few


def test_a_run_that_ends_rows_by_a_block_is_left_alone(skipped):
    """Documents are no linear bound: no row is said to be like the one before."""
    program_, chip = program("fusemax-stalled", {"m0": "4", "m": "96", "p": "96", "documents": "32"})
    alike(program_, chip)
    assert not any(skipped)


def test_a_counter_so_many_rows_ago():
    """Rows that count 5, 7, 9, 11, 13: after the second two more, or three, were counted since."""
    assert 12 - rows_of(12, 5, 0, 2) == 9 + 11
    assert 12 - rows_of(12, 5, 0, 3) == 9 + 11 + 13


class Seen:
    """What began from the middle of a run on, and when."""

    def __init__(self, begin, end):
        self.begin, self.end, self.what = begin, end, []

    def attach(self, actors):
        pass

    def begun(self):
        self.what.clear()

    def started(self, actor, now):
        self.what.append((actor.op.id, *actor.position, now))

    def __getattr__(self, name):
        return lambda *parts: None


def test_a_watched_run_comes_to_its_watch_row_by_row(skipped):
    """What is seen of a late part of a run is what the plain run does then."""
    work, _ = program("fusemax-stalled", {"m0": "4", "m": "96", "p": "96"})
    whole = Simulation(work, jump=True)
    whole.go()
    begin = whole.ledger.last // 2
    seen = []
    for jump in (False, True):
        watch = Seen(begin, begin + whole.ledger.last // 50)
        Simulation(work, jump=jump, watch=watch).go()
        seen.append(watch.what)
    assert any(skipped)
    assert seen[0] == seen[1] != []
