"""HTTP to archives: bounded in time and size, no redirects, no proxies or credentials from the environment."""

from __future__ import annotations

import json
from typing import Any

import requests
from requests.adapters import HTTPAdapter

ANSWER_MAX = 256 * 1024 * 1024


class Unavailable(Exception):
    """The archive did not answer as it should. The text names neither address nor content."""


class _Timed(HTTPAdapter):
    def __init__(self, timeout: float) -> None:
        super().__init__()
        self.timeout = timeout

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        options["timeout"] = self.timeout
        return super().send(request, *args, **options)


def session(timeout: float, credentials: tuple[str, str] | None = None) -> requests.Session:
    """A session whose every request has a time limit."""
    made = requests.Session()
    made.trust_env = False
    made.max_redirects = 0
    made.auth = credentials
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Timed(timeout))
    return made


def get_json(http: requests.Session, url: str, params: dict[str, Any] | None = None) -> Any:
    """A GET whose answer is JSON; None for 404. Raises Unavailable."""
    return _json(http, "GET", url, params=params)


def post_text(http: requests.Session, url: str, text: str) -> Any:
    """A POST of plain text whose answer is JSON. Raises Unavailable."""
    return _json(http, "POST", url, data=text.encode())


def _json(http: requests.Session, method: str, url: str, **options: Any) -> Any:
    try:
        with http.request(method, url, stream=True, allow_redirects=False, **options) as response:
            if response.status_code == 404:
                return None
            if response.status_code != 200:
                raise Unavailable(f"the archive answered {response.status_code}; 200 was expected")
            body = bytearray()
            for part in response.iter_content(1 << 16):
                body += part
                if len(body) > ANSWER_MAX:
                    raise Unavailable("the archive's answer is larger than is read")
            return json.loads(body)
    except requests.RequestException as error:
        raise Unavailable(f"the archive could not be reached ({type(error).__name__})") from None
    except ValueError:
        raise Unavailable("the archive's answer is not JSON") from None
