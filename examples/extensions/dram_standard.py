"""A DRAM standard: a table of one's own, here DDR4-3200 on two channels, that a machine's `timing` names."""

from __future__ import annotations

from pathlib import Path

import einsim

STANDARDS = Path(__file__).parent / "standards"
einsim.register_dram_standard("ddr4-3200-dual", STANDARDS / "ddr4-3200-dual.yaml")


def main() -> None:
    """The same workload on one channel and on two, every command in its place."""
    for timing, bandwidth in (("ddr4-3200", "25.6GB/s"), ("ddr4-3200-dual", "51.2GB/s")):
        settings = {"p": 256, "d": 1024, "accel.dram.timing": timing, "accel.dram.bandwidth": bandwidth}
        result = einsim.evaluate("softmax", "tpu-v4i", settings=settings).result
        print(f"{timing}: {result.latency_s * 1e6:.1f} us")


if __name__ == "__main__":
    main()
