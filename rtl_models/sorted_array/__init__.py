"""The N:M array behind its top-N sorter: RTL, cocotb test, golden model, runs."""
