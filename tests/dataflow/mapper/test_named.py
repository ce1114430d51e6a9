"""What templates leave open: every choice is legal or refused, computes right, and the search finds the best."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.ends import Ends
from einsim.dataflow.intervals import waiting_ticks
from einsim.dataflow.legality import check, legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import template_mapping
from einsim.dataflow.mapper.descend import Choice
from einsim.dataflow.mapper.named import TemplateSpace
from einsim.dataflow.mapping import Keep, Mapping, children
from einsim.dataflow.templates import flat as flats
from einsim.dataflow.templates.registry import TEMPLATES, Template
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError, SpecError
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.validation.papers.fusemax import suite
from einsim.workloads import library
from einsim.workloads.cascade import Cascade

CLOUD, EDGE = load_machine("flat-cloud"), load_machine("flat-edge")
CHOICES = suite().configurations["flat"].flat_choices


def work(seq: int | str, **sizes: int | str) -> Cascade:
    return library.build("attention", passes="3", seq=seq, **sizes)


def space(cascade: Cascade, machine: str, **settings: str) -> TemplateSpace:
    return TemplateSpace(name="flat", cascade=cascade, machine=load_machine(machine, settings))


def drawn(some: TemplateSpace, seed: int) -> Choice:
    draw = random.Random(seed)
    return tuple((name, draw.choice(values)) for name, values in some.menus.items())


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), heads=st.integers(1, 2), keys=st.integers(3, 9))
def test_every_choice_is_refused_with_a_reason_or_computes_right(seed: int, heads: int, keys: int) -> None:
    """On an array of 2 x 2 and lanes, which the sizes don't divide."""
    sizes = {"array.rows": "2", "array.cols": "2", "vector.lanes": "2", "buffer": "120B"}
    some = space(work(keys, b=1, h=heads, e=2, p=5), "flat-edge", **sizes)
    tree = some.mapping(drawn(some, seed))
    if not legal(tree, some.cascade, some.machine):
        with pytest.raises(SpecError, match=r"mapping\.|bytes"):
            check(tree, some.cascade, some.machine)
        return
    found = judge(DrawnCase(name="", kind="", work=some.cascade, chip=some.machine, mapping=tree))
    assert found.legal
    assert found.right
    assert not found.found


def spilled(mapping: Mapping) -> Keep:
    node = mapping.tree
    while not (isinstance(node, Keep) and node.overlay):
        (node,) = children(node)
    return node


def with_share(mapping: Mapping, share: float) -> Mapping:
    """A mapping that spills another share."""

    def changed(node):  # type: ignore[no-untyped-def]
        if isinstance(node, Keep) and node.overlay:
            return msgspec.structs.replace(node, spill=share)
        return msgspec.structs.replace(node, body=changed(node.body))

    return msgspec.structs.replace(mapping, tree=changed(mapping.tree))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), edge=st.booleans(), seq=st.sampled_from((1000, 4096)))
def test_the_share_that_is_spilled_is_the_least_that_fits(seed: int, edge: bool, seq: int) -> None:
    """One notch less is refused."""
    some = space(work(seq, b=2, h=1, e=32), "flat-edge" if edge else "flat-cloud")
    tree = some.mapping((*drawn(some, seed), ("through", 0)))
    share = spilled(tree).spill
    if share:
        assert legal(tree, some.cascade, some.machine)
        assert share * flats.NOTCHES == int(share * flats.NOTCHES)
        assert not legal(with_share(tree, share - 1 / flats.NOTCHES), some.cascade, some.machine)
    else:
        most = 1 - 1 / flats.NOTCHES
        fits = [legal(with_share(tree, one), some.cascade, some.machine) for one in (0.0, most)]
        assert fits[0] or not fits[1]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), seq=st.sampled_from((128, 200, 512)), heads=st.integers(1, 3))
def test_waits_for_earlier_iterations_are_not_above_what_is_simulated(
    seed: int, seq: int, heads: int
) -> None:
    some = space(work(seq, b=1, h=heads, e=32), "flat-edge")
    tree = some.mapping(drawn(some, seed))
    if legal(tree, some.cascade, some.machine):
        program = lower(tree, some.cascade, some.machine)
        cycles = waiting_ticks(Ends(program)) / program.ticks_per_cycle
        assert cycles <= simulate(program, some.machine).cycles


