"""Laws of the DRAM tables: every figure has a source, and wrong tables are refused with their place."""

from __future__ import annotations

import pytest

from einsim.sim.dram.standard import FOLDER, names, standard
from einsim.specs.errors import SpecError

PEAK_GB_PER_S = {"ddr4-3200": 25.6, "lpddr4x-4266": 34.13, "hbm2": 256.0, "hbm2e": 409.6, "hbm3": 819.2}


def test_all_five_standards_come_with_it():
    assert set(names()) == set(PEAK_GB_PER_S)


@pytest.mark.parametrize("name", PEAK_GB_PER_S)
def test_peak_bandwidth_is_what_the_standard_is_sold_as(name):
    assert standard(name).peak_bytes_per_s == pytest.approx(PEAK_GB_PER_S[name] * 1e9, rel=1e-3)


@pytest.mark.parametrize("name", PEAK_GB_PER_S)
def test_every_figure_names_its_source(name):
    chosen = standard(name)
    for part in (chosen.organisation, chosen.timing, chosen.energy):
        for field in part.__struct_fields__:
            figure = getattr(part, field)
            assert figure is None or len(figure.source) > 3, field


def test_assumed_figures_are_listed():
    assert "energy.read_pj" in standard("ddr4-3200").assumed
    assert "timing.cl" not in standard("ddr4-3200").assumed
    assert "timing.cl" in standard("hbm3").assumed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("t_ccd_s: {value: 4", "t_ccd_s: {value: 3", "timing.t_ccd_s.value: must be >= burst"),
        ("t_rc: {value: 74", "t_rc: {value: 40", "timing.t_rc.value: must be >= t_ras"),
        ("t_rtw: {value: 12", "t_rtw: {value: 9", "timing.t_rtw.value: must be >= cl + burst - cwl = 10"),
        ("t_refi: {value: 12480", "t_refi: {value: 600", "timing.t_refi.value: must be > t_rfc"),
        ("cl: {value: 22", "cl: {value: 0", "timing.cl.value: must be >= 1 (got 0)"),
        ("rows: {value: 65536", "rows: {value: 0", "organisation.rows.value: must be >= 1 (got 0)"),
        ("  t_faw:", "  t_fow:", "t_faw"),
        ("column, group", "group", "mapping: must hold each of"),
        (
            "[row, bank",
            "[row, rank, bank",
            "mapping: must hold each of row, bank, group, column, channel once",
        ),
        (
            "  rows:",
            "  ranks: {value: 2, source: two}\n  rows:",
            "mapping: must hold each of row, bank, group, column, channel, rank",
        ),
        (
            "  rows:",
            "  ranks: {value: 0, source: none}\n  rows:",
            "organisation.ranks.value: must be >= 1 (got 0)",
        ),
        ("  cl:", "  t_rtrs: {value: -1, source: x}\n  cl:", "timing.t_rtrs.value: must be >= 0 (got -1)"),
        (
            "  cl:",
            "  t_rfc_bank: {value: 750, source: x}\n  cl:",
            "timing.t_rfc_bank.value: must leave t_refi / 16 banks",
        ),
        (
            "{value: 0.3552,",
            "{value: 0.6,",
            "energy.precharge_standby_w.value: must be <= background_w = 0.4992 (got 0.6)",
        ),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path, old, new, message):
    text = (FOLDER / "ddr4-3200.yaml").read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SpecError) as error:
        standard(str(path))
    assert message in str(error.value)
    assert "mine.yaml:" in str(error.value)


def test_ranks_without_the_time_to_switch_between_them_are_refused(tmp_path):
    text = (FOLDER / "ddr4-3200.yaml").read_text()
    text = text.replace("[row, bank", "[row, rank, bank").replace(
        "  rows:", "  ranks: {value: 2, source: two}\n  rows:"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"timing.t_rtrs: must be stated where a channel has 2 ranks"):
        standard(str(path))


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(SpecError, match=r"no standard of that name \(got 'hbm2ee'\); did you mean 'hbm2e'"):
        standard("hbm2ee")


def test_the_users_own_file_is_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text((FOLDER / "hbm2.yaml").read_text().replace("name: hbm2", "name: mine"))
    assert standard(str(path)).name == "mine"
