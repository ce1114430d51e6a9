"""Drawn values are as large as initialised networks have them; files of values are judged before they're read."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from einsim.specs.errors import EinsimError
from einsim.workloads import library
from einsim.workloads.execute import execute
from einsim.workloads.load import load_workload
from einsim.workloads.low_precision import plain_roles
from einsim.workloads.models import roles
from einsim.workloads.notation import parse
from einsim.workloads.sample import read_npz, seeded

CASCADE = parse("rank n = 3, i = 4, o = 2\nY[n,o] = X[n,i] * W[i,o]")
GOOD = {"X": np.ones((3, 4)), "W": np.ones((4, 2), dtype=np.int8)}


def test_results_are_as_large_as_what_goes_in_and_seeds_tell_draws_apart():
    cascade = library.build("ffn", b="1", p="64", d="128", s="256")
    first, again, other = (seeded(cascade, plain_roles(cascade), seed=seed) for seed in (1, 1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != other[name]).all()
    assert execute(cascade, first)["FF1"].std() == pytest.approx(1, abs=0.05)


def test_a_layers_scores_are_about_1_and_rotary_tables_turn():
    cascade = load_workload(
        "whisper-tiny", {"part": "layer", "phase": "prefill", "seq": "8", "source_seq": "8"}
    )
    values = seeded(cascade, roles.roles_of(cascade))
    assert 0.3 < execute(cascade, values)["QK"].std() < 3
    turned = parse("rank e = 4, p = 5\nY[e,p] = COS[e,p] * COS[e,p] + SIN[e,p] * SIN[e,p]")
    values = seeded(turned, plain_roles(turned))
    np.testing.assert_allclose(execute(turned, values)["Y"], 1)
    assert (values["SIN"][:2, 1] < 0).all()
    assert (values["SIN"][2:, 1] > 0).all()


def test_outliers_are_one_feature_in_a_hundred():
    cascade = parse("rank n = 50, i = 300, o = 2\nY[n,o] = X[n,i] * W[i,o]")
    plain = seeded(cascade, plain_roles(cascade))
    large = seeded(cascade, plain_roles(cascade), outliers=20)
    share = np.abs(large["X"]).max(axis=0) / np.abs(plain["X"]).max(axis=0)
    assert sorted(np.unique(share.round(9))) == [1, 20]
    assert (share > 2).sum() == 3
    np.testing.assert_array_equal(plain["W"], large["W"])


def test_a_file_of_values_gives_them(tmp_path):
    path = tmp_path / "good.npz"
    np.savez_compressed(path, **GOOD)
    found = read_npz(path, CASCADE)
    np.testing.assert_array_equal(found["W"], GOOD["W"])
    assert found["W"].dtype == np.float64


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Z": np.ones(2)}, "bad.npz Z: is no input of the cascade; "),
        ({"W": None}, "bad.npz W: is missing; needs shape (4, 2)"),
        ({"W": np.ones((2, 4))}, "bad.npz W: must have shape (4, 2) (got (2, 4))"),
        (
            {"W": np.ones((4, 2), dtype=complex)},
            "bad.npz W: must be an array of real numbers (got 'complex128')",
        ),
        ({"W": np.full((4, 2), None)}, "bad.npz W: must be an array of real numbers (got 'object')"),
        ({"W": np.full((4, 2), np.nan)}, "bad.npz W: must be finite (got nan)"),
        ({"W": b"not an array"}, "bad.npz: is no .npz file that numpy reads: "),
        ({"W": npy(np.ones((4, 2)))[:-9]}, "bad.npz: is no .npz file that numpy reads: "),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(tmp_path, change, said):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in {**GOOD, **change}.items():
            if value is not None:
                archive.writestr(f"{name}.npy", value if isinstance(value, bytes) else npy(value))
    with pytest.raises(EinsimError) as error:
        read_npz(path, CASCADE)
    assert str(error.value).startswith(f"{tmp_path}/{said}")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 99])
def test_what_is_no_archive_is_one_line(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(EinsimError, match=r"bad.npz: is no .npz file that numpy reads: "):
        read_npz(path, CASCADE)
    with pytest.raises(EinsimError, match=r"none.npz: cannot be read: No such file"):
        read_npz(tmp_path / "none.npz", CASCADE)
    with pytest.raises(EinsimError, match=r"cannot be read: Is a directory"):
        read_npz(tmp_path, CASCADE)
