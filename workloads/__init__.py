"""Workloads: cascades of Einsums, their notation, meaning, passes, sparsity and library."""
