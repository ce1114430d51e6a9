"""No name of a registry is taken twice, and what is asked for comes with what the user added."""

from __future__ import annotations

import pytest

from einsim.specs.errors import SpecError
from einsim.specs.registry import Registry


def registry(**more: object) -> Registry[int]:
    return Registry("fruit", {"apple": 1, "pear": 2}, **more)  # type: ignore[arg-type]


def test_own_rows_come_first_then_the_users_in_their_order():
    fruit = registry()
    fruit.register("quince", 3)
    fruit.register("fig", 4)
    assert dict(fruit) == {"apple": 1, "pear": 2, "quince": 3, "fig": 4}
    assert len(fruit) == 4
    assert "fig" in fruit
    assert fruit.get("grape") is None


def test_a_name_is_taken_once_and_the_other_one_is_named_with_its_line():
    fruit = registry()
    fruit.register("fig", 4)
    first = fruit.where("fig")
    with pytest.raises(SpecError) as twice:
        fruit.register("fig", 5)
    assert first.startswith("test_registry.py:")
    line = int(first.partition(":")[2])
    assert str(twice.value) == f"test_registry.py:{line + 3} fruit 'fig': the name is taken, by {first}"
    assert fruit["fig"] == 4


def test_einsims_own_and_reserved_names_stay_its_own():
    fruit = registry(reserved=lambda: ("any",))
    for name in ("apple", "any"):
        with pytest.raises(SpecError, match=f"fruit '{name}': the name is taken, by einsim$"):
            fruit.register(name, 5)
    assert fruit.where("apple") == "einsim"


@pytest.mark.parametrize("name", ["", "two words", "1st", "a/b", None, 7, "x" * 65])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(SpecError, match=r"fruit: must be a name of letters, digits and _ \. -"):
        registry().register(name, 5)


def test_an_expression_can_call_a_word_only():
    fruit = registry(words=True)
    fruit.register("dragon_fruit", 5)
    with pytest.raises(SpecError, match="must be a name of letters, digits and _ "):
        fruit.register("dragon-fruit", 5)
