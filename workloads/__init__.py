"""Workloads: cascades of Einsums, their notation, meaning, passes, sparsity and library."""

if __name__ != "einsim.workloads":
    raise ImportError("this package is 'einsim.workloads' since einsim 0.2: import it by that name")
