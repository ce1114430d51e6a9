"""Systolic arrays, output- and weight-stationary, dense or N:M: RTL, cocotb test, golden model, runs."""
