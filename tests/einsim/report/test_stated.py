"""What a machine doesn't state is never 0: power, rate, area and resources, in text and on the page."""

from __future__ import annotations

import msgspec
import pytest

import einsim
from einsim.report.stated import NOT_STATED, energy, stated

NOTHING = {
    "energy_by": {},
    "energy_not_stated": ("dram read",),
    "macs": None,
    "area_um2": {},
    "resources": {},
}


@pytest.fixture
def whole(case: einsim.Case) -> einsim.Result:
    return msgspec.structs.replace(
        case.result,
        latency_s=1e-3,
        energy_by={"array2d": 1.5e-3, "dram": 0.5e-3},
        macs=10**9,
        area_um2={"gb": 3e6},
        resources={},
    )


def bare(result: einsim.Result) -> einsim.Result:
    return msgspec.structs.replace(result, **NOTHING)


def test_what_is_stated_is_shown(whole: einsim.Result) -> None:
    rows = dict(stated([whole]))
    assert rows == {"power": ["2.00 W"], "TOPS": ["2.00"], "TOPS/W": ["1.00"], "area": ["3.00 mm²"]}


def test_what_is_not_stated_is_never_0(whole: einsim.Result) -> None:
    rows = dict(stated([bare(whole)]))
    assert rows.pop("energy not stated") == ["dram read"]
    assert rows == {name: [NOT_STATED] for name in ("power", "TOPS", "TOPS/W", "area")}


def test_an_fpga_states_resources_beside_another_machines_area(whole: einsim.Result) -> None:
    fpga = msgspec.structs.replace(whole, area_um2={}, resources={"dsp": 1234, "lut": 5})
    assert dict(stated([fpga])).keys() == {"power", "TOPS", "TOPS/W", "FPGA resources"}
    rows = dict(stated([whole, fpga]))
    assert rows["area"] == ["3.00 mm²", NOT_STATED]
    assert rows["FPGA resources"] == [NOT_STATED, "1,234 dsp, 5 lut"]


def test_the_text_and_the_page_say_so(whole: einsim.Result) -> None:
    lines = einsim.comparison([bare(whole)]).splitlines()
    said = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines if line}
    assert {said[name] for name in ("energy", "power", "TOPS", "TOPS/W", "area")} == {NOT_STATED}
    page = einsim.report_page([einsim.Case(result=bare(whole))])
    for name in ("Energy", "Energy-delay product", "Power", "TOPS", "TOPS/W", "Area"):
        assert f"<td>{name}</td><td>{NOT_STATED}</td>" in page
    assert "<b>0 J</b>" not in page


def test_a_part_of_the_energy_is_shown_as_a_part(whole: einsim.Result) -> None:
    part = msgspec.structs.replace(whole, energy_not_stated=("gb write", "leakage"))
    assert energy(part) == "not stated (2.00 mJ without gb write, leakage)"
    assert (part.energy_j, part.energy_stated_j, part.power_w) == (None, pytest.approx(2e-3), None)
    rows = dict(stated([whole, part]))
    assert rows["power"] == ["2.00 W", NOT_STATED]
    assert rows["energy stated"] == ["2.00 mJ", "2.00 mJ"]
    assert rows["energy not stated"] == ["-", "gb write, leakage"]
    page = einsim.report_page([einsim.Case(result=part)])
    assert "its energy is not stated (2.00 mJ without gb write, leakage)" in page


def test_area_lacks_what_is_not_stated(whole: einsim.Result) -> None:
    part = msgspec.structs.replace(whole, area_not_stated=("local",))
    rows = dict(stated([part]))
    assert (rows["area"], rows["area not stated"]) == ([NOT_STATED], ["local"])


def test_energies_of_einsums_and_what_is_beside_them_are_shown_with_their_sum(case: einsim.Case) -> None:
    result = msgspec.structs.replace(
        case.result, energy_by={"array2d": 4e-6, "leakage": 1e-6}, energy_beside={"leakage": 1e-6}
    )
    page = einsim.report_page([msgspec.structs.replace(case, result=result)])
    table = page.partition('class="einsums"')[2].partition("</table>")[0]
    for name, joules in (("QK", "3.00"), ("SN", "1.00"), ("leakage", "1.00"), ("<b>all</b>", "<b>5.00")):
        assert f"<td>{name}</td>" in table
        assert f"<td>{joules} µJ" in table


def test_the_text_is_plain_unless_it_is_asked_for_in_colour(whole: einsim.Result) -> None:
    plain, coloured = (einsim.comparison([whole, whole], styled=styled) for styled in (False, True))
    assert "\x1b" not in plain
    assert "\x1b" in coloured
    assert all(line == line.rstrip() for line in plain.splitlines())
