"""The search of choices: all of few, no worse than its starts, never more than it may, the same every time."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.dataflow.mapper.descend import Choice, choose, descend

MENUS = {"a": range(4), "b": range(3), "c": range(5)}
EVERY = list(itertools.product(*MENUS.values()))
#: What a judge says of each choice; None: refused.
JUDGED = st.lists(st.none() | st.integers(0, 20).map(lambda key: (key,)), min_size=60, max_size=60)
Said = list[tuple[int] | None]


def numbers(choice: Choice) -> tuple[int, ...]:
    """A choice with what it does not say: 0."""
    return tuple(dict(choice).get(name, 0) for name in MENUS)  # type: ignore[misc]


@given(said=JUDGED)
def test_few_choices_are_all_judged(said: Said) -> None:
    keys = dict(zip(EVERY, said, strict=True))
    found = choose(MENUS, lambda choice: keys[numbers(choice)], 61)
    assert found.complete
    assert found.judged == 61
    assert {numbers(choice) for _, choice in found.found} == {one for one in EVERY if keys[one] is not None}
    assert [pair[0] for pair in found.found] == sorted(pair[0] for pair in found.found)
    assert not found.found or found.found[0][0] == min(key for key in said if key is not None)


@settings(max_examples=20)
@given(said=JUDGED, most=st.integers(1, 60))
def test_a_descent_ends_no_worse_than_it_starts_within_what_it_may(said: Said, most: int) -> None:
    """And where it was not cut short, no change of one or two values is better."""
    keys = dict(zip(EVERY, said, strict=True))
    asked: list[Choice] = []

    def judge(choice: Choice) -> tuple[int] | None:
        asked.append(choice)
        return keys[numbers(choice)]

    found = choose(MENUS, judge, most)
    assert len(asked) == len(set(asked)) == found.judged <= most
    assert not found.complete
    assert {one for _, one in found.found} == {one for one in asked if keys[numbers(one)] is not None}
    if keys[0, 0, 0] is not None:
        assert found.found[0][0] <= keys[0, 0, 0]
    if found.found and found.judged < most:
        best = numbers(found.found[0][1])
        near = [one for one in EVERY if sum(a != b for a, b in zip(one, best, strict=True)) <= 2]
        assert keys[best] == min(key for one in near if (key := keys[one]) is not None)
    assert found == choose(MENUS, judge, most)


@given(weights=st.tuples(*[st.lists(st.integers(0, 9), min_size=5, max_size=5)] * 3))
def test_what_adds_up_name_by_name_is_found_name_by_name(weights: tuple[list[int], ...]) -> None:
    def judge(choice: Choice) -> tuple[int]:
        return (cost(numbers(choice)),)

    def cost(values: tuple[int, ...]) -> int:
        return sum(each[at] for each, at in zip(weights, values, strict=True))

    assert choose(MENUS, judge, 60).found[0][0] == (min(map(cost, EVERY)),)


def test_moves_of_any_kind_lead_on() -> None:
    moves = [lambda at: [(at[0] - 1, at[1])], lambda at: [(at[0], at[1] - 1)]]
    found = descend([(7, 3)], moves, sum_above_3, 50)
    assert found.found[0] == ((4,), (1, 3))


def sum_above_3(pair: tuple[int, int]) -> tuple[int] | None:
    return (sum(pair),) if sum(pair) > 3 else None
