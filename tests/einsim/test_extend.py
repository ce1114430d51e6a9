"""What can be registered is checked when it is, in one line, and is then there by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import einsim
from einsim import EinsimError, SpecError
from einsim.accel.composed import COMPOSED
from einsim.accel.load import FAMILIES
from einsim.dataflow.mapper.best import template_mapping
from einsim.dataflow.templates.registry import TEMPLATES
from einsim.report.sections import SECTIONS
from einsim.sim.dram.standard import STANDARDS
from einsim.workloads.library import WORKLOADS
from einsim.workloads.ops import OPS


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Registries hold after a test what they held before."""
    for registry in (OPS, COMPOSED, FAMILIES, TEMPLATES, WORKLOADS, SECTIONS, STANDARDS):
        monkeypatch.setattr(registry, "_rows", dict(registry._rows))
        monkeypatch.setattr(registry, "_where", dict(registry._where))


def op(**changed: Any) -> None:
    einsim.register_op(
        **{"name": "cube", "arity": 1, "meaning": lambda x: x**3, "made_of": {"mul": 2}, **changed}
    )


def cubes(name: str = "cube") -> einsim.Cascade:
    return einsim.parse_cascade(f"Y[p] = {name}(X[p])", name="cubes", sizes={"p": 1000})


def test_an_op_is_computed_and_costs_what_it_is_made_of():
    op()
    x = np.linspace(-2, 2, 1000)
    assert np.array_equal(einsim.execute(cubes(), {"X": x})["Y"], x**3)
    machine = einsim.load_machine("tpu-v4i")
    [vector] = machine.vector_units
    assert vector.cost("cube").cycles == 2 * vector.cost("mul").cycles
    assert vector.cost("cube").energy_pj == 2 * vector.cost("mul").energy_pj
    assert "vector.ops.cube" in machine.assumed
    squares = einsim.parse_cascade("Y[p] = X[p] * X[p]", name="squares", sizes={"p": 1000})
    once, twice = (
        einsim.analyse(einsim.lower(einsim.build_mapping(work, machine), work, machine), machine)
        for work in (squares, cubes())
    )
    [one], [two] = once.by_einsum.values(), twice.by_einsum.values()
    assert two.cycles == 2 * one.cycles
    label = f"{vector.name} {{}}".format
    assert twice.energy_by[label("cube")] == pytest.approx(2 * once.energy_by[label("mul")])


def test_an_op_may_cost_as_another():
    op(made_of=None, costs_as="exp")
    assert cubes().einsums[0].ops == ("exp",)


def test_an_op_without_costs_needs_a_unit_that_states_it():
    op(made_of=None)
    with pytest.raises(EinsimError, match="cube"):
        einsim.build_mapping(cubes(), einsim.load_machine("tpu-v4i"))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"name": "exp"}, "op 'exp': the name is taken, by einsim"),
        ({"name": "gelu"}, "op 'gelu': the name is taken, by einsim"),
        ({"name": "mac"}, "op 'mac': the name is taken, by einsim"),
        ({"name": "a-b"}, "op: must be a name of letters, digits and _ (got 'a-b')"),
        ({"arity": 0}, "register_op(arity): must be >= 1 (got 0)"),
        ({"arity": "1"}, "register_op(arity): must be a whole number (got '1')"),
        ({"arity": 2}, "op 'cube': its function must take 2 arguments (got '(x)')"),
        ({"meaning": 3}, "register_op(meaning): must be a function (got 3)"),
        ({"made_of": {"mull": 2}}, "op 'cube': no such op to cost as (got 'mull'); did you mean 'mul'?"),
        ({"made_of": {"mul": 0}}, "register_op(made_of).mul: must be >= 1 (got 0)"),
        ({"costs_as": "mul"}, "op 'cube': costs as another op or is made of others, not both"),
    ],
)
def test_a_wrong_op_is_refused_and_nothing_is_left_of_it(changed, rule):
    with pytest.raises(SpecError) as found:
        op(**changed)
    where, _, said = str(found.value).partition(" ")
    assert where.startswith("test_extend.py:")
    assert said == rule
    assert "cube" not in OPS
    assert "cube" not in COMPOSED


