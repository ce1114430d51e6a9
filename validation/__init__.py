"""The evidence: what einsim says, held against papers, RTL, silicon and synthesis."""
