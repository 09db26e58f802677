"""HTTP to archives: bounded in time and size, no redirects, no proxies or credentials from the environment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from app import tracing

ANSWER_MAX = 256 * 1024 * 1024
PATIENCE = 20  # times the time limit of one step, for a whole answer


class Unavailable(Exception):
    """The archive did not answer as it should. The text names neither address nor content."""


class Unreadable(Unavailable):
    """The archive is there, and gives no usable answer to this one question: the next may fare better."""


@contextmanager
def understood() -> Iterator[None]:
    """Raises Unreadable where an answer is not of the form that is expected of it."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise Unreadable("the archive's answer is not of the form that its interface has") from None


class TooMuch(requests.RequestException):
    """An answer that goes on beyond what is read, or for longer than is waited."""


class _Bounded(HTTPAdapter):
    """Every answer within a time and a size, whatever the archive sends and however slowly."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self.timeout = timeout

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options |= {"timeout": self.timeout, "stream": True}
        request.headers.update(tracing.onward())
        began = time.monotonic()
        response = super().send(request, *args, **options)
        body = bytearray()
        try:
            for part in response.iter_content(1 << 16):
                body += part
                if len(body) > ANSWER_MAX or time.monotonic() - began > PATIENCE * self.timeout:
                    raise TooMuch
        finally:
            response.close()
        response._content = bytes(body)
        return response


def session(timeout: float, credentials: tuple[str, str] | None = None) -> requests.Session:
    """A session whose every request has a time limit."""
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = 0
    made.auth = credentials
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Bounded(timeout))
    return made


def get_json(http: requests.Session, url: str, params: dict[str, Any] | None = None) -> Any:
    """A GET whose answer is JSON; None for 404. Raises Unavailable."""
    return _json(http, "GET", url, params=params)


def post_text(http: requests.Session, url: str, text: str) -> Any:
    """A POST of plain text whose answer is JSON. Raises Unavailable."""
    return _json(http, "POST", url, data=text.encode())


def _json(http: requests.Session, method: str, url: str, **options: Any) -> Any:
    try:
        response = http.request(method, url, allow_redirects=False, **options)
    except TooMuch:
        raise Unreadable("the archive's answer is larger than is read, or does not end") from None
    except requests.RequestException as error:
        raise Unavailable(f"the archive could not be reached ({type(error).__name__})") from None
    if response.status_code == 404:
        return None
    if response.status_code != 200:
        raise Unreadable(f"the archive answered {response.status_code}; 200 was expected")
    try:
        return json.loads(response.content)
    except ValueError:
        raise Unreadable("the archive's answer is not JSON") from None
