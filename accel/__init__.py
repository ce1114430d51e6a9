"""Machines: generic units and memories, and the families that derive them from architects' parameters."""

if __name__ != "einsim.accel":
    raise ImportError("this package is 'einsim.accel' since einsim 0.2: import it by that name")
