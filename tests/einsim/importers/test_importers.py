"""Files of other tools become machines and workloads of the same figures; what doesn't is told."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.accel.load import load_machine
from einsim.cli.main import main
from einsim.importers.read import read_foreign
from einsim.specs.errors import SpecError
from einsim.workloads.execute import execute
from einsim.workloads.file import read_cascade
from einsim.workloads.sparsity import Density

# Written in the published formats of each tool.
NESTED = """\
architecture:
  version: 0.3
  subtree:
    - name: chip
      attributes: {technology: 45nm}
      local:
        - {name: DRAM, class: DRAM, attributes: {width: 64, word-bits: 16, block-size: 4, read_bandwidth: 4, write_bandwidth: 4}}
      subtree:
        - name: tile
          local:
            - {name: glb, class: smartbuffer_SRAM, attributes: {memory_depth: 16384, memory_width: 64, word-bits: 16, read_bandwidth: 16, write_bandwidth: 16}}
            - {name: "Dummy[0..13]", class: regfile, attributes: {depth: 16, width: 16, meshX: 14}}
          subtree:
            - name: PE[0..167]
              local:
                - {name: spad, class: smartbuffer_RF, attributes: {memory_depth: 192, memory_width: 16, meshX: 14, word-bits: 16}}
                - {name: mac, class: intmac, attributes: {datawidth: 16, meshX: 14}}
mapper: {algorithm: random}
"""
NODES = """\
architecture:
  version: 0.4
  nodes:
  - !Container
    name: system
    attributes: {technology: "45nm", global_cycle_seconds: 1e-9}
  - !Component
    name: DRAM
    class: DRAM
    attributes: {width: 256, datawidth: 8, shared_bandwidth: 32}
  - !Container
    name: chip
  - !Component
    name: glb
    class: smartbuffer_SRAM
    attributes: {depth: 16384, width: 128, datawidth: 8, read_bandwidth: 16, write_bandwidth: 16}
    constraints: {dataspace: {keep: [Inputs]}}
  - !Container
    name: PE
    spatial: {meshX: 14, meshY: 12}
  - !Component
    name: weight_spad
    class: smartbuffer_RF
    attributes: {depth: 192, width: 8, datawidth: 8}
  - !Component
    name: mac
    class: intmac
    attributes: {datawidth: 8}
"""
PROBLEM = """\
problem:
  version: 0.4
  shape:
    name: conv
    dimensions: [C, M, R, S, N, P, Q]
    coefficients:
    - {name: Wstride, default: 1}
    - {name: Hstride, default: 1}
    - {name: Wdilation, default: 1}
    - {name: Hdilation, default: 1}
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]]]}
    - {name: Inputs, projection: [[[N]], [[C]], [[R, Wdilation], [P, Wstride]], [[S, Hdilation], [Q, Hstride]]]}
    - {name: Outputs, projection: [[[N]], [[M]], [[Q]], [[P]]], read_write: True}
  instance: {C: 3, M: 96, R: 11, S: 11, N: 1, P: 55, Q: 55, Wstride: 4, Hstride: 4, densities: {Inputs: 0.5}}
mapper: {timeout: 100}
"""
ARCH = """\
arch:
  nodes:
  - !Memory
    name: MainMemory
    size: inf
    leak_power: 0
    actions:
    - {name: read, energy: 7.03e-12, latency: 1 / (8 * 614e9)}
    - {name: write, energy: 7.03e-12, latency: 1 / (8 * 614e9)}
    tensors: {keep: ~Intermediates}
  - !Memory
    name: GlobalBuffer
    size: 1024*1024*128*8
    total_latency: max(read_latency, write_latency)
    area: 112e-6
    actions:
    - {name: read, energy: 1.88e-12, latency: 1 / (8 * 2048e9)}
    - {name: write, energy: 2.36e-12, latency: 1 / (8 * 1024e9)}
  - !Memory
    name: LocalBuffer
    spatial: [{name: Z, fanout: 4}]
    size: 1024*1024*4*8
    actions:
    - {name: read, energy: 0.249e-12, latency: 0}
    - {name: write, energy: 0.293e-12, latency: 0}
  - !Compute
    name: ScalarUnit
    actions: [{name: compute, energy: 0, latency: 1 / 1.05e9 / 128}]
    enabled: len(All) == 2
  - !Container
    name: PE
    spatial:
    - {name: a, fanout: 128}
    - {name: b, fanout: 128}
  - !Memory
    name: Register
    size: weight.bits_per_value if weight else 0
  - !Compute
    name: MAC
    actions: [{name: compute, energy: 0.084e-12, latency: 1 / 1.05e9}]
