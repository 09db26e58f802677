"""`/docs/`: the guides of docs/ as pages, so that they are at hand wherever the registry is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template
from markupsafe import Markup, escape

from app.pages import guarded, told

DOCS = Path(__file__).parents[2] / "docs"
_SLUG = re.compile(r"[^\w -]")
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


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


@dataclass(frozen=True, slots=True)
class Body:
    """A guide as HTML: what stands before its first part, the parts as (id, name), and all that follows."""

    before: Markup
    parts: tuple[tuple[str, str], ...]
    after: Markup


@cache
def rendered(name: str) -> Body:
    """A guide as HTML. What it holds of markup is shown as text; links between guides lead to their pages, and what
    is a file of the project is named, for it is not served."""
    from markdown_it import MarkdownIt  # only who reads a guide pays for it

    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("fence", _block)
    made.add_render_rule("code_block", _block)
    tokens = made.parse(_COMMENT.sub("", (DOCS / f"{name}.md").read_text(encoding="utf-8")))
    parts = []
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _SLUG.sub("", inside.content.lower()).replace(" ", "-"))
            if token.tag == "h2":
                words = "".join(one.content for one in inside.children or ())
                parts.append((str(token.attrGet("id")), words))
        if inside.type == "inline":
            _lead(inside.children or [])
    first = next((at for at, token in enumerate(tokens) if token.tag == "h2"), len(tokens))

    def html(some: list[Any]) -> Markup:
        text = made.renderer.render(some, made.options, {})
        wide = '<div class="scrolls" tabindex="0"><table>'
        return Markup(text.replace("<table>", wide).replace("</table>", "</table></div>"))

    return Body(html(tokens[:first]), tuple(parts), html(tokens[first:]))


def _block(self: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    """Reached by keyboard, for it may scroll. What is drawn in characters keeps its lines; what is pasted may be folded."""
    drawn = "" if tokens[at].info.strip() in ("sh", "json", "console") else ' class="drawn"'
    return str(Markup('<pre tabindex="0"{}><code>{}</code></pre>\n').format(Markup(drawn), tokens[at].content))


def _lead(inside: list[Any]) -> None:
    """Let the links of a paragraph lead where the guides are served; in place of a link to a file stands its name."""
    named: str | None = None
    for token in inside:
        if token.type == "link_open":
            path, mark, part = str(token.attrGet("href") or "").partition("#")
            if path.endswith(".md") and "/" not in path:
                token.attrSet("href", f"/docs/{path.removesuffix('.md')}{mark}{part}")
            elif path.startswith("../"):
                named, token.type, token.content = path.removeprefix("../"), "text", ""
        elif token.type == "link_close" and named:
            token.type, token.content, named = "html_inline", f" <code>{escape(named)}</code>", None


def blueprint() -> Blueprint:
    """The list of the guides, and each of them."""
    documents = Blueprint("documents", __name__, template_folder="templates")
    guarded(documents)
    told(documents)

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
