"""What RTL takes of an FPGA's fabric, counted from its structure: elements, modules, whole arrays."""
