"""A machine family: dot-product engines, each so many multipliers deep, beside a vector unit."""

from __future__ import annotations

from pathlib import Path

import einsim


class DotEngines(einsim.BufferedFamilySpec, frozen=True, kw_only=True):
    """The keys of the family's YAML beside clock, DRAM and buffer; each is checked by its type."""

    engines: einsim.Count
    depth: einsim.Count
    dot: einsim.LanesSpec
    vector: einsim.LanesSpec


def derive(spec: DotEngines, name: str) -> einsim.Machine:
    """The machine: `dot` is an array of depth x engines, `vector` has a lane for each engine."""
    dims = {"rows": spec.depth, "cols": spec.engines}
    dot = spec.dot.unit("dot", kind="array", dims=dims, reads_from="gb")
    vector = spec.vector.unit("vector", kind="vector", dims={"lanes": spec.engines}, reads_from="gb")
    return spec.machine(name, {"dot": dot, "vector": vector})


einsim.register_family("dot-engines", DotEngines, derive)


def main() -> None:
    """One machine of the family with more and more engines."""
    file = Path(__file__).with_name("dot-engines.yaml")
    for engines in (32, 64, 128):
        result = einsim.evaluate(
            "ffn", file, settings={"p": 256, "d": 512, "s": 2048, "engines": engines}
        ).result
        print(f"{engines} engines: {result.latency_s * 1e6:.1f} us, {result.tops:.2f} TOPS")


if __name__ == "__main__":
    main()
