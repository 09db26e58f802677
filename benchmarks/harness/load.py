"""The load: a process of its own that keeps so many connections busy, and measures every answer.

Closed loop: a connection sends its next request when it has the whole answer to the last. A time is that from before the
first byte is sent until after the last byte has come. Every status is checked; of every tenth answer, and of the first
of each connection, the content too.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

Check = Callable[[Mapping[str, Any]], bool]
SAMPLED = 10
PATIENCE_SECONDS = 20  # for one answer


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent. `check` is asked whether the answer's content is right."""

    wire: bytes
    expected: tuple[int, ...] = (200,)
    check: Check | None = None


def request(
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str = "",
    expected: tuple[int, ...] = (200,),
    check: Check | None = None,
    headers: Mapping[str, str] | None = None,
) -> Request:
    """A request for `path`, with `body` as FHIR JSON (or bytes as they are)."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/fhir+json"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        lines.append(f"Content-Length: {len(data)}")
        if not headers or "Content-Type" not in headers:
            lines.append("Content-Type: application/fhir+json")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Request("\r\n".join([*lines, "", ""]).encode() + data, expected, check)


@dataclass(frozen=True, slots=True)
class Job:
    """What one run of the load is: `make(*args)` yields the requests, for `seconds` or until there are no more."""

    address: str
    make: Callable[..., Iterator[Request]]
    args: tuple[Any, ...]
    connections: int
    seconds: float
    warm_up: float = 0.0


@dataclass
class Took:
    """`times` in milliseconds, in the order of the answers; `seconds` is how long the run took; `answered` counts the answers
    at its start too, which are not timed. `web` and `database`: microseconds of processor time that an answer took there."""

    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    answered: int = 0
    web: float | None = None
    database: float | None = None
    checked: int = 0
    faults: list[str] = field(default_factory=list)


class Generator:
    """The other process. One job at a time; connections are made for each job, and kept while it runs."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, job: Job) -> Took:
        """What the run took. It ends at the first answer that is not as expected, which is then among the faults."""
        self._pipe.send(job)
        took: Took = self._pipe.recv()
        return took

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)


def _serve(pipe: Connection) -> None:
    sources: dict[Any, Iterator[Request]] = {}
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            key = (job.make, job.address)
            if key not in sources:  # a later round goes on where the former ended
                sources[key] = job.make(*job.args)
            pipe.send(drive(job, sources[key]))
        except Exception as error:
            pipe.send(Took([], job.seconds, faults=[f"{type(error).__name__}: {error}"]))


class Wire:
    """One kept connection and the answer that is coming in on it."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request: Request | None = None
        self.began = 0.0
        self.received = bytearray()
        self.body_at = self.length = -1
        self.answered = 0

    def send(self, one: Request) -> None:
        self.request, self.body_at, self.length = one, -1, -1
        self.received.clear()
        self.began = time.perf_counter()
        self.socket.sendall(one.wire)

    def receive(self) -> bool:
        """Take in what has come; whether the answer is whole."""
        part = self.socket.recv(262144)
        if not part:
            raise ConnectionError(f"the server closed the connection after {bytes(self.received[:200])!r}")
        self.received += part
        if self.body_at < 0:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.body_at = end + 4
            head = bytes(self.received[:end]).lower()
            place = head.find(b"\r\ncontent-length:")
            if place >= 0:
                self.length = int(head[place + 17 :].split(b"\r\n", 1)[0])
            elif b"transfer-encoding: chunked" in head:
                self.length = -2
            else:
                self.length = 0
        if self.length == -2:
            return self.received.endswith(b"0\r\n\r\n")
        return len(self.received) >= self.body_at + self.length

    @property
    def status(self) -> int:
        return int(self.received[9:12])

    def body(self) -> bytes:
        whole = bytes(self.received[self.body_at :])
        if self.length != -2:
            return whole
        joined = b""
        while whole:
            size, _, rest = whole.partition(b"\r\n")
            number = int(size.split(b";")[0], 16)
            if number == 0:
                break
            joined, whole = joined + rest[:number], rest[number + 2 :]
        return joined

    def fault(self) -> str | None:
        """What is wrong with the answer; None if nothing is."""
        assert self.request is not None
        self.answered += 1
        if self.status not in self.request.expected:
            said = self.body()[:600].decode("utf-8", "replace")
            return f"{self.status}, expected {self.request.expected}, to {self.request.wire[:200]!r}: {said}"
        check = self.request.check
        if check is not None and (self.answered % SAMPLED == 1) and not check(json.loads(self.body())):
            return f"content of the answer to {self.request.wire[:400]!r}: {self.body()[:1500].decode()}"
        return None


def drive(job: Job, source: Iterator[Request]) -> Took:
    """Keep the connections busy."""
    took, chooser = Took(), selectors.DefaultSelector()
    wires = [Wire(job.address) for _ in range(job.connections)]
    begin = time.perf_counter()
    measured_from, end = begin + job.warm_up, begin + job.warm_up + job.seconds
    busy, last = 0, begin
    try:
        for wire in wires:
            one = next(source, None)
            if one is not None:
                wire.send(one)
                chooser.register(wire.socket, selectors.EVENT_READ, wire)
                busy += 1
        while busy:
            ready = chooser.select(PATIENCE_SECONDS)
            if not ready or time.perf_counter() > end + PATIENCE_SECONDS:
                waiting = [key.data for key in chooser.get_map().values()]
                raise TimeoutError(f"no answer within {PATIENCE_SECONDS} s to {waiting[0].request.wire[:300]!r}")
            for key, _ in ready:
                wire = key.data
                if not wire.receive():
                    continue
                now = time.perf_counter()
                took.answered += 1
                if measured_from <= now and wire.began <= end:
                    took.times.append((now - wire.began) * 1000)
                    last = now
                if found := wire.fault():
                    took.faults.append(found)
                took.checked += wire.request.check is not None and wire.answered % SAMPLED == 1
                one = next(source, None) if now < end and not took.faults else None
                if one is None:
                    chooser.unregister(wire.socket)
                    busy -= 1
                else:
                    wire.send(one)
    finally:
        for wire in wires:
            wire.socket.close()
        chooser.close()
    took.seconds = last - measured_from
    return took
