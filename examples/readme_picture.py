"""Draws the README's picture, docs/img/demo.svg, from the results that `make demo` shows."""

from __future__ import annotations

from pathlib import Path

from demo import CASES, SETTINGS  # the script beside this one

import einsim

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "img" / "demo.svg"


def main() -> None:
    """Evaluate the demo's cases and write the picture."""
    cases = []
    for workload, accel, mapping in CASES:
        found = einsim.evaluate(workload, accel, settings=SETTINGS, mapping=mapping, level="sim")
        cases.append(einsim.Case(result=found.result, machine=found.machine))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(einsim.report_picture("BERT-base attention, 4096 tokens", cases), encoding="utf-8")
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
