"""How long a kernel takes to predict: CPU milliseconds once compiled, of every shape of further models.

python benchmarks/gpu.py
"""

from __future__ import annotations

import sys
import time

from einsim import load_gpu
from einsim.sim.gpu.factors import read_factors
from einsim.sim.gpu.kernels.named import named
from einsim.sim.gpu.predict import predict
from einsim.validation.gpu.kernels.registry import fresh_cases

PRESET = "h200-sxm"


def main() -> None:
    """Mean, 99th percentile and slowest of the model alone, and of a row's names to its time."""
    gpu, factors = load_gpu(PRESET), read_factors(PRESET)
    cases = fresh_cases()
    alone, whole = list[float](), list[float]()
    for _ in range(2):  # the first compiles
        alone.clear()
        whole.clear()
        for case in cases:
            start = time.process_time()
            predict(case, gpu, efficiency=factors[case.family])
            middle = time.process_time()
            found = named(case.family, case.variant, case.sizes)
            predict(found, gpu, efficiency=factors[case.family])
            alone.append(1e3 * (middle - start))
            whole.append(1e3 * (time.process_time() - middle))
    for title, times in (("predict", alone), ("named and predict", whole)):
        ranked = sorted(times)
        mean, most = sum(ranked) / len(ranked), ranked[-1]
        late = ranked[int(0.99 * len(ranked))]
        sys.stdout.write(
            f"{title:18} {len(times)} cases: {mean:.2f} ms mean, {late:.2f} 99 %, {most:.2f} most\n"
        )


if __name__ == "__main__":
    main()