def test_an_op_that_does_not_work_on_each_element_is_found_out():
    op(meaning=np.sum)
    with pytest.raises(SpecError, match=r"op 'cube': raised ValueError: must work on each element"):
        einsim.execute(cubes(), {"X": np.ones(1000)})


def test_a_family_is_a_spec_and_what_it_derives():
    with pytest.raises(
        SpecError, match=r"family 'mine': spec must be a subclass of einsim.FamilySpec \(got 'int'|<class"
    ):
        einsim.register_family("mine", int, lambda spec, name: spec)  # type: ignore[type-var, arg-type, return-value]
    with pytest.raises(SpecError, match=r"family 'mine': its function must take 2 arguments"):
        einsim.register_family("mine", einsim.FamilySpec, lambda spec: spec)  # type: ignore[arg-type, misc]
    with pytest.raises(SpecError, match=r"family 'npu': the name is taken, by einsim"):
        einsim.register_family("npu", einsim.FamilySpec, lambda spec, name: spec)  # type: ignore[arg-type, return-value]


def test_a_family_that_derives_no_machine_is_one_line(tmp_path):
    einsim.register_family("mine", einsim.FamilySpec, lambda spec, name: None)  # type: ignore[arg-type, return-value]
    (tmp_path / "m.yaml").write_text("family: mine\nclock: 1GHz\n")
    with pytest.raises(
        SpecError, match=r"^test_extend.py:\d+ family 'mine': must return a Machine \(got 'NoneType'\)"
    ):
        einsim.load_machine(str(tmp_path / "m.yaml"))
    (tmp_path / "m.yaml").write_text("family: mine\nclok: 1GHz\n")
    with pytest.raises(SpecError, match=r"m.yaml:2 accel.clok: unknown key; did you mean 'clock'\?"):
        einsim.load_machine(str(tmp_path / "m.yaml"))


