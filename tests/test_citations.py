"""What a reader of the repository is pointed at is in the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = re.compile(
    r"\bDESIGN(\.md| section\b| §|'s\b)"  # capitals: a document; a design's own things are fine
    r"|\b(STYLE|RULES)\.md"
    r"|(?<![\w/])shared/|/work/"
    r"|\b[Ii]ssues? #?\d+|\(#\d+\)"
)
SEED = 'SEED: Final = "einsim, issue 5, 2026-11-26"'  # a seed is data: another text would draw other sizes
DOCUMENT = re.compile(r"(?<![\w./-])((?:docs|examples|benchmarks|tests|einsim|specs|workloads|accel|dataflow|sim|rtl_models|validation)/[\w./-]+\.(?:md|py|yaml|csv|sv))\b")  # fmt: skip


def texts() -> list[tuple[str, str]]:
    """(path, text) of every file that a person wrote."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout.splitlines()
    kinds = {".py", ".md", ".yaml", ".yml", ".toml", ".sv", ".v", ".cu", ".cuh", ".html", ".css", ".js", ""}
    return [
        (name, (ROOT / name).read_text(encoding="utf-8"))
        for name in listed
        if Path(name).suffix in kinds and name != "tests/test_citations.py" and (ROOT / name).is_file()
    ]


def test_nothing_cites_a_document_that_is_not_here() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if ELSEWHERE.search(line) and line != SEED
    ]
    assert found == []


def test_the_guard_sees_such_citations() -> None:
    cited = (
        "see DESIGN section 5",
        "DESIGN.md",
        "STYLE.md",
        "in shared/notes",
        "of issue 6",
        "issue #10",
        "fixed (#12)",
        "/work/x",
    )
    assert all(ELSEWHERE.search(line) for line in cited)
    fine = ("a design's golden model", "the issue cycles of a point", "shared_bytes", "is issued 4 times")
    assert not any(ELSEWHERE.search(line) for line in fine)


def test_every_file_that_is_named_exists() -> None:
    lost = [
        f"{name}: {path}"
        for name, text in texts()
        if not name.startswith("tests/")
        for path in DOCUMENT.findall(text)
        if not (ROOT / path).exists() and "/work" not in path
    ]
    assert lost == []