def test_waits_tell_a_block_that_works_alone_from_two() -> None:
    """With one tile of a block its Einsums take turns, which no engine's own work shows."""
    some = space(work(1024, b=1, h=8, e=64), "flat-cloud")
    found = []
    for blocks in (1, 2):
        tree = some.mapping((("rows", 256), ("keys", 1024), ("q", "row"), ("blocks", blocks)))
        program = lower(tree, some.cascade, some.machine)
        ends, run = Ends(program), simulate(program, some.machine).cycles
        ticks = program.ticks_per_cycle
        found.append((run / (ends.bound()[0] / ticks), run / (waiting_ticks(ends) / ticks)))
    assert found[0][0] > 1.08  # the bound of engines is that much below one block at a time
    assert found[0][1] < 1.05
    assert found[1][0] < 1.03


def small(some: TemplateSpace) -> dict[str, tuple[int | str, ...]]:
    return {
        name: values[:3] if name in ("rows", "width", "k") else values[:1]
        for name, values in some.menus.items()
    }  # type: ignore[misc]


def test_the_search_finds_what_looking_at_every_choice_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    some = space(work(96, b=1, h=2, e=32), "flat-edge")
    menus = small(some)
    only = Template(flats.flat, "", lambda cascade, machine: menus)
    monkeypatch.setitem(TEMPLATES._rows, "flat", only)
    every = some.search("latency", 28)
    assert every.complete
    fewer = some.search("latency", 27)
    assert not fewer.complete
    assert fewer.judged <= 27
    assert fewer.found[0][0] == every.found[0][0]
    answer = template_mapping("flat", some.cascade, some.machine, most=28)
    assert answer.proven
    assert answer.mapping == some.mapping(every.found[0][1])


@pytest.mark.parametrize(
    ("model", "seq"),
    [
        ("bert-base", "64K"),
        ("xlm", "128K"),
        *(
            pytest.param(model, seq, marks=pytest.mark.slow)
            for model in ("bert-base", "xlm")
            for seq in ("1K", "16K", "256K", "1M")
        ),
    ],
)
def test_it_is_at_least_as_fast_as_what_flat_published(model: str, seq: str) -> None:
    cascade = work(seq, model=model)
    choice = msgspec.structs.asdict(CHOICES[str(cascade.size("e"))][seq])
    published = analyse(lower(flats.flat(cascade, CLOUD, **choice), cascade, CLOUD), CLOUD)
    found = template_mapping("flat", cascade, CLOUD)
    assert found.result.latency_s <= published.latency_s * (1 + 1e-9)
    assert found.nodes <= 60


@pytest.mark.parametrize("objective", ["latency", "energy"])
def test_it_is_no_worse_than_the_templates_own_rule_and_runs(objective: str) -> None:
    cascade = work(256, b=8, h=2, e=64)
    found = template_mapping("flat", cascade, EDGE, objective, most=20)  # type: ignore[arg-type]
    own = lower(flats.flat(cascade, EDGE), cascade, EDGE)
    run, theirs = simulate(lower(found.mapping, cascade, EDGE), EDGE), simulate(own, EDGE)
    assert run.traffic == found.result.traffic
    figure = (lambda one: one.latency_s) if objective == "latency" else (lambda one: one.energy_stated_j)
    assert figure(run) <= figure(theirs)
    assert found == msgspec.structs.replace(
        template_mapping("flat", cascade, EDGE, objective, most=20),
        seconds=found.seconds,  # type: ignore[arg-type]
    )


def test_what_is_not_flats_is_refused() -> None:
    with pytest.raises(EinsimError, match="needs the 3-pass attention cascade"):
        template_mapping("flat", library.build("attention", passes="1", seq=512), CLOUD)
    with pytest.raises(EinsimError, match="needs an array and a vector unit"):
        template_mapping("flat", work(512), msgspec.structs.replace(CLOUD, units=CLOUD.matrix_units))


def test_a_space_is_printed_with_its_size_and_menus() -> None:
    some = space(work(512, b=1, h=1, e=32), "flat-edge")
    assert "template flat of attention-3pass on flat-edge" in str(some)
    assert "lanes: m, p" in str(some)
