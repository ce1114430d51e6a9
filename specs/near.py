"""The hint for a name that is not known: the nearest known name, or all of them when they are few."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 12
"""Most names that a hint lists; more would not fit one line."""

_COMPARED = 100
"""Characters of a word that are compared; longer ones are nobody's misspelling."""


def near(word: object, choices: Iterable[str]) -> str:
    """`did you mean 'rows'?` for a near name, else `known: a, b, c`, cut after twelve names."""
    names = list(dict.fromkeys(choices))
    folded = {name.lower().replace("_", "-"): name for name in names}
    asked = str(word)[:_COMPARED].lower().replace("_", "-")
    found = difflib.get_close_matches(asked, folded, n=1, cutoff=0.6)
    if found:
        return f"did you mean '{folded[found[0]]}'?"
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return "known: " + ", ".join(names[:_LISTED]) + more
