"""The double-buffered tile loader before an array: RTL, cocotb test, golden model, runs."""
