"""How long a search may take: three efforts in place of single limits."""

from __future__ import annotations

from typing import Final, Literal

Effort = Literal["quick", "normal", "proof"]

NODES: Final[dict[Effort, int]] = {"quick": 30_000, "normal": 1_000_000, "proof": 100_000_000}
"""Partial mappings that a search looks at, at most: of a quick one, which has a restricted space or does not
minimise time or energy, and of a normal one with many Einsums; of the others with few; as long as it takes.
"""

CHOICES: Final[dict[Effort, int]] = {"quick": 1, "normal": 60, "proof": 1_000}
"""Choices of what a named template leaves open that are judged, at most; the first is its own rule's."""