def test_a_template_is_checked_like_einsims_own():
    work, machine = einsim.load_workload("softmax", {"p": "64", "d": "64"}), einsim.load_machine("tpu-v4i")
    einsim.register_template("none", lambda cascade, machine: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(SpecError, match="template 'none': must return a Mapping"):
        einsim.build_mapping(work, machine, "none")
    resident = einsim.build_mapping(work, machine, "resident")
    einsim.register_template("same", lambda cascade, machine: resident, summary="as resident")
    assert einsim.build_mapping(work, machine, "same") == resident
    assert "same" in einsim.template_names()
    for name in ("auto", "template", "flat"):
        with pytest.raises(SpecError, match="the name is taken, by einsim"):
            einsim.register_template(name, lambda cascade, machine: resident)


def test_what_a_template_leaves_open_is_searched():
    work = einsim.load_workload("ffn", {"b": "1", "p": "64", "d": "64", "s": "64"})
    machine = einsim.load_machine("flat-edge")

    def build(cascade, machine, kind="unfused"):
        return einsim.build_mapping(cascade, machine, kind)

    with pytest.raises(SpecError, match="its function must take 2 arguments and rows"):
        einsim.register_template("some", build, menus={"rows": (1, 2)})
    einsim.register_template("some", build, menus={"kind": ("resident", "unfused", "flat")})
    found = template_mapping("some", work, machine)
    assert found.proven
    resident, unfused = (einsim.build_mapping(work, machine, name) for name in ("resident", "unfused"))
    assert einsim.build_mapping(work, machine, "some") == unfused
    assert found.mapping.tree == resident.tree != unfused.tree


def test_a_workload_has_settings_like_the_librarys():
    width = einsim.Parameter(name="d", kind="size", default=64, summary="width")
    einsim.register_workload(
        "line", lambda given: einsim.parse_cascade("Y[d] = X[d] + 1", sizes={"d": given.size("d")}),
        parameters=[width], summary="a line",
    )  # fmt: skip
    assert einsim.load_workload("line", {}).size("d") == 64
    assert einsim.load_workload("line", {"d": "4K"}).size("d") == 4096
    with pytest.raises(SpecError, match="line e: unknown parameter"):
        einsim.load_workload("line", {"e": "4K"})
    assert "line" in einsim.workload_names()
    for name in ("softmax", "bert-base", "bert"):
        with pytest.raises(SpecError, match="the name is taken, by einsim"):
            einsim.register_workload(name, lambda given: cubes())


def test_a_section_stands_after_einsims_own_and_is_left_out_when_empty():
    machine = einsim.load_machine("tpu-v4i")
    work = einsim.load_workload("softmax", {"p": "64", "d": "64"})
    result = einsim.simulate(einsim.lower(einsim.build_mapping(work, machine), work, machine), machine)
    cases = [einsim.Case(result=result, machine=machine)]
    einsim.register_section("mine", "Mine & yours", lambda cases: f"<p>{cases[0].label}</p>", lead="First.")
    einsim.register_section("empty", "Nothing", lambda cases: "")
    page = einsim.report_page(cases)
    assert (
        '<section id="mine"><h2>Mine &amp; yours</h2><p class="lead">First.</p><p>tpu-v4i</p></section>'
        in page
    )
    assert page.index('id="sources"') < page.index('id="mine"')
    assert 'id="empty"' not in page
    einsim.register_section("bad", "Bad", lambda cases: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(
        SpecError, match=r"section 'bad': raised ZeroDivisionError: division by zero at test_extend\.py"
    ):
        einsim.report_page(cases)


def test_a_dram_standard_is_a_file(tmp_path, repository):
    own = repository / "sim" / "dram" / "standards" / "ddr4-3200.yaml"
    (tmp_path / "mine.yaml").write_text(own.read_text().replace("name: ddr4-3200", "name: mine"))
    einsim.register_dram_standard("mine", tmp_path / "mine.yaml")
    machine = einsim.load_machine("tpu-v4i", {"dram.timing": "mine", "dram.bandwidth": "25.6GB/s"})
    work = einsim.load_workload("softmax", {"p": "64", "d": "64"})
    result = einsim.simulate(einsim.lower(einsim.build_mapping(work, machine), work, machine), machine)
    assert result.cycles > 0
    with pytest.raises(SpecError, match=r"DRAM standard 'other': no such file \(got '.*other.yaml'\)"):
        einsim.register_dram_standard("other", tmp_path / "other.yaml")
    with pytest.raises(SpecError, match=r"the name is taken, by test_extend\.py"):
        einsim.register_dram_standard("mine", tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("parameter", "rule"),
    [
        ({"kind": "sise"}, r"register_workload\(parameters\)\[0\].kind: unknown value \(got 'sise'\); did you mean 'size'\?"),
        ({"name": 3}, r"register_workload\(parameters\)\[0\].name: must be text \(got 3\)"),
        ({"default": "4 KB"}, r"workload 'line' d: must be a whole number such as 4096, 4K or 1M \(got '4 KB'\)"),
        ({"kind": "choice", "choices": ("a", "b"), "default": "c"}, "workload 'line' d: unknown d 'c'; known: a, b"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_when_its_workload_is_registered(parameter, rule):
    wrong = einsim.Parameter(**{"name": "d", "kind": "size", "summary": "", **parameter})
    with pytest.raises(SpecError, match=rule):
        einsim.register_workload("line", lambda given: cubes(), parameters=[wrong])
    twice = einsim.Parameter(name="d", kind="size", summary="")
    with pytest.raises(SpecError, match=r"workload 'line': a parameter stands twice \(got 'd'\)"):
        einsim.register_workload("line", lambda given: cubes(), parameters=[twice, twice])
    assert "line" not in einsim.workload_names()


def test_a_wrong_dram_standard_is_refused_when_it_is_registered(tmp_path):
    (tmp_path / "wrong.yaml").write_text("name: wrong\n")
    with pytest.raises(SpecError, match=r"wrong.yaml:1 dram: missing key 'title'"):
        einsim.register_dram_standard("wrong", tmp_path / "wrong.yaml")
    with pytest.raises(SpecError, match=r"test_extend.py:\d+ DRAM standard 'wrong': no such file"):
        einsim.register_dram_standard("wrong", str(tmp_path))
    with pytest.raises(SpecError, match=r"register_dram_standard\(file\): must be text or a path \(got 3\)"):
        einsim.register_dram_standard("wrong", 3)


def test_a_menu_of_nothing_is_refused():
    with pytest.raises(
        SpecError, match=r"register_template\(menus\).kind: must be of a length >= 1 \(got \(\)\)"
    ):
        einsim.register_template("some", lambda cascade, machine, kind: None, menus={"kind": ()})
