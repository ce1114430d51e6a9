"""One AccelForge search on its tpu_v4i example, printed as JSON; run by `benchmarks/mapper.py --accelforge`.

It runs in an environment of its own: Python 3.12 or newer, `pip install accelforge==1.0.467`, and Graphviz's
`dot`. Arguments: the workload's YAML text, "energy" or "latency", and how many loops may be fused ("" for
all). One worker, so that the process's CPU seconds are those of the search.
"""

# mypy: ignore-errors

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

RENAMES = """
renames:
  einsums:
  - name: default
    tensor_accesses:
    - {name: input, source: Inputs & Intermediates if len(All) == 3 else Inputs, expected_count: 1}
    - {name: output, source: Outputs, expected_count: 1}
    - {name: weight, source: ~(input | output), expected_count: 1 if len(All) == 3 else 0}
"""


def main() -> None:
    """Prints energy_j, latency_s and cpu_s."""
    import accelforge
    from accelforge.frontend.mapper.metrics import Metrics

    text, objective, fused = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes a picture of its mapping where it runs
        path = Path(folder, "workload.yaml")
        path.write_text(text + RENAMES, encoding="utf-8")
        spec = accelforge.Spec.from_yaml(accelforge.examples.arches.tpu_v4i, str(path))
        spec.mapper.metrics = Metrics.LATENCY if objective == "latency" else Metrics.ENERGY
        if fused:
            spec.mapper.max_fused_loops = int(fused)
        accelforge.set_n_parallel_jobs(1)
        start = time.process_time()
        found = spec.map_workload_to_arch(print_progress=False)
        seconds = time.process_time() - start
    answer = {"energy_j": float(found.energy()), "latency_s": float(found.latency()), "cpu_s": seconds}
    sys.stdout.write(f"RESULT {json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
