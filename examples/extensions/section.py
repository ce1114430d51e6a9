"""A report section: the energy as carbon dioxide, at a grid's intensity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import einsim

GRAMS_PER_KWH = 400  # of the user's grid
J_PER_KWH = 3.6e6


def carbon(cases: Sequence[einsim.Case]) -> str:
    """A row a case: grams of a million runs."""
    rows = [[einsim.html_text(case.label), grams(case.result.energy_j)] for case in cases]
    return einsim.html_table(["machine", "CO2 of a million runs"], rows)


def grams(energy_j: float | None) -> str:
    """A million times an energy; None where the machine doesn't state all of it."""
    return "not stated" if energy_j is None else f"{energy_j * 1e6 / J_PER_KWH * GRAMS_PER_KWH:.2f} g"


einsim.register_section("carbon", "What the energy means", carbon, lead=f"At {GRAMS_PER_KWH} g a kWh.")


def main() -> None:
    """A report of two machines with the section."""
    found = [einsim.evaluate("softmax", accel) for accel in ("tpu-v4i", "fusemax-cloud")]
    cases = [einsim.Case(result=each.result, machine=each.machine) for each in found]
    page = einsim.report_page(cases)
    Path("carbon.html").write_text(page, encoding="utf-8")
    print(f"carbon.html: {page.count('CO2 of a million runs')} section on carbon")


if __name__ == "__main__":
    main()
