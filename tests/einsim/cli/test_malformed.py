"""Whatever is wrong with what a user gives: one line that says what and where, exit code 2, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from einsim.cli.main import main

# The smallest machine and cascade that run; each malformed input changes one thing of them.
MACHINE = """\
machine: small
clock: 1GHz
memories:
  dram: {bandwidth: 16GB/s, access: 8B, read_energy: 100pJ}
  sram: {parent: dram, capacity: 64KiB, bandwidth: 64GB/s, access: 8B, read_energy: 5pJ}
units:
  grid:
    kind: array
    dims: {rows: 8, cols: 8}
    reads_from: sram
    ops: {mac: {energy: 1pJ}}
  lanes:
    kind: vector
    dims: {lanes: 8}
    reads_from: sram
    ops: {mac: {energy: 1pJ}, add: {energy: 1pJ}, max: {energy: 1pJ}}
"""
CASCADE = """\
name: product
ranks: {i: 32, j: 32, k: 32}
einsums: |
  C[i,j] = A[i,k] * B[k,j]
  D[i,j] = exp(C[i,j])
"""
MAPPING = """\
mapping:
  tree:
    - {for: i, tile: 8}
    - {keep: [A, B, C, D], in: sram}
    - pipeline:
        - {compute: C, on: grid, spatial: {rows: i, cols: j}}
        - {compute: D, on: lanes, spatial: {lanes: j}}
