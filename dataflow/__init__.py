"""Mappings: the LoopTree, its legality, lowering to a tile program, schedule and analytical model."""

if __name__ != "einsim.dataflow":
    raise ImportError("this package is 'einsim.dataflow' since einsim 0.2: import it by that name")
