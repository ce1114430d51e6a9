"""Synthesis held against accel's FPGA resource model, and a bounded proof of one element."""
