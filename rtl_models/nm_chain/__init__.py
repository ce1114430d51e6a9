"""N:M chains of DSP48 slices: RTL, cocotb test, golden model, runs."""
