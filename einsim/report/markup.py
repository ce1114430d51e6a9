"""Pieces of HTML: text is escaped here and nowhere else, so nothing from a file can be markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def text(value: object) -> str:
    """The value as text, safe between tags and inside attributes."""
    return escape(str(value), quote=True)


def section(title: str, body: str, *, lead: str = "", name: str = "") -> str:
    """A titled part of the page; `lead` is the sentence under the title, `name` its anchor."""
    opening = f'<section id="{text(name)}">' if name else "<section>"
    lead = f'<p class="lead">{text(lead)}</p>' if lead else ""
    return f"{opening}<h2>{text(title)}</h2>{lead}{body}</section>"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "", foot: Iterable[Sequence[str]] = ()
) -> str:
    """A table; `head` is plain text, cells are markup made by the caller. Rows of `foot` stay below, sorted or not."""
    top = "".join(f"<th>{text(cell)}</th>" for cell in head)
    body, last = (
        "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in part)
        for part in (rows, foot)
    )
    last = f"<tfoot>{last}</tfoot>" if last else ""
    return f'<div class="scroll"><table class="{text(kind)}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody>{last}</table></div>'


def legend(colours: dict[str, str]) -> str:
    """Coloured squares with their names."""
    items = "".join(
        f'<span><i style="background:{colour}"></i>{text(name)}</span>' for name, colour in colours.items()
    )
    return f'<p class="legend">{items}</p>'


def columns(parts: Iterable[str]) -> str:
    """Parts side by side where the window is wide enough."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'