"""
RUN_MAPPING = ["run", "good.yaml", "--accel", "good-machine.yaml", "--mapping", "bad.yaml"]
RUN_MACHINE = ["run", "good.yaml", "--accel", "bad.yaml"]
RUN_CASCADE = ["run", "bad.yaml", "--accel", "fusemax-cloud"]
ATTENTION = ["run", "attention", "--accel", "fusemax-cloud"]

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)

# (what is wrong, the command line, what bad.yaml holds, words that the line must have)
FLAGS: list[tuple[str, list[str], list[str]]] = [
    ("no machine", ["run", "attention"], ["missing option --accel", "einsim run --help"]),
    ("no workload", ["run", "--accel", "fusemax-cloud"], ["missing argument WORKLOAD"]),
    (
        "misspelled workload",
        ["run", "atention", "--accel", "fusemax-cloud"],
        ["atention", "did you mean 'attention'?"],
    ),
    (
        "misspelled machine",
        ["run", "attention", "--accel", "fusmax-cloud"],
        ["did you mean 'fusemax-cloud'?"],
    ),
    ("misspelled option", [*ATTENTION, "--levl", "sim"], ["no option '--levl'", "did you mean '--level'?"]),
    ("misspelled level", [*ATTENTION, "--level", "simm"], ["--level", "got 'simm'", "did you mean 'sim'?"]),
    (
        "misspelled mapping",
        [*ATTENTION, "--mapping", "unfusd"],
        ["--mapping", "unfusd", "did you mean 'unfused'?"],
    ),
    ("mapping that is not there", [*ATTENTION, "--mapping", "no.yaml"], ["no.yaml", "no such file"]),
    ("setting without a value", [*ATTENTION, "--set", "seq"], ["--set", "must be key=value", "got 'seq'"]),
    ("setting without a key", [*ATTENTION, "--set", "=4"], ["--set", "must be key=value"]),
    ("misspelled setting", [*ATTENTION, "--set", "sq=4K"], ["--set sq", "did you mean 'seq'?"]),
    (
        "misspelled machine setting",
        [*ATTENTION, "--set", "accel.array.row=4"],
        ["row", "did you mean 'rows'?"],
    ),
    ("setting given twice", [*ATTENTION, "--set", "seq=4K", "seq=8K"], ["seq", "is set twice"]),
    ("zero size", [*ATTENTION, "--set", "seq=0"], ["seq", "must be >= 1 (got 0)"]),
    ("negative size", [*ATTENTION, "--set", "seq=-4"], ["seq", "must be >= 1 (got -4)"]),
    (
        "size that is no number",
        [*ATTENTION, "--set", "seq=long"],
        ["seq", "must be a whole number", "got 'long'"],
    ),
    ("absurd size", [*ATTENTION, "--set", "seq=99999999999999999999"], ["seq", "must be <= 2**40"]),
    ("misspelled model", [*ATTENTION, "--set", "model=brt-base"], ["model", "did you mean 'bert-base'?"]),
    (
        "heads that don't divide",
        [*ATTENTION, "--set", "kv_heads=5"],
        ["kv_heads", "must divide the 12 query heads"],
    ),
    (
        "array of no rows",
        [*ATTENTION, "--set", "accel.array.rows=0"],
        ["array.rows", "must be >= 1", "got 0"],
    ),
    (
        "array of absurd rows",
        [*ATTENTION, "--set", "array.rows=10000000"],
        ["array.rows", "must be <= 65536"],
    ),
    ("buffer without a unit", [*ATTENTION, "--set", "buffer=16MoB"], ["buffer", "16MoB"]),
    (
        "buffer that nothing fits into",
        [*ATTENTION, "--set", "accel.buffer=1KiB"],
        ["`gb` needs a capacity of at least", "has 1,024"],
    ),
    (
        "design that does not fit its part",
        ["run", "ffn", "--accel", "u280-flightllm", "--set", "matrix.mm.cols=4096"],
        ["DSP", "u280"],
    ),
    ("unknown rank", ["passes", "attention", "--rank", "z"], ["unknown rank 'z'"]),
    (
        "setting that passes can't use",
        ["passes", "attention", "--set", "buffer=1"],
        ["buffer", "no such setting"],
    ),
    ("misspelled kind", ["list", "workload"], ["workload", "did you mean 'workloads'?"]),
    ("misspelled suite", ["validate", "paper"], ["paper", "did you mean 'papers'?"]),
    (
        "case of one word",
        ["validate", "papers", "--case", "BERT"],
        ["fusemax:CONFIG:MODEL:SEQ", "got 'BERT'"],
    ),
    (
        "case of another paper",
        ["validate", "papers", "--case", "fusemix:flat:BERT:4K"],
        ["did you mean 'fusemax'?"],
    ),
    (
        "misspelled configuration",
        ["validate", "--case", "fusemax:bindin:BERT:4K"],
        ["did you mean 'binding'?"],
    ),
    ("misspelled model of a case", ["validate", "--case", "fusemax:flat:TRXL:4K"], ["did you mean 'TrXL'?"]),
    (
        "length of a case",
        ["validate", "--case", "fusemax:flat:T5:3K"],
        ["SEQ", "power of two from 1K to 1M", "3K"],
    ),
    (
        "length that is too long",
        ["validate", "--case", "fusemax:flat:T5:2M"],
        ["SEQ", "power of two from 1K to 1M"],
    ),
    ("report of nothing", ["report", "-o", "out.html"], ["missing argument RESULT|WORKLOAD"]),
    (
        "report without a page",
        ["report", "attention", "--accel", "fusemax-cloud"],
        ["missing option --output"],
    ),
    ("report without a machine", ["report", "attention", "-o", "out.html"], ["an --accel is needed"]),
    (
        "report of no result",
        ["report", "good.yaml", "-o", "out.html"],
        ["is no result that `einsim run` wrote"],
    ),
    (
        "report of a file that is not there",
        ["report", "gone.json", "-o", "out.html"],
        ["gone.json: no such file"],
    ),
    (
        "report into a file's folder",
        ["report", "good.yaml", "--accel", "good-machine.yaml", "-o", "good.yaml/out.html"],
        ["good.yaml/out.html"],
    ),
    ("machine that is a folder", ["run", "attention", "--accel", "./"], ["cannot be read: Is a directory"]),
    ("workload that is a folder", ["run", "folder.yaml", "--accel", "fusemax-cloud"], ["folder.yaml"]),
    ("workload that is not there", ["passes", "nowhere.yaml"], ["nowhere.yaml", "no such file"]),
    ("configuration of an unknown kind", ["passes", "other.json"], ["other.json", "model_type"]),
    ("configuration that is no JSON", ["passes", "broken.json"], ["broken.json"]),
]

FILES: list[tuple[str, list[str], str | bytes, list[str]]] = [
    ("empty machine", RUN_MACHINE, "", ["bad.yaml", "is empty"]),
    ("binary machine", RUN_MACHINE, bytes(range(256)), ["bad.yaml"]),
    ("list for a machine", RUN_MACHINE, "- clock\n", ["bad.yaml:1", "must be a mapping"]),
    (
        "tag",
        RUN_MACHINE,
        "machine: !!python/object/apply:os.system ['id']\n",
        ["bad.yaml:1", "tags are not allowed"],
    ),
    ("alias bomb", RUN_MACHINE, BOMB, ["bad.yaml", "aliases"]),
    ("key given twice", RUN_MACHINE, MACHINE + "clock: 2GHz\n", ["bad.yaml", "clock", "twice"]),
    ("missing clock", RUN_MACHINE, MACHINE.replace("clock: 1GHz\n", ""), ["bad.yaml", "missing key 'clock'"]),
    (
        "misspelled key",
        RUN_MACHINE,
        MACHINE.replace("clock:", "clok:"),
        ["bad.yaml:2", "did you mean 'clock'?"],
    ),
    ("neither family nor machine", RUN_MACHINE, "clock: 1GHz\n", ["bad.yaml", "missing key 'family'"]),
    (
        "unknown family",
        RUN_MACHINE,
        "family: spacial-array\n",
        ["bad.yaml:1", "did you mean 'spatial-array'?"],
    ),
    (
        "rows that are no number",
        RUN_MACHINE,
        MACHINE.replace("rows: 8", "rows: many"),
        ["bad.yaml:9", "integer", "many"],
    ),
    ("no rows", RUN_MACHINE, MACHINE.replace("rows: 8", "rows: 0"), ["bad.yaml:9", "rows", "must be >= 1"]),
    ("negative capacity", RUN_MACHINE, MACHINE.replace("64KiB", "-64KiB"), ["bad.yaml:5", "sram.capacity"]),
    ("infinite clock", RUN_MACHINE, MACHINE.replace("1GHz", ".inf"), ["bad.yaml:2", "finite"]),
    ("clock of bytes", RUN_MACHINE, MACHINE.replace("1GHz", "1GiB"), ["bad.yaml:2", "clock"]),
    (
        "unknown memory",
        RUN_MACHINE,
        MACHINE.replace("reads_from: sram", "reads_from: sraam"),
        ["did you mean 'sram'?"],
    ),
    (
        "ring of memories",
        RUN_MACHINE,
        MACHINE.replace("{bandwidth: 16", "{parent: sram, bandwidth: 16"),
        ["parent"],
    ),
    (
        "op made of itself",
        RUN_MACHINE,
        MACHINE.replace("{mac: {energy: 1pJ}}", "{mac: {made_of: {mac: 2}}}"),
        ["itself"],
    ),
    ("no unit for an op", RUN_MACHINE, MACHINE.replace("add: {energy: 1pJ}, max", "min"), ["exp"]),
    ("nested deep", RUN_MACHINE, "a: " + "[" * 5000, ["bad.yaml:1", "nested deeper"]),
    ("second document", RUN_MACHINE, MACHINE + "---\na: 1\n", ["bad.yaml", "second document"]),
    ("empty mapping", RUN_MAPPING, "", ["bad.yaml", "is empty"]),
    (
        "mapping of another cascade",
        RUN_MAPPING,
        MAPPING.replace("  tree:", "  cascade: ffn\n  tree:"),
        ["bad.yaml:2", "'product'"],
    ),
    (
        "misspelled node",
        RUN_MAPPING,
        MAPPING.replace("keep:", "kep:"),
        ["bad.yaml:4", "did you mean 'keep'?"],
    ),
    (
        "loop of an unknown rank",
        RUN_MAPPING,
        MAPPING.replace("for: i", "for: ii"),
        ["bad.yaml:3", "did you mean 'i'?"],
    ),
    ("tile of nothing", RUN_MAPPING, MAPPING.replace("tile: 8", "tile: 0"), ["bad.yaml:3", "must be >= 1"]),
    (
        "tile above the rank",
        RUN_MAPPING,
        MAPPING.replace("tile: 8", "tile: 64"),
        ["bad.yaml:3", "must be <= 32"],
    ),
    (
        "unknown memory of a keep",
        RUN_MAPPING,
        MAPPING.replace("in: sram", "in: sraam"),
        ["bad.yaml:4", "did you mean 'sram'?"],
    ),
    (
        "unknown Einsum",
        RUN_MAPPING,
        MAPPING.replace("compute: D", "compute: DD"),
        ["bad.yaml:7", "did you mean 'D'?"],
    ),
    (
        "unknown unit",
        RUN_MAPPING,
        MAPPING.replace("on: lanes", "on: lane"),
        ["bad.yaml:7", "did you mean 'lanes'?"],
    ),
    (
        "unit without the op",
        RUN_MAPPING,
        MAPPING.replace("on: lanes, spatial: {lanes: j}", "on: grid"),
        ["bad.yaml:7", "exp"],
    ),
    (
        "Einsum left out",
        RUN_MAPPING,
        MAPPING.replace("        - {compute: D, on: lanes, spatial: {lanes: j}}\n", ""),
        ["D"],
    ),
    (
        "consumer before its producer",
        RUN_MAPPING,
        "\n".join([*MAPPING.splitlines()[:5], *MAPPING.splitlines()[:4:-1]]),
        ["bad.yaml"],
    ),
    (
        "tiles that don't fit",
        RUN_MAPPING,
        MAPPING.replace("in: sram", "in: sram, buffers: 100"),
        ["bad.yaml:4", "sram"],
    ),
    (
        "loop around nothing",
        RUN_MAPPING,
        "mapping: {tree: [{for: i, tile: 8}]}\n",
        ["bad.yaml:1", "must wrap something"],
    ),
    ("empty cascade", RUN_CASCADE, "", ["bad.yaml", "is empty"]),
    ("no Einsums", RUN_CASCADE, "ranks: {i: 4}\n", ["bad.yaml", "missing key 'einsums'"]),
    (
        "misspelled section",
        RUN_CASCADE,
        CASCADE.replace("ranks:", "rank:"),
        ["bad.yaml:2", "did you mean 'ranks'?"],
    ),
    ("rank that is not declared", RUN_CASCADE, CASCADE.replace("B[k,j]", "B[kk,j]"), ["bad.yaml:4", "kk"]),
    ("rank of no size", RUN_CASCADE, CASCADE.replace("i: 32", "i: 0"), ["bad.yaml:2", "must be >= 1"]),
    (
        "rank of absurd size",
        RUN_CASCADE,
        CASCADE.replace("i: 32", "i: 99999999999999"),
        ["bad.yaml:2", "2**40"],
    ),
    ("cyclic cascade", RUN_CASCADE, CASCADE.replace("B[k,j]", "D[k,j]"), ["bad.yaml", "D"]),
    ("tensor of two shapes", RUN_CASCADE, CASCADE.replace("exp(C[i,j])", "exp(C[i])"), ["bad.yaml:5", "C"]),
    ("tensor written twice", RUN_CASCADE, CASCADE.replace("D[i,j] =", "C[i,j] ="), ["bad.yaml:5", "C"]),
    (
        "unknown operator",
        RUN_CASCADE,
        CASCADE.replace("exp(", "expp("),
        ["bad.yaml:5", "did you mean 'exp'?"],
    ),
    ("code", RUN_CASCADE, CASCADE.replace("exp(C[i,j])", "__import__('os').system('id')"), ["bad.yaml:5"]),
    ("open bracket", RUN_CASCADE, CASCADE.replace("exp(C[i,j])", "exp(C[i,j]"), ["bad.yaml:5", "bracket"]),
    (
        "no expression",
        RUN_CASCADE,
        CASCADE.replace("exp(C[i,j])", "exp C"),
        ["bad.yaml:5", "not an expression"],
    ),
    ("sparsity of nothing", RUN_CASCADE, CASCADE + "tensors: {A: {sparse: '5:4 k'}}\n", ["bad.yaml:6", "A"]),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "good.yaml").write_text(CASCADE)
    (tmp_path / "good-machine.yaml").write_text(MACHINE)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "other.json").write_text('{"model_type": "resnet"}')
    (tmp_path / "broken.json").write_text('{"model_type": ')
    (tmp_path / "r.json").write_text('{"workload": "w", "accel": "a", "cycles": 1}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(code: int, out: str, err: str, words: list[str]) -> None:
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert [word for word in words if word not in err] == [], err
    assert code == 2


@pytest.mark.parametrize(
    ("arguments", "words"), [case[1:] for case in FLAGS], ids=[case[0] for case in FLAGS]
)
def test_wrong_words_on_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    code = main(arguments)
    check(code, *capsys.readouterr(), words)


@pytest.mark.parametrize(
    ("arguments", "content", "words"), [case[1:] for case in FILES], ids=[case[0] for case in FILES]
)
def test_wrong_words_in_a_file(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    content: str | bytes,
    words: list[str],
) -> None:
    (folder / "bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    code = main(arguments)
    check(code, *capsys.readouterr(), words)


def test_what_the_malformed_inputs_start_from_is_right(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text(MAPPING)
    for arguments in (["run", "good.yaml", "--accel", "good-machine.yaml"], RUN_MAPPING):
        assert main([*arguments, "--json"]) == 0
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (["run", "attention"], ""),
        (RUN_MACHINE, MACHINE.replace("rows: 8", "rows: 0")),
        (RUN_MACHINE, BOMB),
        (RUN_CASCADE, CASCADE.replace("exp(C[i,j])", "__import__('os').system('id')")),
    ],
    ids=["flag", "machine", "bomb", "code"],
)
def test_the_installed_command_says_the_same(folder: Path, arguments: list[str], content: str) -> None:
    (folder / "bad.yaml").write_text(content)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("einsim")), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    check(done.returncode, done.stdout, done.stderr, [])
