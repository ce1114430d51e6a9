"""The oracle: what a mapping computes and moves, found by doing it, point by point (see docs/mappings.md)."""
