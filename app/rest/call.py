"""One request and its answer, read from and given to WSGI itself: what the hot paths need of a web framework, and no more.

A Call has the attributes by which `negotiate`, `errors` and `refusals` know Flask's request, so that they serve both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.http import HTTP_STATUS_CODES, remove_entity_headers
from werkzeug.wsgi import get_content_length, get_input_stream

from app.interactions import Asked

Pairs = list[tuple[str, str]]


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


class Headers:
    """The request's headers by their names, however these are written."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def get(self, name: str, default: Any = None) -> Any:
        return self._environ.get(_key(name), default)

    def getlist(self, name: str, /) -> list[str]:
        """One value at most: a WSGI server has joined several."""
        found = self._environ.get(_key(name))
        return [] if found is None else [found]


class Call:
    """`endpoint` and `url_rule` are those of the table of routes, `view_args` the parts of the address that they name."""

    __slots__ = ("_pairs", "asked", "endpoint", "environ", "headers", "url_rule", "view_args")

    def __init__(self, environ: dict[str, Any], endpoint: str, url_rule: str, view_args: Mapping[str, str]) -> None:
        self.environ = environ
        self.headers = Headers(environ)
        self.endpoint = endpoint
        self.url_rule = url_rule
        self.view_args = view_args
        self.asked: Asked | None = None
        self._pairs: Pairs | None = None

    @property
    def criteria(self) -> str:
        return str(self.environ.get("QUERY_STRING", ""))

    @property
    def pairs(self) -> Pairs:
        """The parameters of the address, in order."""
        if self._pairs is None:
            query = self.criteria
            self._pairs = parse_qsl(query, keep_blank_values=True, encoding="utf-8") if query else []
        return self._pairs

    @property
    def args(self) -> dict[str, str]:
        return dict(reversed(self.pairs)) if self.environ.get("QUERY_STRING") else {}

    @property
    def remote_addr(self) -> str | None:
        return self.environ.get("REMOTE_ADDR")

    @property
    def content_type(self) -> str | None:
        return self.environ.get("CONTENT_TYPE")

    @property
    def content_length(self) -> int | None:
        return get_content_length(self.environ)

    @property
    def stream(self) -> Any:
        return get_input_stream(self.environ)


@dataclass(slots=True)
class Reply:
    """An answer as it goes out. `headers` by their names as HTTP has them, each once."""

    status: int
    headers: dict[str, str]
    body: bytes

    def wsgi(self) -> tuple[str, list[tuple[str, str]]]:
        """Status line and headers, as the web framework would make them."""
        headers = list(self.headers.items())
        if self.status == 304:
            remove_entity_headers(headers)
        else:
            headers.append(("Content-Length", str(len(self.body))))
        return _status(self.status), headers


@lru_cache(maxsize=64)
def _status(code: int) -> str:
    return f"{code} {HTTP_STATUS_CODES[code].upper()}"
