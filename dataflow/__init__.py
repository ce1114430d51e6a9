"""Mappings: the LoopTree, its legality, lowering to a tile program, schedule and analytical model."""
