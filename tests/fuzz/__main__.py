"""`python -m tests.fuzz --seed 7 --cases 20000`, or `--case 123` for one of them with all that it does."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

from tests.fuzz.watch import Failed, fuzz, summary


def main() -> int:
    """Play cases; 1 where one of them found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first case")
    parser.add_argument("--case", type=int, help="this one only, with its files and commands")
    given = parser.parse_args()
    kinds: Counter[str] = Counter()
    refused = 0

    def told(done: dict[str, Any]) -> None:
        nonlocal refused
        kinds[done["kind"]] += 1
        refused += any(line.startswith("2 error") for line in done["log"])
        if given.case is not None:
            print("\n".join(done["log"]))
            print(f"{done['cpu_s']:.2f} CPU-s")
        if done["fault"]:
            print(Failed(given.seed, done["case"], done["fault"], []), flush=True)
        elif sum(kinds.values()) % 500 == 0:
            print(f"{sum(kinds.values()):,} cases", file=sys.stderr, flush=True)

    cases = range(given.first, given.first + given.cases) if given.case is None else [given.case]
    failed = fuzz(given.seed, cases, told)
    print(
        f"{sum(kinds.values()):,} cases ({summary(kinds)}), {refused:,} refused, {len(failed)} with a fault"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
