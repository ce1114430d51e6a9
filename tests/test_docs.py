"""What the documentation shows is what happens: its files are written, its commands run, their outputs compared.

A block is one of these, and nothing else:

    yaml, python   a file by the name in its first line, `# name.yaml`; yaml also `# part of PRESET`, which must load
    python, verilog  a file of the repository, `--8<-- "examples/name.py"`, which is copied beside the others
    console        commands, each after `$ `, and what they print
    einsum         a cascade in the notation, which must parse
    sh             commands that take long: they must exist with their options
    text           a picture, or a form to fill in

`pytest tests/test_docs.py --update-golden` writes the outputs anew.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest
import yaml

from einsim.accel.load import load_machine
from einsim.cli.group import COMMANDS, CommandList
from einsim.cli.main import cli, main
from einsim.specs.yaml_reader import load_yaml, read_yaml
from einsim.workloads.notation import parse

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w.-]+\.(?:yaml|py))\n")
PART = re.compile(r"# part of ([\w-]+)\n")
OWN = re.compile(r"(?P<program>einsim|python(?= \w+\.py\b)) (?P<arguments>[^|>]*)(?P<then>[|>].*)?")
ALONE = re.compile(r"register_|cocotb|multiprocessing")  # scripts that leave something in their process
INCLUDED = re.compile(r'--8<-- "(.*)"\n')


def said(command: str, folder: Path) -> str:
    """What a command prints, both streams, as a person would see it.

    einsim's own run right here, and so do scripts: to start it and to load its kernels takes longer than most
    of them do.
    """
    out, err = io.StringIO(), io.StringIO()
    own = OWN.fullmatch(command)
    words = shlex.split(own["arguments"]) if own else []
    if own and own["program"] == "python" and ALONE.search((folder / words[0]).read_text(encoding="utf-8")):
        own = None
    if own:
        with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err if own["then"] else out):
            if own["program"] == "einsim":
                main(words)
            else:
                runpy.run_path(words[0], run_name="__main__")
        if not own["then"]:
            return stripped(out.getvalue())
        command = f"cat {own['then']}"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, text=True, check=False,
        input=out.getvalue(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return stripped(err.getvalue() + done.stdout)


def stripped(text: str) -> str:
    """A text without blanks at the end of lines."""
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def session(block: str, folder: Path) -> str:
    """A console block with the outputs that its commands give now."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"{command}\n{said(command[2:], folder)}" for command in commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path, update_golden: bool) -> None:
    text = page.read_text(encoding="utf-8")

    def replay(match: re.Match[str]) -> str:
        language, block = match.groups()
        if language in {"yaml", "python"} and (name := NAME.match(block)):
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
        if included := INCLUDED.fullmatch(block):
            shutil.copy(ROOT / included[1], tmp_path)
        if language == "console":
            return f"```console\n{session(block, tmp_path)}```"
        return match[0]

    replayed = BLOCK.sub(replay, text)
    if update_golden:
        page.write_text(replayed, encoding="utf-8")
    assert replayed == text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_is_of_a_kind_that_is_checked(page: Path, tmp_path: Path) -> None:
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "einsum":
            assert parse(block).einsums
        elif language == "yaml" and (part := PART.match(block)):
            path = tmp_path / "whole.yaml"
            preset = load_yaml(ROOT / "accel" / "presets" / f"{part[1]}.yaml").data
            path.write_text(yaml.safe_dump({**preset, **read_yaml(block, "part").data}), encoding="utf-8")
            assert load_machine(str(path))
        elif language in {"yaml", "python", "verilog"}:
            assert NAME.match(block) or INCLUDED.fullmatch(block), block
        else:
            assert language in {"console", "sh", "text"}, block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    links = re.findall(r"\]\(([^)#]+)\)", prose)
    assert [link for link in links if not (page.parent / link).exists()] == []


def shown_commands() -> list[str]:
    """Every einsim command line of any page, in a block or between backticks, comments and pipes cut off."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = re.findall(r"^(?: {4}|\$ )?(?:\.venv/bin/)?einsim ([a-z].*)", text, re.MULTILINE)
        lines += re.findall(r"`einsim ([a-z][^`]*)`", " ".join(BLOCK.sub("", text).split()))
        found += [re.split(r"\s+[#|>&;\\]", line)[0] for line in lines]
    return sorted({line for line in found if line.split()[0] != "is"})


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
    known = {
        name
        for param in command.get_params(click.Context(command))
        for name in (*param.opts, *param.secondary_opts)
    }
    assert {word for word in words if word.startswith("-")} <= known
