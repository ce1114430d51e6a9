"""Cycle-level simulation: the event engine, exact array models and DRAM timing."""

if __name__ != "einsim.sim":
    raise ImportError("this package is 'einsim.sim' since einsim 0.2: import it by that name")
