"""The documentation as a site: it is built without a warning, needs no network, and knows every key of every YAML file."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from einsim.accel.load import preset_names
from einsim.schema import SCHEMAS
from einsim.specs.yaml_reader import load_yaml

ROOT = Path(__file__).resolve().parent.parent
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data", "embed": "src", "use": "href", "image": "href"}  # fmt: skip


ELEMENTS = {*["a", "article", "body", "button", "code", "div", "em", "footer", "form", "h1", "h2", "h3", "h4", "head", "header", "html", "img", "input", "label", "li", "link", "main", "meta", "nav", "ol", "p", "small"],
            *["span", "strong", "table", "tbody", "td", "th", "thead", "title", "tr", "ul"]}  # fmt: skip


class Assets(HTMLParser):
    """What a page loads when it is shown, and the classes on it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.classes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.classes |= set((given.get("class") or "").split())
        if tag == "link" and given.get("rel") in {"canonical", "next", "prev", "edit"}:
            return
        if tag in LOADED and given.get(LOADED[tag]):
            self.loaded.append(str(given[LOADED[tag]]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning fails the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}, text=True, check=False, capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


def is_elsewhere(address: str) -> bool:
    return bool(re.match(r"\s*(https?:)?//", address))


def test_the_guard_sees_what_a_page_loads() -> None:
    page = '<link rel="stylesheet" href="//fonts.example/x.css"><script src="https://cdn.example/x.js"></script><a href="https://x.example">x</a>'
    assert [is_elsewhere(address) for address in Assets(page).loaded] == [True, True]


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = Assets(page.read_text(encoding="utf-8"))
        assert [address for address in found.loaded if is_elsewhere(address)] == [], page.name
        assert "mermaid" not in found.classes, (
            f"{page.name}: the script that draws it would be loaded from elsewhere"
        )
        if page.name != "404.html":
            lost = [
                address
                for address in found.loaded
                if not (page.parent / re.split("[?#]", address)[0]).exists()
            ]
            assert lost == [], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), (
            sheet.name
        )


def test_what_is_written_is_shown(site: Path) -> None:
    cli = (site / "cli.html").read_text(encoding="utf-8")
    assert "[workloads|accels|mappings|designs]" in cli
    shown = {page.name: re.sub(r"<(script|pre|style|svg).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL) for page in site.glob("*.html")}  # fmt: skip
    unknown = {name: set(re.findall(r"<(\w+)", text)) - ELEMENTS for name, text in shown.items()}
    assert {name: tags for name, tags in unknown.items() if tags} == {}, "text in angle brackets is lost"


def test_every_page_that_is_written_is_in_the_navigation(site: Path) -> None:
    linked = set(re.findall(r'href="([\w-]+\.html)"', (site / "index.html").read_text(encoding="utf-8")))
    written = {page.name for page in site.glob("*.html")} - {"404.html", "index.html"}
    assert written <= linked


def hooks(name: str) -> ModuleType:
    """A module of docs/hooks, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(page: str) -> dict[str, list[str]]:
    """Key -> the texts of its rows, each of four cells."""
    found: dict[str, list[str]] = {}
    for line in page.splitlines():
        if match := re.match(r"\| `([\w]+)` \| (.*) \| (.*) \| (.*) \|$", line):
            assert match[2], line
            found.setdefault(match[1], []).append(match[4])
    return found


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_has_a_row_with_its_meaning(kind: str) -> None:
    pages = hooks("yaml_keys").key_pages()
    told = {(key, text) for page in pages.values() for key, texts in rows(page).items() for text in texts}
    for of in SCHEMAS[kind]()["definitions"].values():
        for key, own in of.get("properties", {}).items():
            assert (key, own["description"].replace("|", "\\|")) in told


def keys_of(data: Any) -> set[str]:
    if not isinstance(data, dict):
        return set()
    data = {key: value for key, value in data.items() if key != "sources"}
    return {*data, *(key for value in data.values() for key in keys_of(value))}


@pytest.mark.parametrize("preset", preset_names())
def test_a_presets_own_keys_stand_on_the_page_of_its_family(preset: str) -> None:
    data = load_yaml(ROOT / "accel" / "presets" / f"{preset}.yaml").data
    page = hooks("yaml_keys").key_pages()[f"keys/{data.get('family', 'machine')}.md"]
    assert {*data} <= rows(page).keys()
    assert {key for key in keys_of(data) if key.endswith(("_energy", "bandwidth", "bytes_per_pe"))} <= rows(
        page
    ).keys()
