"""`/docs/`: the guides of docs/ as pages, so that they are at hand wherever the registry is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template
from markupsafe import Markup

from app.pages import guarded

DOCS = Path(__file__).parents[2] / "docs"
_SLUG = re.compile(r"[^\w -]")


@dataclass(frozen=True, slots=True)
class Guide:
    """`name` is that of its file; `whom` its first sentence: for whom it is."""

    name: str
    title: str
    whom: str


@cache
def guides() -> tuple[Guide, ...]:
    """Those that there are, in the order of their titles."""
    return tuple(sorted((_guide(path) for path in DOCS.glob("*.md")), key=lambda one: one.title))


def _guide(path: Path) -> Guide:
    title, _, rest = path.read_text(encoding="utf-8").partition("\n")
    first = rest.strip().split("\n\n")[0]
    return Guide(path.stem, title.lstrip("# "), re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(first.split())))


@cache
def rendered(name: str) -> Markup:
    """A guide as HTML. What it holds of markup is shown as text; links between guides lead to their pages."""
    from markdown_it import MarkdownIt  # only who reads a guide pays for it

    def opened(self: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
        href = str(tokens[at].attrGet("href") or "")
        if href.endswith(".md") and "/" not in href:
            tokens[at].attrSet("href", f"/docs/{href.removesuffix('.md')}")
        return str(self.renderToken(tokens, at, options, env))

    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("link_open", opened)
    tokens = made.parse((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _SLUG.sub("", inside.content.lower()).replace(" ", "-"))
    html = made.renderer.render(tokens, made.options, {})
    return Markup(
        html.replace("<table>", '<div class="scrolls" tabindex="0"><table>').replace("</table>", "</table></div>")
    )


def blueprint() -> Blueprint:
    """The list of the guides, and each of them."""
    documents = Blueprint("documents", __name__, template_folder="templates")
    guarded(documents)

    @documents.get("/docs/")
    def index() -> str:
        return render_template("documents.html", guides=guides())

    @documents.get("/docs/<name>")
    def guide(name: str) -> Response:
        found = next((one for one in guides() if one.name == name), None)
        if found is None:
            abort(404)
        return make_response(render_template("document.html", guide=found, body=rendered(name)))

    return documents
