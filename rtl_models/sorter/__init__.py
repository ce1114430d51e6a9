"""The top-N sorter: RTL, cocotb test, golden model, runs."""
