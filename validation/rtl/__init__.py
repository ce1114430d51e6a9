"""RTL held against the simulator, cycle by cycle and bit by bit: golden jobs, grids, mutants."""
