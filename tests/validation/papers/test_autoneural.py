"""AutoNeural's rows state what is published and what is assumed; a layer of each encoder is computed."""

from __future__ import annotations

import msgspec
import pytest

from einsim.specs.errors import SpecError
from einsim.validation.papers import autoneural
from einsim.validation.papers.run import run


def test_published_errors_are_those_of_the_published_decibels():
    for encoder in autoneural.setting().encoders.values():
        assert 10 ** (-encoder.sqnr_db / 20) == pytest.approx(encoder.rms, rel=0.01)


def test_depth_costs_precision():
    """What a layer adds is noise of its own: the last of three is no better than the first."""
    for encoder in autoneural.setting().encoders.values():
        one, three = (
            autoneural.outcome(msgspec.structs.replace(encoder, depth=depth)).sqnr_db for depth in (1, 3)
        )
        assert one is not None
        assert three is not None
        assert 30 < three < one - 1


def test_a_case_is_one_of_the_encoders():
    assert autoneural.stored() == ("autoneural:vit", "autoneural:convolutions")
    with pytest.raises(SpecError, match=r"--case: unknown encoder \(got 'vit2'\); did you mean 'vit'\?"):
        autoneural.read("autoneural:vit2")


@pytest.mark.slow
def test_both_encoders_lie_in_the_published_range():
    found = list(run(["autoneural:vit", "autoneural:convolutions"]))
    low, high = autoneural.setting().published_db
    assert [low <= row.ours <= high for row in found if row.quantity == "sqnr_db"] == [True, True]
    assert all(row.limit is None and row.note.startswith("in the published 28 to 45 dB") for row in found)
