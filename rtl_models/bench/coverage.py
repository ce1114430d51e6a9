"""Functional coverage: which of the named situations a set of runs has met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class Coverage:
    """Counts hits in named bins; bins are declared first, so that what was missed can be named."""

    def __init__(self, bins: Iterable[str]) -> None:
        self.hits: Counter[str] = Counter(dict.fromkeys(bins, 0))

    def hit(self, *names: str) -> None:
        """Count one hit in each bin; KeyError for a bin that was not declared."""
        for name in names:
            if name not in self.hits:
                raise KeyError(f"no bin '{name}', declared are {', '.join(self.hits)}")
            self.hits[name] += 1

    @property
    def missed(self) -> list[str]:
        """Bins without a hit, in the order of their declaration."""
        return [name for name, count in self.hits.items() if count == 0]

    @property
    def share(self) -> float:
        """Bins hit over bins declared."""
        return 1 - len(self.missed) / len(self.hits) if self.hits else 1.0


SHAPES = ("one tile", "several row tiles", "several column tiles", "ragged rows", "ragged columns",
          "one row", "one column", "short stream")  # fmt: skip
PATTERNS = ("dense", "1:4", "2:4", "2:8")


def shape_bins(along_rows: int, along_cols: int, stream: int, rows: int, cols: int) -> list[str]:
    """The bins of SHAPES that a problem of these sizes meets on a `rows` x `cols` array."""
    several_rows, several_cols = along_rows > rows, along_cols > cols
    met = {
        "one tile": not several_rows and not several_cols,
        "several row tiles": several_rows,
        "several column tiles": several_cols,
        "ragged rows": along_rows % rows != 0,
        "ragged columns": along_cols % cols != 0,
        "one row": along_rows == 1,
        "one column": along_cols == 1,
        "short stream": stream < rows,
    }
    return [name for name, is_met in met.items() if is_met]
