"""Near names: what somebody probably meant by a word that isn't known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# A word is near when three fifths of its letters agree in order: `--leve`, `atention`, `fuse-max`.
NEARNESS = 0.6


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name most like `word`, or "" when none is near."""
    by_lower = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=NEARNESS)
    return by_lower[found[0]] if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'NAME'?` or "" when no known name is near."""
    name = nearest(word, known)
    return f"; did you mean '{name}'?" if name else ""
