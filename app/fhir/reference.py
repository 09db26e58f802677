"""What a literal reference names: a resource here, one elsewhere, or nothing that can be told.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re

_LOCAL = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?\Z")
_VERSION = re.compile(r"/_history/[A-Za-z0-9\-.]{1,64}\Z")
_TAIL = re.compile(r"/([A-Z][A-Za-z]{1,63})/[A-Za-z0-9\-.]{1,64}\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+\Z")
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")

Place = tuple[str | None, str | None, str | None]  # type, id, url: id or url is set, never both


def place(text: str, base_url: str = "") -> Place | None:
    """Where `text` points. The version is left out; `base_url` makes what begins with it local. None for a fragment,
    and for what is not a reference at all."""
    if base_url:
        root = base_url if base_url.endswith("/") else base_url + "/"
        text = text.removeprefix(root)
    local = _LOCAL.match(text)
    if local is not None:
        return local[1], local[2], None
    if not text.isascii() or _SCHEME.match(text) is None:
        return None
    text = _VERSION.sub("", text)
    tail = _TAIL.search(text)
    return tail[1] if tail else None, None, text
