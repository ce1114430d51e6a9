"""Strict specifications: errors that say where and why, units, and the safe YAML loader."""

if __name__ != "einsim.specs":
    raise ImportError("this package is 'einsim.specs' since einsim 0.2: import it by that name")
