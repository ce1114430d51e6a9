"""What the documentation shows is what happens: its files are written, its commands run, their outputs compared.

A ```yaml or ```python block whose first line is `# name.yaml` or `# name.py` is that file; a ```console block holds commands, each after `$ `, and
what they print. `pytest tests/test_docs.py --update-golden` writes the outputs anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from einsim.cli.group import COMMANDS, CommandList
from einsim.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def said(command: str, folder: Path) -> str:
    """What a command prints, both streams, as a person would see it."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def session(block: str, folder: Path) -> str:
    """A console block with the outputs that its commands give now."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"{command}\n{said(command[2:], folder)}" for command in commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path, update_golden: bool) -> None:
    text = page.read_text(encoding="utf-8")

    def replay(match: re.Match[str]) -> str:
        language, block = match.groups()
        name = re.match(r"# ([\w.-]+\.(?:yaml|py))\n", block)
        if language in {"yaml", "python"} and name:
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
        if language == "console":
            return f"```console\n{session(block, tmp_path)}```"
        return match[0]

    replayed = BLOCK.sub(replay, text)
    if update_golden:
        page.write_text(replayed, encoding="utf-8")
    assert replayed == text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    links = re.findall(r"\]\(([^)#]+)\)", prose)
    assert [link for link in links if not (page.parent / link).exists()] == []


def shown_commands() -> list[str]:
    """Every einsim command line in a block of any page, comments and pipes cut off."""
    found = []
    for page in PAGES:
        for _, block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.splitlines():
                match = re.match(r"(?:\$ )?(?:\.venv/bin/)?einsim (.*)", line)
                if match:
                    found.append(re.split(r"\s+[#|>&]", match[1])[0])
    return found


@pytest.mark.parametrize("line", shown_commands())
def test_every_command_that_is_shown_exists_with_its_options(line: str) -> None:
    words = line.split()
    assert words[0] in COMMANDS
    group = cli
    assert isinstance(group, CommandList)
    command = group.get_command(click.Context(group), words[0])
    for word in words[1:]:  # `rtl emit`, `capture gpu`
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(command), word)
    assert command is not None
    known = {name for param in command.get_params(click.Context(command)) for name in param.opts}
    assert {word for word in words if word.startswith("-")} <= known
