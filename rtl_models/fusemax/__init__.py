"""FuseMax's array: RTL, cocotb test, golden model, runs."""
