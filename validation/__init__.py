"""The evidence: what einsim says, held against papers, RTL, silicon and synthesis."""

if __name__ != "einsim.validation":
    raise ImportError("this package is 'einsim.validation' since einsim 0.2: import it by that name")
