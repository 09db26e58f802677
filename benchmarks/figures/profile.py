"""Where the time of the three hot paths goes: by room of the code, and statement by statement in the database.

The same requests as under load go through the application in this process, one after the other, first as they are and then
under Python's profiler, which counts processor time alone; on PostgreSQL, pg_stat_statements counts what they ask of the
database. What is left of the whole is waiting, for the database and for the processor.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from app import create_app
from app.config import Settings
from app.storage.engine import Store
from benchmarks.harness.load import Request
from benchmarks.harness.table import LOADED, Bench, Row, measured

PATHS = ("read", "search", "create")
MOST = 300  # requests, at each of three passes
APP = Path(__file__).parents[2] / "app"
WEB = ("flask", "werkzeug", "jinja2", "blinker", "itsdangerous", "markupsafe")
DRIVER = ("psycopg", "psycopg_binary", "psycopg_pool", "sqlalchemy", "sqlite3")
SHOWN = 20
STATEMENTS = (
    "SELECT s.query, s.calls, s.total_exec_time, s.rows FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
    " WHERE d.datname = current_database() AND s.query NOT LIKE '%pg_stat_statements%' ORDER BY s.total_exec_time DESC"
)


def environ(one: Request) -> dict[str, Any]:
    """The request as a WSGI server hands it on."""
    head, _, body = one.wire.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    found: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for line in lines:
        name, _, value = line.partition(": ")
        key = name.upper().replace("-", "_")
        found[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return found


def room(file: str) -> str:
    """Where a function lives, in the words of the map of the code."""
    path = Path(file)
    if path.is_relative_to(APP):
        return f"app/{path.relative_to(APP).parts[0]}"
    packages = file.rpartition("site-packages/")[2].split("/")[0].removesuffix(".py")
    if packages in WEB:
        return "web framework"
    return "driver and database" if packages in DRIVER else "standard library and others"


def rooms(profile: cProfile.Profile) -> dict[str, float]:
    """Each room's part of the whole time. What is built in counts for the room that calls it."""
    found: dict[str, float] = {}
    for (file, _, _), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if file != "~":
            found[room(file)] = found.get(room(file), 0) + own
            continue
        for (caller, _, _), (_, _, part, _) in callers.items():
            found[room(caller)] = found.get(room(caller), 0) + part
    total = sum(found.values())
    return {name: round(part / total, 3) for name, part in sorted(found.items(), key=lambda one: -one[1])}


def dearest(profile: cProfile.Profile, number: int) -> list[str]:
    """The functions that take most of the time themselves: their part, calls for each request, name."""
    stats = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    total = sum(own for _, (_, _, own, _, _) in stats)
    each = sorted(((own, calls, where) for where, (_, calls, own, _, _) in stats), key=lambda one: -one[0])
    return [f"{own / total:.1%} {calls / number:.0f}× {_short(*where)}" for own, calls, where in each[:SHOWN]]


def _short(file: str, line: int, name: str) -> str:
    path = Path(file)
    return f"{path.parent.name}/{path.name}:{line} {name}" if file != "~" else name


class Statements:
    """What the database was asked, as it counts itself; nothing on SQLite."""

    def __init__(self, url: str) -> None:
        self.store = Store(url)
        self.counts = self.store.dialect == "postgresql"
        if self.counts:
            self.store.retry(lambda tx: tx.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"))

    def begin(self) -> None:
        if self.counts:
            self.store.retry(lambda tx: tx.rows("SELECT pg_stat_statements_reset()"))

    def end(self, requests: int) -> list[dict[str, Any]]:
        """By their part of the time: calls for each request, microseconds for each call, rows, the text."""
        if not self.counts:
            return []
        with self.store.begin(reads=True) as tx:
            rows = tx.rows(STATEMENTS)
        return [
            {
                "calls a request": round(calls / requests, 2),
                "µs a call": round(total / calls * 1000, 1),
                "rows a call": round(number / calls, 1),
                "statement": " ".join(text.split())[:400],
            }
            for text, calls, total, number in rows
            if calls >= requests / 10
        ]


@measured("profile", "µs for a request alone, and where they go")
def profile(bench: Bench) -> list[Row]:
    settings = Settings(
        database_url=bench.site.url,
        keys_dir=str(Path(bench.site.server.environment["REGISTRY_KEYS_DIR"])),
        base_url=f"{bench.site.address}/fhir",
        log_level="error",
    )
    app, statements = create_app(settings), Statements(bench.site.url)
    number = max(10, min(MOST, int(bench.seconds * 50)))
    rows = []
    for name in PATHS:
        source = LOADED[name].make(bench.world, bench.site.tokens)
        for one in islice(source, 5_000 if name == "create" else 0):
            del one  # those that the load has made already
        ask = asking(app.wsgi_app, source)
        ask(number)  # so that caches are filled and statements prepared
        statements.begin()
        spent = time.thread_time()
        times = ask(number)
        spent = (time.thread_time() - spent) / number
        asked = statements.end(number)
        profiler = cProfile.Profile(time.thread_time)
        ask(number, profiler)
        rows.append(
            Row(
                "profile",
                f"{name}, alone",
                value=round(statistics.median(times), 1),
                unit="µs",
                number=number,
                notes={
                    "µs in Python": round(spent * 1e6, 1),
                    "µs in the database": round(sum(one["calls a request"] * one["µs a call"] for one in asked), 1),
                    "rooms": rooms(profiler),
                    "functions": dearest(profiler, number),
                    "statements": asked,
                },
            )
        )
    statements.store.close()
    app.extensions["services"].store.close()
    return rows


def asking(wsgi: Callable[..., Any], source: Iterator[Request]) -> Callable[..., list[float]]:
    """What sends so many requests through the application, and says how many microseconds each took."""

    def ask(number: int, profiler: cProfile.Profile | None = None) -> list[float]:
        times = []
        for one in list(islice(source, number)):
            prepared, said = environ(one), []
            if profiler:
                profiler.enable()
            began = time.perf_counter()
            body = wsgi(prepared, lambda status, _headers, said=said: said.append(status))
            list(body)
            took = time.perf_counter() - began
            if profiler:
                profiler.disable()
            assert int(said[0][:3]) in one.expected, said
            times.append(took * 1e6)
        return times

    return ask
