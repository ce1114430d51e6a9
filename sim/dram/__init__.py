"""DRAM timing: banks, row buffers, command constraints, refresh and an FR-FCFS controller, cycle by cycle."""