"""
WORKLOAD = """\
{% set N = N | default(64) %}
workload:
  rank_sizes: {B: 1, P0: 28, Q0: 28, N0: 24, T0: 192, P1: 28, Q1: 28, N1: 24}
  bits_per_value: {All: 8}
  persistent_tensors: weight
  einsums:
  - name: A
    tensor_accesses:
    - {name: T0, projection: [p0, q0, n0, b]}
    - {name: WA, projection: [n0, t0]}
    - {name: TA, projection: [p0, q0, t0, b], output: True}
  - name: D
    tensor_accesses:
    - {name: TA, projection: {P0: p1 + r, Q0: q1 + s, T0: t0, B: b}}
    - {name: WD, projection: [r, s, t0]}
    - {name: TB, projection: [p1, q1, t0, b], output: True}
    iteration_space_shape: [0 <= r < 3, 0 <= s < 3]
  - "TC[p1, q1, n1, b] = TB[p1, q1, t0, b] * WC[t0, n1]"
  - "TD[p1, q1, n1, b] = TC[p1, q1, n1, b]"
"""
TOPOLOGY = """\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1,230,230,7,7,3,64,2,

ResNet block,
Conv2,58,58,3,3,64,64,1,1:4,
"""
PRODUCTS = """\
Layer,M,N,K,
qk,128,128,64,
av,128,64,128,
"""


@pytest.fixture
def imported(tmp_path):
    def made(text, name="file.yaml", only=None):
        (tmp_path / name).write_text(text)
        return read_foreign(tmp_path / name, only)

    return made


@pytest.fixture
def read(imported, tmp_path):
    """What einsim reads of a file, and what wasn't carried over."""

    def made(text, name="file.yaml"):
        found = imported(text, name)
        path = tmp_path / "ours.yaml"
        path.write_text(found.text)
        return (load_machine(str(path)) if found.kind == "machine" else read_cascade(path, {})), found

    return made


def test_a_timeloop_problem_computes_its_convolution(read):
    cascade, found = read(
        PROBLEM.replace(
            "C: 3, M: 96, R: 11, S: 11, N: 1, P: 55, Q: 55", "C: 3, M: 4, R: 3, S: 2, N: 2, P: 5, Q: 4"
        )
    )
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(cascade.shape(name)) for name in ("Weights", "Inputs")}
    made = execute(cascade, values)["Outputs"]
    for p, q in ((0, 0), (4, 3), (2, 1)):
        window = values["Inputs"][:, :, 4 * p : 4 * p + 3, 4 * q : 4 * q + 2]
        np.testing.assert_allclose(made[:, :, q, p], np.einsum("ncrs,cmrs->nm", window, values["Weights"]))
    assert cascade.tensor("Inputs").sparsity == Density(0.5)
    assert found.left == ("mapper: not part of a machine or a workload here",)


def test_a_timeloop_problem_of_a_known_shape_and_an_old_spelling(read):
    old = "problem: {shape: cnn-layer, C: 3, M: 96, R: 11, S: 11, N: 1, P: 55, Q: 55, Wstride: 4, Hstride: 4}"
    assert read(old)[0].macs == read(PROBLEM)[0].macs == 3 * 96 * 11 * 11 * 55 * 55
    dashes = PROBLEM.replace("data_spaces", "data-spaces").replace("read_write", "read-write")
    assert read(dashes)[0] == read(PROBLEM)[0]


def test_a_nested_timeloop_architecture(read):
    machine, found = read(NESTED)
    assert machine.units[0].dims == {"rows": 14, "cols": 12}
    (glb,) = (memory for memory in machine.memories if memory.name == "glb")
    assert (glb.capacity_bytes, glb.read_bytes_per_s, glb.access_bytes) == (
        16384 * 8,
        32e9,
        8,
    )  # 16 words of 2 B at 1 GHz
    assert [line for line in found.left if "like a PE" in line] == [
        "Dummy: one of 14, 32 B, like a PE's registers", "spad: one of 168, 384 B, like a PE's registers",
    ]  # fmt: skip
    assert found.assumed == ("clock: the file says none",)


