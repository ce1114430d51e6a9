"""Where a case runs: a folder of its own, einsim's commands in this process, and a judge of what they say."""

from __future__ import annotations

import contextlib
import io
import json
import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from einsim.accel.machine import Machine
from einsim.cli.main import main
from einsim.evaluation import Evaluation, Mapped
from einsim.saved import read_saved
from einsim.specs.errors import EinsimError
from tests.fuzz import laws
from tests.fuzz.draw import as_yaml

LONGEST = 2000
"""Characters of the longest message: a path may be long, a value is cut."""


class FaultError(Exception):
    """Something that must not be."""


class Said(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


class Bench:
    """Files and commands of one case; `log` says what was done, to be read when it failed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[str] = []

    def file(self, name: str, data: Any) -> str:
        """A file of text, or of data as YAML or JSON; its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, str):
            text = data
        else:
            text = json.dumps(data, indent=1) if name.endswith(".json") else as_yaml(data)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        self.log.append(f"--- {name}\n{text}")
        return str(path)

    def run(self, *arguments: str) -> Said:
        """A command of einsim, in this process; FaultError for a traceback, or what is no message."""
        self.log.append(f"$ einsim {' '.join(map(repr, arguments))}")
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(arguments)
        except SystemExit as stop:
            raise FaultError(f"exit {stop.code} from inside") from None
        except Exception:  # noqa: BLE001 - whatever it is, it is what the case looks for
            raise FaultError(traceback.format_exc()) from None
        said = Said(code, out.getvalue(), err.getvalue())
        self.log.append(f"{said.code} {said.err}")
        self.judge(said)
        return said

    def judge(self, said: Said) -> None:
        """Done and said, or refused in one line: a check that finds a difference is a fault."""
        lines = said.err.splitlines()
        errors = [line for line in lines if not line.startswith("warning: ")]
        if said.code not in (0, 2):
            raise FaultError(f"exit code {said.code}: {said.out[-2000:]}")
        if said.code == 0 and (errors or not said.out):
            raise FaultError(f"done, but said {errors}")
        if said.code == 2 and (len(errors) != 1 or not errors[0].startswith("error: ")):
            raise FaultError(f"refused in {len(errors)} lines")
        message_fault("".join(lines))

    def call(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """A function of einsim as a script calls it: its value, or None where it refuses with EinsimError."""
        self.log.append(f"{function.__name__}(*{given!r}, **{named!r})")
        try:
            return function(*given, **named)
        except EinsimError as error:
            self.log.append(str(error))
            message_fault(str(error))
        except Exception:  # noqa: BLE001 - as above
            raise FaultError(traceback.format_exc()) from None
        return None

    def both_levels(self, *arguments: str, check: bool = False) -> bool:
        """`run` at both levels with all laws; whether it was not refused."""
        results = []
        for level in ("sim", "analytical"):
            path = self.folder / f"{level}.json"
            said = self.run("run", *arguments, "--level", level, "--json", "-o", str(path),
                            *(["--check"] if check and level == "sim" else []))  # fmt: skip
            if said.code and "error: simulation: " in said.err:
                continue  # the one level takes long, the other doesn't
            if said.code:
                if results:
                    raise FaultError("refused at one level only")
                return False
            printed = json.loads(said.out, parse_constant=not_finite)
            kept = read_saved(path)
            machine = kept.machine if isinstance(kept.machine, Machine) else None
            self.hold(*laws.broken(kept.result, machine))
            if printed["cycles"] != kept.result.cycles:
                raise FaultError("--json and -o differ")
            results.append(kept.result)
        if machine is not None and len(results) > 1:
            self.hold(*laws.between(results[1], results[0], machine))
        return True

    def hold(self, *broken: str) -> None:
        """FaultError for a law that is broken."""
        if broken:
            raise FaultError("; ".join(broken))

    def hold_evaluation(self, found: Evaluation) -> None:
        """The laws of one evaluation."""
        machine = found.how.machine if isinstance(found.how, Mapped) else None
        self.hold(*laws.broken(found.result, machine))


def not_finite(word: str) -> float:
    """FaultError for a number that JSON doesn't have."""
    raise FaultError(f"JSON holds {word}, {math.nan}")


def message_fault(text: str) -> None:
    """FaultError for a message that is none: too long, unprintable, or about einsim's inside."""
    if len(text) > LONGEST:
        raise FaultError(f"a message of {len(text)} characters: {text[:200]}")
    if not text.isprintable():
        raise FaultError(f"unprintable: {text!r}")
    for inner in ("Traceback", "<class", "object at 0x", "Error(", "KeyError", "NoneType", "numba"):
        if inner in text:
            raise FaultError(f"a message of einsim's inside: {text}")
