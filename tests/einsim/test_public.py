"""What a script gives a public function is checked by the function's annotations: one line with the script's place."""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any

import msgspec
import numpy as np
import pytest

import einsim
from einsim.public import MAKERS, _kind
from einsim.specs.argument import fitting
from einsim.specs.errors import RuleError

FUNCTIONS = [name for name in einsim.__all__ if isinstance(getattr(einsim, name), FunctionType)]
WORK = einsim.load_workload("softmax", {"p": 64, "d": 64})
CHIP = einsim.load_machine("tpu-v4i")


def fault(call: Callable[[], object]) -> str:
    """The message of a fault, whose place is this file."""
    with pytest.raises(einsim.SpecError) as told:
        call()
    place, _, message = str(told.value).partition(" ")
    assert place.startswith("test_public.py:")
    return message


CALLS: list[tuple[Callable[[], object], str]] = [
    (lambda: einsim.best_mapping("softmax", CHIP),  # type: ignore[arg-type]
     "best_mapping(cascade): must be a Cascade (got 'softmax'); load_workload or parse_cascade makes one"),
    (lambda: einsim.best_mapping(WORK, CHIP, effort="fast"),  # type: ignore[arg-type]
     "best_mapping(effort): unknown value (got 'fast'); known: quick, normal, proof"),
    (lambda: einsim.best_mapping(WORK, CHIP, workers="2"),  # type: ignore[arg-type]
     "best_mapping(workers): must be a whole number (got '2')"),
    (lambda: einsim.best_mapping(WORK, CHIP, budget_s=math.nan), "best_mapping(budget_s): must be a number, and NaN is none"),
    (lambda: einsim.evaluate("softmax", CHIP, budget_s=-1), "evaluate(budget_s): must be >= 0 (got -1)"),
    (lambda: einsim.evaluate("softmax", CHIP, workers=0), "evaluate(workers): must be >= 1 (got 0)"),
    (lambda: einsim.sweep("softmax", "tpu-v4i", [{}], workers=-1), "sweep(workers): must be >= 1 (got -1)"),
    (lambda: einsim.evaluate("softmax", "tpu-v4i", settings={1: 2}),  # type: ignore[dict-item]
     "evaluate(settings): a key must be text (got 1)"),
    (lambda: einsim.evaluate("softmax", "tpu-v4i", settings={"p": None}),
     "evaluate(settings).p: must be true or false, a whole number, a number, text, a list or a mapping (got null)"),
    (lambda: einsim.explain("softmax", WORK, CHIP),  # type: ignore[arg-type]
     "explain(mapping): must be a Mapping (got 'softmax'); build_mapping or load_mapping makes one"),
    (lambda: einsim.report_page([WORK]),  # type: ignore[list-item]
     "report_page(cases)[0]: must be a Case (got Cascade(name='softmax',...]', dtype='fp32'),)))"),
    (lambda: einsim.build_mapping(WORK, CHIP, "flatt"), "build_mapping(template): unknown template (got 'flatt'); did you mean 'flat'?"),
    # what is found further in is told in a script's words too
    (lambda: einsim.evaluate("softmax", "tpu-v4i", settings={"pp": 3}),
     "evaluate(settings) pp: neither the workload nor the machine has such a setting; did you mean 'p'?"),
    (lambda: einsim.load_machine("tpu-v4i", {"array.rows": "0"}), "load_machine(overrides).array.rows: must be >= 1 (got 0)"),
    (lambda: einsim.evaluate(WORK, CHIP, mapping="flatt"),
     "evaluate(mapping): unknown mapping (template, auto, a template's name or a .yaml file) (got 'flatt'); did you mean 'flat'?"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[message[:40] for _, message in CALLS])
def test_a_fault_is_one_line_of_the_script_the_parameter_and_the_rule(
    call: Callable[[], object], message: str
) -> None:
    said = fault(call)
    assert said == message or message.endswith(")))")
    assert said.split(" (got")[0] == message.split(" (got", maxsplit=1)[0]


def test_a_gpu_is_no_machine_of_units() -> None:
    gpu: Any = einsim.load_gpu(einsim.gpu_names()[0])
    said = fault(lambda: einsim.best_mapping(WORK, gpu))
    assert said.startswith("best_mapping(machine): must be a Machine (got Gpu(")
    assert said.endswith("; a GPU runs kernels as they are: evaluate takes it, nothing else")


def test_a_mapping_is_legal_and_a_program_its_machines_before_anything_else_is_done() -> None:
    mapping, other = einsim.build_mapping(WORK, CHIP), einsim.load_workload("rmsnorm", {"p": 64, "d": 64})
    edge = einsim.load_machine("eyeriss-like")
    for function in (einsim.explain, einsim.lower, einsim.check_mapping):
        with pytest.raises(einsim.SpecError, match="unknown tensor"):
            function(mapping, other, CHIP)
        with pytest.raises(einsim.SpecError, match="unknown memory"):
            function(mapping, WORK, edge)
    program = einsim.lower(mapping, WORK, CHIP)
    for name in ("analyse", "simulate"):
        said = fault(lambda name=name: getattr(einsim, name)(program, edge))
        rule = "is not the machine that the program was lowered for, 'tpu-v4i'"
        assert said == f"{name}(machine): {rule} (got 'eyeriss-like'); lower the mapping for it"


def test_parts_of_a_mapping_are_what_they_are_declared_as() -> None:
    leaf = einsim.Compute(einsum="SN", unit="array1d")
    wrong: list[tuple[Any, str]] = [
        (3, "tree: must be a Loop, a Keep, a Sequence, a Pipeline or a Compute (got 3)"),
        (einsim.Loop(rank="p", tile="x", body=leaf), "tree.tile: must be a whole number (got 'x')"),  # type: ignore[arg-type]
        (einsim.Loop(rank="p", tile=4, body=einsim.Keep(tensors="X", memory="gb", body=leaf)),  # type: ignore[arg-type]
         "tree.body.tensors: must be a list (got 'X')"),
        (einsim.Sequence(children=(leaf, 1)),  # type: ignore[arg-type]
         "tree.children[1]: must be a Loop, a Keep, a Sequence, a Pipeline or a Compute (got 1)"),
    ]  # fmt: skip
    for tree, rule in wrong:
        mapping = einsim.Mapping(cascade="softmax", machine="tpu-v4i", template="", tree=tree)
        assert (
            fault(lambda made=mapping: einsim.check_mapping(made, WORK, CHIP))
            == f"check_mapping(mapping).{rule}"
        )
        assert fault(lambda made=mapping: einsim.dump_mapping(made)) == f"dump_mapping(mapping).{rule}"


def test_a_fault_that_comes_later_is_told_in_the_same_words() -> None:
    later = einsim.sweep("softmax", "tpu-v4i", [{"pp": 1}], workers=1)
    said = fault(lambda: list(later))
    assert said.startswith("sweep(points) pp: neither the workload nor the machine has such a setting")


def test_a_space_is_of_the_cascade_and_the_machine() -> None:
    space = einsim.MapSpace(cascade=WORK, machine=CHIP)
    edge = einsim.load_machine("eyeriss-like")
    said = fault(lambda: einsim.best_mapping(WORK, edge, space=space))
    assert said == "best_mapping(space): is of another cascade or machine than are given beside it"


def test_a_picture_of_nothing_is_refused() -> None:
    for call in (
        lambda: einsim.report_page([]),
        lambda: einsim.report_picture("", []),
        lambda: einsim.comparison([]),
    ):
        assert fault(call).endswith("must be of a length >= 1 (got [])")


def test_numbers_of_numpy_are_numbers() -> None:
    found = einsim.evaluate("softmax", CHIP, settings={"p": np.int64(64), "d": np.int64(64)})
    assert found.result == einsim.evaluate(WORK, CHIP).result
    assert einsim.load_machine("tpu-v4i", {"array.rows": np.int64(8)}) == einsim.load_machine(
        "tpu-v4i", {"array.rows": 8}
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_of_a_public_function_is_checked(name: str) -> None:
    function = getattr(einsim, name)

    class Other:
        """What no function takes."""

    for parameter in inspect.signature(function).parameters.values():
        if parameter.annotation == "object":
            continue
        kind = _kind(
            parameter.annotation, inspect.unwrap(function).__globals__, lambda one: getattr(einsim, one)
        )
        with pytest.raises(RuleError):
            fitting(Other(), kind)


def test_a_public_function_is_pickled_and_named_as_such() -> None:
    for name in FUNCTIONS:
        function = getattr(einsim, name)
        assert pickle.loads(pickle.dumps(function)) is function
        assert (function.__module__, function.__name__) == ("einsim", name)


def test_what_makes_a_value_is_public() -> None:
    assert {*MAKERS} - {"Program"} <= {*einsim.__all__}
    words = " ".join(MAKERS.values()).replace("(", " ").split()
    assert {word for word in words if "_" in word} <= {*einsim.__all__}


def test_what_is_missing_or_too_much_is_pythons_to_say() -> None:
    with pytest.raises(TypeError, match=r"^evaluate\(\) missing 1 required positional argument: 'machine'$"):
        einsim.evaluate(WORK)  # type: ignore[call-arg]


def test_a_mapping_that_does_not_fit_is_refused_each_time() -> None:
    mapping = einsim.build_mapping(WORK, CHIP)
    wrong, said = (
        msgspec.structs.replace(mapping, notes=(3,)),
        "lower(mapping).notes[0]: must be text (got 3)",
    )
    for _ in range(2):
        assert einsim.lower(mapping, WORK, CHIP)
        assert fault(lambda: einsim.lower(wrong, WORK, CHIP)) == said
