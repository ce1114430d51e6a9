"""Seeded draws, and mutations of plain data and of text: the same seed and case give the same input."""

from __future__ import annotations

import random
import re
from typing import Any, Final

import yaml

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, 2, 3, 7, 8, 17, -1, 64, 65536, 65537, 2**31, 2**40, 2**53 + 1, 2**63, 10**30, 0.5, 1.5,
    1e3, -0.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"), "", " ", "x", "4K", "1M", "1GB/s", "0B",
    "1B", "-1pJ", "1e9", "0x10", "2:4", "a\nb", "a\n", "a[/]b", "[red]x", "中", "\u202ex", "x" * 3000, "../x", "'",
    '"', "$(x)", "{x}", "rows", "dram", "gb", "mac", "module", [], [[]], [1, "x"], [None], {}, {"a": 1}, {"": {}},
)  # fmt: skip
"""Values of every type that YAML and JSON have, at and beyond the limits that stand somewhere."""
SIZES: Final = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 32)
HUGE: Final = (100, 1000, 4096, 65536, 2**20, 2**31, 2**40)
SIGNS: Final = "\n\t :[]{}#&*!|>'\"%@`,-?=\\0aé中\x00\x1b\u202e\ufeff"
NUMBER: Final = re.compile(r"\d+(\.\d+)?")
FACTORS: Final = (0, 0.1, 0.5, 1, 1, 2, 3, 7, 10, 1000, 1e9)


class Draw(random.Random):
    """A random generator with what every kind of case needs."""

    def chance(self, share: float) -> bool:
        """True in so many of all draws."""
        return self.random() < share

    def some(self, items: Any, share: float = 0.5) -> list[Any]:
        """Each of the items or not."""
        return [item for item in items if self.chance(share)]

    timed = False
    """Whether the machine has a DRAM whose commands are simulated one by one: sizes stay small then."""
    large = False
    """Whether a size was large: no such DRAM is drawn then."""

    def size(self) -> int:
        """A size, small as a rule."""
        if self.timed or self.chance(0.98):
            return self.choice(SIZES)
        self.large = True
        return self.choice(HUGE)

    def maybe(self, share: float, **entries: Any) -> dict[str, Any]:
        """The entries or none."""
        return entries if self.chance(share) else {}

    def name(self) -> str:
        """A name that a file may give."""
        return self.choice(
            ("a", "b1", "module", "reg", "dram2", "gb-x", "X_1", "end", "in", "sum", "leakage")
        )


def paths(data: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of nested data."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [above, *(path for key, value in inner for path in paths(value, (*above, key)))]


def at(data: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        data = data[key]
    return data


def mutate(draw: Draw, data: Any, times: int = 1) -> Any:
    """Nested data with so many changes, each at some place; `data` itself may be changed."""
    for _ in range(times):
        all_paths = paths(data)[1:]
        if not all_paths:
            return draw.choice(ODD)
        *above, key = draw.choice(all_paths)
        parent = at(data, tuple(above))
        change = draw.choice((odd, odd, scale, scale, scale, drop, rename, swap, add, wrap))
        change(draw, parent, key)
    return data


def anywhere(draw: Draw, data: Any) -> Any:
    """As `mutate`, at the root too."""
    return next(iter(mutate(draw, {"root": data}).values()), None)


def odd(draw: Draw, parent: Any, key: Any) -> None:
    """Any value in its place."""
    parent[key] = draw.choice(ODD)


def scale(draw: Draw, parent: Any, key: Any) -> None:
    """A number, or the number in a text, times something."""
    value, factor = parent[key], draw.choice(FACTORS)
    if isinstance(value, bool):
        parent[key] = not value
    elif isinstance(value, int):
        parent[key] = int(value * factor)
    elif isinstance(value, float):
        parent[key] = value * factor
    elif isinstance(value, str):
        parent[key] = NUMBER.sub(lambda found: f"{float(found[0]) * factor:.6g}", value, count=1)
    else:
        odd(draw, parent, key)


def drop(draw: Draw, parent: Any, key: Any) -> None:
    """Nothing in its place."""
    del parent[key]


def rename(draw: Draw, parent: Any, key: Any) -> None:
    """Another key for it."""
    new = draw.choice((f"{key}x", str(key)[:-1], str(key).upper(), draw.name(), "", "x" * 500, f"{key}\n"))
    if isinstance(parent, dict):
        parent[new] = parent.pop(key)
    else:
        parent[key] = new


def swap(draw: Draw, parent: Any, key: Any) -> None:
    """Another's value in its place, and its in the other's."""
    keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    other = draw.choice(keys)
    parent[key], parent[other] = parent[other], parent[key]


def add(draw: Draw, parent: Any, key: Any) -> None:
    """The same once more, under another name."""
    if isinstance(parent, dict):
        parent[draw.choice((f"{key}2", draw.name(), str(draw.choice(ODD))[:20]))] = parent[key]
    else:
        parent.insert(draw.randint(0, len(parent)), parent[key])


def wrap(draw: Draw, parent: Any, key: Any) -> None:
    """A list or mapping around it, or what is inside of one."""
    value = parent[key]
    if isinstance(value, list | dict) and value and draw.chance(0.5):
        parent[key] = draw.choice(list(value.values()) if isinstance(value, dict) else value)
    else:
        parent[key] = draw.choice(([value], [value, value], {"x": value}))


def garble(draw: Draw, text: str) -> str:
    """Text that is cut, or has a few other characters."""
    if draw.chance(0.3):
        return text[: draw.randint(0, len(text))]
    for _ in range(draw.randint(1, 3)):
        place = draw.randint(0, len(text))
        text = text[:place] + draw.choice(SIGNS) + text[place + draw.randint(0, 2) :]
    return text


def as_yaml(data: Any) -> str:
    """The data as YAML, half characters and all."""
    return str(yaml.safe_dump(data, allow_unicode=True, sort_keys=False))
