"""A subscriber's endpoint on loopback: a real HTTP server that keeps what it is sent, and misbehaves when asked to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def status(self) -> dict[str, Any]:
        """The parameters of the status that a notification begins with, each with its value or its parts."""
        found: dict[str, Any] = {"events": []}
        for one in self.json["entry"][0]["resource"]["parameter"]:
            value = next((v for k, v in one.items() if k.startswith("value")), None)
            if one["name"] == "notification-event":
                found["events"].append(
                    {part["name"]: next(v for k, v in part.items() if k.startswith("value")) for part in one["part"]}
                )
            else:
                found[one["name"]] = value
        return found


class Receiver:
    """Answers 200, or whatever `answers` says for the request: a status, or seconds to hang for first."""

    def __init__(self, answers: Callable[[Received], int | float] = lambda _: 200) -> None:
        self.answers = answers
        self.received: list[Received] = []
        self._arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                got = Received(self.command, self.path, dict(self.headers.items()), body, time.time())
                answer = outer.answers(got)
                if isinstance(answer, float):
                    time.sleep(answer)
                    answer = 200
                if answer == 0:
                    self.connection.close()  # a reset
                    return
                with outer._arrived:
                    if answer < 300:
                        outer.received.append(got)
                    outer._arrived.notify_all()
                self.send_response(answer)
                if 300 <= answer < 400:
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_PUT = do_DELETE = do_GET = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/notify"

    def wait(self, number: int, seconds: float = 20.0) -> list[Received]:
        """What has been received, once it is so many."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.received) >= number, seconds):
                raise AssertionError(f"{len(self.received)} notifications came; expected {number}")
            return list(self.received)

    def quiet(self, number: int, seconds: float = 0.6) -> list[Received]:
        """What has been received, and that nothing more comes."""
        time.sleep(seconds)
        assert len(self.received) == number, [one.body for one in self.received]
        return list(self.received)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
