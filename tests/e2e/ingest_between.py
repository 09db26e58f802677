"""A server between harvest and a real archive, which can answer wrongly, late, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

# Takes the address (path and query), status and body of an answer; gives another (status, body, headers), or None to
# break the connection off.
Change = Callable[[str, int, bytes], tuple[int, bytes, dict[str, str]] | None]


def faithfully(_address: str, status: int, body: bytes) -> tuple[int, bytes, dict[str, str]]:
    return status, body, {}


@dataclass
class Between:
    """`asked` are the addresses asked for. `change` may be set while it runs."""

    archive: str
    change: Change = faithfully
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def between(archive: str, change: Change = faithfully) -> Iterator[Between]:
    """In front of the archive at this address, on a free loopback port."""
    made = Between(archive, change)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def _pass_on(self) -> None:
            made.asked.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            accept = {"Accept": self.headers.get("Accept", "*/*")}
            real = requests.request(self.command, archive + self.path, data=body, headers=accept, timeout=20)
            answer = made.change(self.path, real.status_code, real.content)
            if answer is None:
                self.close_connection = True
                return
            status, content, headers = answer
            self.send_response(status)
            stated = {"Content-Type": real.headers.get("Content-Type", ""), "Content-Length": str(len(content))}
            for name, value in (stated | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
