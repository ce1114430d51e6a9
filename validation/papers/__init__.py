"""Figures that papers publish, held against what einsim computes for the same case."""
