"""The mapping report: one HTML page, drawn from results and machines, never from a simulation."""
