"""Pages that are made when the site is built: keys, the Python interface, and those at the root."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import einsim

sys.path.insert(0, str(Path(__file__).parent))
from yaml_keys import key_pages

SHIM = "https://unpkg.com/iframe-worker/shim"
TABLE_ROW = re.compile(r"^\|.*$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
ROOT = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds them to the pages that are written."""
    for address, text in made_pages().items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A bar in code in a table is written with a backslash, as forges want it; here it would be shown."""
    return TABLE_ROW.sub(lambda row: CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Search in a page opened as a file needs a stand-in for workers: ours, not one from the network."""
    return output.replace(SHIM, page.file.src_uri.count("/") * "../" + "look/worker.js")


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """The same for 404.html, which is no page of Markdown."""
    return output_content.replace(SHIM, "/look/worker.js")


def made_pages() -> dict[str, str]:
    """Markdown by address."""
    return {
        **key_pages(),
        "python.md": python(),
        **{f"{name.lower()}.md": at_root(f"{name}.md") for name in ("CHANGELOG", "CONTRIBUTING")},
    }


def python() -> str:
    """Every public name with its docstring."""
    names = [name for name in einsim.__all__ if name != "__version__"]
    intro = "What `import einsim` offers. Every name is imported when it is first used."
    head = ["# Every Python name", "", intro, ""]
    return "\n".join([*head, *(f"::: einsim.{name}\n" for name in names)])


def at_root(name: str) -> str:
    """A page that stands at the repository's root, its links made the site's."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](", text).replace("](CHANGELOG.md)", "](changelog.md)")
