"""Each extension point's example runs as a script and as an extension of the command line."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from einsim.cli.main import main
from einsim.specs.loader import load_yaml

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "extensions"
EXAMPLES = sorted(FOLDER.glob("*.py"))
FEW = 15
"""No example takes so many lines: what it adds with the call that tells einsim of it."""


def run(arguments: list[str], folder: Path, extensions: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, text=True, capture_output=True, timeout=300, check=False,
        env={**os.environ, "EINSIM_EXTENSIONS": extensions},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# What each prints; figures of a template, a family or a machine are held by their own tests.
SAYS = {
    "dram_standard": ["ddr4-3200: ", "ddr4-3200-dual: "],
    "family": ["32 engines: ", "64 engines: ", "128 engines: "],
    "op": ["rows add up to one: True", "cycles, of which E takes"],
    "section": ["carbon.html: 1 section on carbon"],
    "template": ["weights-stay: ", "template: "],
    "workload": ["rank 8: ", "rank 16: ", "rank 64: "],
}


ONE_BY_ONE = """import runpy, sys
for file in sys.argv[1:]:
    print("==", file)
    runpy.run_path(file, run_name="__main__")
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines that each example prints, run as a script: one process for all, which starts but once."""
    text = run(["-c", ONE_BY_ONE, *map(str, EXAMPLES)], tmp_path_factory.mktemp("examples"))
    parts = (part.splitlines() for part in text.split("== ")[1:])
    return {Path(file).stem: lines for file, *lines in parts}


@pytest.mark.parametrize("name", [example.stem for example in EXAMPLES])
def test_an_example_runs_and_says_what_it_registered(name: str, said: dict[str, list[str]]) -> None:
    assert len(said[name]) == len(SAYS[name])
    assert all(words in line for words, line in zip(SAYS[name], said[name], strict=True))


COMMANDS = {
    "dram_standard": ["run", "softmax", "--accel", "tpu-v4i", "--set", "p=64", "accel.dram.timing=ddr4-3200-dual", "accel.dram.bandwidth=51.2GB/s"],
    "family": ["run", "softmax", "--accel", str(FOLDER / "dot-engines.yaml"), "--set", "p=64", "engines=16"],
    "op": ["run", "softmax2.yaml", "--accel", "tpu-v4i"],
    "template": ["run", "product.yaml", "--accel", "tpu-v4i", "--mapping", "weights-stay"],
    "workload": ["run", "low-rank-adapter", "--accel", "tpu-v4i", "--set", "p=256", "rank=8"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_knows_what_an_extension_registered(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "softmax2.yaml").write_text("ranks: {p: 64, d: 64}\neinsums: 'Y[p,d] = exp2(X[p,d])'\n")
    (tmp_path / "product.yaml").write_text(
        "ranks: {m: 256, n: 256, k: 256}\neinsums: 'Z[m,n] = A[m,k] * B[k,n]'\n"
    )
    file = str(FOLDER / f"{name}.py")
    result = json.loads(run(["-m", "einsim", *COMMANDS[name], "--json"], tmp_path, file))
    assert result["cycles"] > 0
    monkeypatch.chdir(tmp_path)
    assert main(COMMANDS[name]) == 2
    assert re.fullmatch(r"error: .+\n", capsys.readouterr().err)


def test_a_report_has_the_section_that_an_extension_registered(tmp_path: Path) -> None:
    command = ["-m", "einsim", "report", "softmax", "--set", "p=64", "--accel", "tpu-v4i", "-o", "page.html"]
    run(command, tmp_path, str(FOLDER / "section.py"))
    assert '<section id="carbon"><h2>What the energy means</h2>' in (tmp_path / "page.html").read_text()


def test_the_schema_knows_a_users_family(tmp_path: Path) -> None:
    schema = json.loads(run(["-m", "einsim", "schema", "machine"], tmp_path, str(FOLDER / "family.py")))
    data = load_yaml(FOLDER / "dot-engines.yaml").data
    jsonschema.validate(data, schema)
    for wrong in ({**data, "engine": 3}, {**data, "family": "dot"}, {**data, "engines": 0}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def glue(source: str) -> int:
    """Lines of code of a module, as they stand: no imports, no texts that only say what it is, no `main`."""
    tree = ast.parse(source)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        says = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        script = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        main = isinstance(node, ast.FunctionDef) and node.name == "main"
        if says or script or main or isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = enumerate(source.splitlines(), 1)
    return sum(bool(line.split("#")[0].strip()) for at, line in lines if at not in left_out)


def test_glue_is_counted_in_lines() -> None:
    source = '"""What."""\nimport a\n\nx = [\n    1,\n]  # why\n# why\ndef f():\n    """What."""\n    g()\n'
    assert glue(source + "def main():\n    f()\nif __name__ == '__main__':\n    main()\n") == 5


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_takes_few_lines(example: Path) -> None:
    assert glue(example.read_text()) < FEW
