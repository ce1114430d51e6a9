"""Draws the README's picture from the results that `make demo` shows; takes the file, else out/demo.svg."""

from __future__ import annotations

import sys
from pathlib import Path

from demo import CASES, SETTINGS  # the script beside this one

import einsim

PICTURE = Path("out/demo.svg")


def main(picture: Path = PICTURE) -> None:
    """Evaluate the demo's cases and write the picture."""
    cases = []
    for workload, accel, mapping in CASES:
        found = einsim.evaluate(workload, accel, settings=SETTINGS, mapping=mapping, level="sim")
        cases.append(einsim.Case(result=found.result, machine=found.machine))
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(einsim.report_picture("BERT-base attention, 4096 tokens", cases), encoding="utf-8")
    print(f"wrote {picture}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