def test_a_timeloop_architecture_of_nodes(read):
    machine, found = read(NODES)
    assert machine.units[0].dims == {"rows": 12, "cols": 14}
    assert machine.clock_hz == pytest.approx(1e9)
    assert machine.dram.read_bytes_per_s == pytest.approx(
        32e9
    )  # 32 words of a byte a cycle, reads and writes together
    assert found.assumed == ()
    assert "constraints of glb: a mapping is not part of a machine here" in found.left


def test_an_accelforge_architecture(read):
    machine, found = read(ARCH)
    array, scalar = machine.units
    assert (array.dims, scalar.dims) == ({"cores": 4, "rows": 128, "cols": 128}, {"cores": 4, "lanes": 128})
    assert array.ops["mac"].energy_pj == pytest.approx(0.084)
    assert machine.clock_hz == pytest.approx(1.05e9)
    held = {memory.name: memory for memory in machine.memories}
    assert held["MainMemory"].read_bytes_per_s == pytest.approx(614e9)
    assert held["GlobalBuffer"].write_bytes_per_s == pytest.approx(1024e9)
    assert (held["GlobalBuffer"].capacity_bytes, held["LocalBuffer"].copies) == (2**27, 4)
    assert held["GlobalBuffer"].read_pj / held["GlobalBuffer"].access_bytes == pytest.approx(1.88 * 8)
    assert "Register: one of 16384, like a PE's registers" in found.left


def test_a_port_of_two_rates_keeps_both(read):
    text = """arch:
  nodes:
  - !Memory
    name: Main
    size: inf
    actions: [{name: read, energy: 1e-12, latency: 1/(8*100e9)}, {name: write, energy: 1e-12, latency: 1/(8*10e9)}]
  - !Compute
    name: MAC
    actions: [{name: compute, energy: 1e-12, latency: 1e-9}]
"""
    machine, found = read(text)
    assert (machine.dram.read_bytes_per_s, machine.dram.write_bytes_per_s) == (100e9, 10e9)
    turns = "Main: reads and writes take turns on one port of two rates; here each has a port of its own, at its rate"
    assert turns in found.left
    machine, found = read(text.replace("10e9", "100e9"))
    assert (machine.dram.read_bytes_per_s, machine.dram.shared_port) == (100e9, True)
    assert not any("Main: reads" in line for line in found.left)
    machine, found = read(text.replace("latency: 1/(8*10e9)", "latency: 0"))
    assert (machine.dram.read_bytes_per_s, machine.dram.write_bytes_per_s) == (100e9, None)
    assert "write bandwidth of Main: none is given, so that port never limits" in found.left


def test_an_accelforge_workload_computes_its_einsums(read):
    cascade, found = read(WORKLOAD.replace("28", "5").replace("192", "4").replace("24", "3"))
    rng = np.random.default_rng(0)
    values = {tensor.name: rng.standard_normal(cascade.shape(tensor.name)) for tensor in cascade.inputs}
    made = execute(cascade, values)
    wide = np.einsum("pqnb,nt->pqtb", values["T0"], values["WA"])
    np.testing.assert_allclose(made["TA"][:5, :5], wide)
    padded = np.pad(wide, ((0, 2), (0, 2), (0, 0), (0, 0)))  # an index past the end reads nothing
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
    np.testing.assert_allclose(made["TB"], np.einsum("pqtbrs,rst->pqtb", windows, values["WD"]))
    np.testing.assert_allclose(made["TD"], np.einsum("pqtb,tn->pqnb", made["TB"], values["WC"]))
    assert {tensor.bits for tensor in cascade.tensors} == {8}
    assert found.left[-1] == "TD: what is computed of its one operand isn't said; it is a copy"


def test_a_template_is_filled_with_its_defaults(read):
    text = """{% set M = M | default(16) %}
workload:
  iteration_space_shape: {m: "0 <= m < {{M}}", k: 0 <= k < 8, n: 0 <= n < 4}
  einsums:
  - {einsum: "C[m, n] = A[m, k] * B[k, N: n]"}
"""
    assert read(text)[0].macs == 16 * 8 * 4


def test_a_topology_of_convolutions(read):
    cascade, found = read(TOPOLOGY, "net.csv")
    first, second = (cascade.points(name) for name in ("Conv1", "Conv2"))
    assert (first, second) == (112 * 112 * 64 * 3 * 49, 56 * 56 * 64 * 64 * 9)
    assert cascade.shape("I_Conv1") == (3, 229, 229)  # a row and a column of 230 are met by no filter
    assert found.left == ("Conv2: sparsity 1:4 of its filters",)


