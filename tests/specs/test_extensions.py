"""Extensions are found where the variable and the entry points say, once; a faulty one is one line, each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.extensions import guarded, place

ADDS = "import einsim\nprint('once')\neinsim.register_op('twice', arity=1, meaning=lambda x: 2 * x, costs_as='add')\n"
LISTS = (
    "from einsim.workloads.ops import OPS\nprint(*[op for op in OPS if op == 'twice'])\nprint(len(OPS) > 20)"
)


def run(code: str, folder: Path, **environment: str) -> tuple[str, str]:
    """What a Python program prints on each stream, with a folder on its path."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, text=True, capture_output=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    return done.stdout, done.stderr


@pytest.mark.parametrize("named", ["mine", "mine.py", " mine , "])
def test_the_variable_names_modules_and_files(tmp_path, named):
    (tmp_path / "mine.py").write_text(ADDS)
    assert run(LISTS, tmp_path, EINSIM_EXTENSIONS=named)[0] == "once\ntwice\nTrue\n"


@pytest.mark.parametrize("value", ["mine", "mine:register"])
def test_an_entry_point_is_a_module_or_a_function(tmp_path, value):
    code = ADDS
    if ":" in value:
        body = "".join(f"    {line}\n" for line in ADDS.splitlines())
        code = f"def register():\n{body}"
    (tmp_path / "mine.py").write_text(code)
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[einsim.extensions]\nmine = {value}\n")
    assert run(LISTS, tmp_path)[0] == "once\ntwice\nTrue\n"


def test_an_extension_may_look_names_up_while_it_is_loaded(tmp_path):
    (tmp_path / "mine.py").write_text("import einsim\nprint(einsim.load_machine('tpu-v4i').name)\n")
    assert run(LISTS, tmp_path, EINSIM_EXTENSIONS="mine")[0] == "tpu-v4i\n\nTrue\n"


def test_a_file_is_in_no_modules_way(tmp_path):
    """One called json.py stood for json from then on; two of one name are two."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "json.py").write_text(
            f"print({folder!r}, __name__.startswith('einsim_extension_json_'))"
        )
    code = "from einsim.workloads.ops import OPS\nlen(OPS)\nimport json, sys\nprint(json.loads('[1]'), sys.modules['json'] is json)"
    out, err = run(code, tmp_path, EINSIM_EXTENSIONS="one/json.py,two/json.py")
    assert (out, err) == ("one True\ntwo True\n[1] True\n", "")


def test_nothing_is_loaded_before_a_name_is_looked_up(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('loaded')")
    assert run("import einsim.cli.main; print('quick')", tmp_path, EINSIM_EXTENSIONS="mine") == (
        "quick\n",
        "",
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "x = 1 / 0",
            "EINSIM_EXTENSIONS=mine: could not be loaded: ZeroDivisionError: division by zero at mine.py:1",
        ),
        (
            "import nowhere",
            "EINSIM_EXTENSIONS=mine: could not be loaded: ModuleNotFoundError: No module named 'nowhere' at mine.py:1",
        ),
        (
            "def f(:",
            "EINSIM_EXTENSIONS=mine: could not be loaded: SyntaxError: invalid syntax (mine.py, line 1)",
        ),
        (ADDS * 2, "mine.py:6 op 'twice': the name is taken, by mine.py:3"),
    ],
)
def test_a_faulty_extension_is_one_line_each_time(tmp_path, code, message):
    (tmp_path / "mine.py").write_text(code)
    again = (
        "from einsim.workloads.ops import OPS\n"
        "for _ in range(2):\n    try:\n        len(OPS)\n    except Exception as error:\n        print(error)"
    )
    lines = run(again, tmp_path, EINSIM_EXTENSIONS="mine")[0].splitlines()
    assert lines[-2:] == [message] * 2
    main = "from einsim.cli.main import main; print(main(['run', 'softmax', '--accel', 'tpu-v4i']))"
    out, error = run(main, tmp_path, EINSIM_EXTENSIONS="mine")
    assert (out.splitlines()[-1], error) == ("2", f"error: {message}\n")


def test_a_module_that_is_not_there_is_named():
    out = run(LISTS, Path.cwd(), EINSIM_EXTENSIONS="not_there")[1].splitlines()[-1]
    assert out.endswith(
        "EINSIM_EXTENSIONS=not_there: could not be loaded: ModuleNotFoundError: No module named 'not_there'"
    )


def broken(x: float) -> float:
    return x.nothing  # type: ignore[attr-defined, no-any-return]


def test_a_fault_of_a_users_function_names_it_and_its_line():
    line = broken.__code__.co_firstlineno
    with pytest.raises(SpecError) as found:
        guarded("op 'broken'", broken)(1.0)
    assert str(found.value) == (
        f"test_extensions.py:{line} op 'broken': raised AttributeError: 'float' object has no attribute 'nothing' "
        f"at test_extensions.py:{line + 1}"
    )
    assert isinstance(found.value.__cause__, AttributeError)


def test_what_a_users_function_says_itself_stays_as_it_is():
    def refuses() -> None:
        raise EinsimError("does not suit")

    with pytest.raises(EinsimError, match=r"^does not suit$"):
        guarded("template 'x'", refuses)()


def test_a_users_function_returns_what_it_should():
    assert guarded("workload 'x'", lambda: 3, int)() == 3
    with pytest.raises(SpecError, match=r"workload 'x': must return an int \(got 'str'\)"):
        guarded("workload 'x'", lambda: "3", int)()


def test_a_function_without_code_has_no_place():
    assert place(np.exp2) == ""
