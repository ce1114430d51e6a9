"""`einsim accuracy`: its figures, and one line for whatever is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

import einsim
from einsim.cli.main import main

SMALL = ["ffn", "--set", "b=1", "p=4", "d=16", "s=32"]


def printed(capsys, *words):
    assert main(["accuracy", *words]) == 0
    return capsys.readouterr().out


def test_json_is_what_the_function_gives(capsys):
    found = json.loads(
        printed(capsys, *SMALL, "weights=4", "group=8", "activations=8", "--seed", "3", "--json")
    )
    own = einsim.accuracy(
        "ffn", {"b": 1, "p": 4, "d": 16, "s": 32, "weights": 4, "group": 8, "activations": 8}, seed=3
    )
    assert [each["sqnr_db"] for each in found["einsums"]] == [each.sqnr_db for each in own.einsums]
    assert [each["tensor"] for each in found["outputs"]] == ["FF2"]
    assert found["formats"]["weights"] == "int4 per 8 values"
    assert 5 < found["outputs"][0]["sqnr_db"] < 25


def test_without_formats_everything_is_exact(capsys):
    out = printed(capsys, *SMALL)
    assert out.count("exact") == 4
    assert "dB" not in out


def test_a_file_gives_the_values(capsys, tmp_path):
    path = tmp_path / "values.npz"
    np.savez(path, X=np.ones((1, 4, 16)), W1=np.ones((16, 32)), W2=np.ones((32, 16)))
    found = json.loads(printed(capsys, *SMALL, "weights=8", "--data", str(path), "--json"))
    assert found["einsums"][0]["exact"]
    assert found["data"] == str(path)


def test_models_files_and_parts(capsys, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("name: own\nranks: {i: 4, j: 4, k: 4}\neinsums: |\n  C[i,j] = A[i,k] * B[k,j]\n")
    out = printed(capsys, str(path), "--set", "k=8", "weights=8")
    assert "k=8" in out
    out = printed(capsys, "whisper-tiny", "--layer", "1", "--set", "seq=4", "source_seq=4", "weights=8")
    assert out.startswith("whisper-tiny encoder layer 0-3 encode")
    assert "output Y" in out
    out = printed(capsys, "mobilenet-v3-small", "--set", "image=32", "layer=1", "weights=8", "activations=8")
    assert "output" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["weights=1"], "--set weights: must be float or bits, 2 to 16 (got '1')"),
        (["weights=17"], "--set weights: must be float or bits, 2 to 16 (got '17')"),
        (["weights=many"], "--set weights: must be float or bits, 2 to 16 (got 'many')"),
        (["group=8"], "--set group: needs weights, the bits of the values that share a scale (got 8)"),
        (["weights=8", "group=0"], "--set group: must be >= 1 (got 0)"),
        (["weights_per=row"], "--set weights_per: unknown weights_per 'row'; known: tensor, channel"),
        (
            ["wights=8"],
            "--set wights: neither the workload nor a format has such a setting; did you mean 'weights'?",
        ),
        (["--outliers", "0"], "--outliers: must be a number above 0, up to 1e6 (got 0.0)"),
        (["--outliers", "nan"], "--outliers: must be a number above 0, up to 1e6 (got nan)"),
        (["--data", "none.npz"], "none.npz: cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(capsys, words, said):
    assert main(["accuracy", *SMALL, *words]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["attention", "--set", "seq=64K"], "--set b=1 seq="),
        (["bert-base", "--set", "seq=4K"], "--set b=1 seq="),
        (["resnet-50", "--set", "b=512", "part=conv1"], "; --set b="),
        (["llama3-70b", "--set", "seq=64"], "; another part or a smaller model will do"),
        (["conv", "--set", "b=1", "c=64", "k=64", "y=4096", "x=4096"], "--set "),
    ],
)
def test_what_is_too_large_says_how_it_becomes_smaller(capsys, words, said):
    assert main(["accuracy", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