def test_a_topology_of_products(read):
    cascade, _ = read(PRODUCTS, "net.csv")
    assert [cascade.points(name) for name in ("qk", "av")] == [128 * 128 * 64, 128 * 64 * 128]


FAULTS = {
    "neither": ("a: 1\n", "none of problem, architecture, workload, arch at its top"),
    "both": (PROBLEM + NODES, "holds a machine and a workload; --only machine, or workload"),
    "no yaml": ("problem: [\n", "file.yaml:2: is not YAML"),
    "a list": ("- 1\n", "must be a mapping"),
    "a template": ("{% for i in range(3) %}\narch: {}\n", "file.yaml:1: is a template; give it filled in"),
    "no size": (WORKLOAD.replace("T0: 192, ", ""), "rank_sizes.T0: gives no size"),
    "no instance": (PROBLEM.replace("C: 3", "C: 0"), "problem.instance.C: must be a whole number >= 1"),
    "a name that is none": (PROBLEM.replace("Wstride: 4", "Wstrid: 4"), "problem.instance.Wstrid: is no dimension or coefficient of the shape; did you mean 'Wstride'?"),
    "a dimension of another name": (PROBLEM.replace("C: 3", "K: 3"), "problem.instance.K: is no dimension"),
    "a dimension without a size": (PROBLEM.replace("C: 3, ", ""), "problem.instance.C: gives no size of this dimension; C: 1, if it is none"),
    "an old problem without one": ("problem: {shape: cnn-layer, M: 2, R: 1, S: 1, N: 1, P: 5, Q: 5}\n", "problem.instance.C: gives no size"),
    "a density of nothing": (PROBLEM.replace("{Inputs: 0.5}", "{Input: 0.5}"), "problem.instance.densities.Input: is no data space of the shape; did you mean 'Inputs'?"),
    "no written space": (PROBLEM.replace(", read_write: True", ""), "needs one that is written"),
    "unknown shape": ("problem: {shape: tensor-train}\n", "is a name that isn't known here"),
    "no memory": ("arch: {nodes: [!Compute {name: MAC}]}\n", "needs a memory and a compute unit"),
    "text for nodes": ("arch: {nodes: [text]}\n", "must be a mapping"),
    "spaces that are none": ("problem: {shape: {dimensions: [A], data_spaces: 3}}\n", "is not as problem is published"),
    "a python object": ("arch: !!python/object/apply:os.system ['true']\n", "is not YAML"),
    "written twice": ("workload: {rank_sizes: {M: 2}, einsums: ['A[m] = B[m]', 'A[m] = C[m]']}\n", "a second time"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_read_is_one_line(imported, name):
    text, said = FAULTS[name]
    with pytest.raises(SpecError) as caught:
        imported(text)
    assert said in str(caught.value)
    assert "file.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("Layer,M,N,K\nqk,128,x,64\n", "net.csv:2: a figure must be a whole number"), ("Layer,M,N,K\n", "holds no layer"),
     ("a,3,3,5,5,1,1,1\n", "net.csv:1 a: a filter is larger"), ("a,1,2\n", "net.csv:1: a layer has 3 figures")],
)  # fmt: skip
def test_a_topology_that_is_none_is_one_line(imported, text, said):
    with pytest.raises(SpecError) as caught:
        imported(text, "net.csv")
    assert said in str(caught.value)


def test_the_command_writes_what_runs_and_says_what_is_missing(tmp_path, capsys):
    (tmp_path / "prob.yaml").write_text(PROBLEM + "architecture: {}\n")
    out = tmp_path / "layer.yaml"
    assert main(["import", str(tmp_path / "prob.yaml"), "--only", "workload", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "a workload from" in said
    assert "not carried over: mapper" in said
    assert "# not carried over: mapper" in out.read_text()
    assert (
        main(["import", str(tmp_path / "prob.yaml"), "--only", "workload", "-o", str(out)]) == 0
    )  # its own kind
    out.write_text("mapping: mine\n")
    assert main(["import", str(tmp_path / "prob.yaml"), "--only", "workload", "-o", str(out)]) == 2
    assert main(["import", str(tmp_path / "nothing.yaml")]) == 2
    assert "no such file" in capsys.readouterr().err
