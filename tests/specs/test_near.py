"""Hints name the near name, or what is known."""

from __future__ import annotations

from einsim.specs.near import near


def test_a_misspelling_finds_its_name():
    assert near("rws", ["cols", "rows"]) == "did you mean 'rows'?"
    assert near("FUSEMAX_CLOUD", ["fusemax-cloud", "flat-cloud"]) == "did you mean 'fusemax-cloud'?"


def test_a_far_name_lists_the_known_ones():
    assert near("zzz", ["rows", "cols"]) == "known: rows, cols"


def test_the_list_is_cut():
    assert near("zzz", [f"k{n:02}" for n in range(20)]).endswith("k11 and 8 more")


def test_nothing_known_gives_no_hint():
    assert near("rows", []) == ""
