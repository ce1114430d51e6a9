"""The search of choices: all of few, no worse than its starts, never more than it may, the same every time."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.dataflow.mapper.descend import choose, descend


class Three(msgspec.Struct, frozen=True):
    """A choice of three numbers."""

    a: int = 0
    b: int = 0
    c: int = 0


MENUS = {"a": range(4), "b": range(3), "c": range(5)}
EVERY = [Three(*values) for values in itertools.product(*MENUS.values())]
#: What a judge says of each choice; None: refused.
JUDGED = st.lists(st.none() | st.integers(0, 20).map(lambda key: (key,)), min_size=60, max_size=60)


@given(said=JUDGED)
def test_few_choices_are_all_judged(said: list[tuple[int] | None]) -> None:
    keys = dict(zip(EVERY, said, strict=True))
    found = choose([Three()], MENUS, keys.__getitem__, 60)
    assert found.complete
    assert found.judged == 60
    assert sorted(pair[0] for pair in found.found) == sorted(key for key in said if key is not None)
    assert [pair[0] for pair in found.found] == sorted(pair[0] for pair in found.found)


@settings(max_examples=50)
@given(said=JUDGED, most=st.integers(1, 59), first=st.sampled_from(EVERY))
def test_a_descent_ends_no_worse_than_it_starts_within_what_it_may(
    said: list[tuple[int] | None], most: int, first: Three
) -> None:
    """And where it was not cut short, no change of one or two fields is better."""
    keys = dict(zip(EVERY, said, strict=True))
    asked: list[Three] = []

    def judge(choice: Three) -> tuple[int] | None:
        asked.append(choice)
        return keys[choice]

    found = choose([first], MENUS, judge, most)
    assert len(asked) == len(set(asked)) == found.judged <= most
    assert not found.complete
    assert {choice for _, choice in found.found} == {one for one in asked if keys[one] is not None}
    if keys[first] is not None:
        assert found.found[0][0] <= keys[first]
    if found.found and found.judged < most:
        best = found.found[0][1]
        near = [
            one
            for one in EVERY
            if sum(getattr(one, name) != getattr(best, name) for name in MENUS) <= 2 and keys[one]
        ]
        assert keys[best] == min(keys[one] for one in near)
    assert found == choose([first], MENUS, keys.__getitem__, most)


@given(weights=st.tuples(*[st.lists(st.integers(0, 9), min_size=5, max_size=5)] * 3))
def test_what_adds_up_field_by_field_is_found_field_by_field(weights: tuple[list[int], ...]) -> None:
    def judge(choice: Three) -> tuple[int]:
        return (sum(each[at] for each, at in zip(weights, msgspec.structs.astuple(choice), strict=True)),)

    assert choose([Three()], MENUS, judge, 59).found[0][0] == min(map(judge, EVERY))


def test_moves_of_any_kind_lead_on() -> None:
    found = descend(
        [(7, 3)], [lambda at: [(at[0] - 1, at[1])], lambda at: [(at[0], at[1] - 1)]], sum_above_3, 50
    )
    assert found.found[0] == ((4,), found.found[0][1])


def sum_above_3(pair: tuple[int, int]) -> tuple[int] | None:
    return (sum(pair),) if sum(pair) > 3 else None
