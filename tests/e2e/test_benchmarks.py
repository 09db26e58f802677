"""The benchmarks at a very small size: every figure runs on both databases and says something sane; and the load that
they stand on counts only what was answered rightly. No time is asserted.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app.published import validator
from benchmarks.__main__ import chosen, parser
from benchmarks.harness import report, run, table
from benchmarks.harness.cluster import settings
from benchmarks.harness.load import Job, Request, drive, request
from benchmarks.harness.published import README, publish
from benchmarks.harness.run import Plan
from benchmarks.harness.table import LOADED, MEASURED, Row, percentiles
from benchmarks.harness.world import World
from tests.support import postgres
from tests.support.parts import requires

NAMES = table.collect()
SCHEMA = json.loads((Path(report.ROOT) / "benchmarks" / "schema.json").read_text())
PATIENTS = 60
# One database is enough for what hardly touches it.
ONCE = ("decision", "ingest")


def small(dburl: str = "", **more: Any) -> dict[str, Any]:
    """The JSON of a run. Not below pytest's own folder, which the database's user could not reach."""
    plan = Plan(PATIENTS, dburl, seconds=0.2, rounds=1, warm_up=0.0, workers=1, threads=2, **more)
    with tempfile.TemporaryDirectory(prefix="registry-bench-") as folder:
        return report.as_json(plan, run.run(plan, Path(folder), lambda _text: None))


def sane(found: dict[str, Any], names: tuple[str, ...]) -> None:
    """The JSON is of the schema, and there is a right row for each figure."""
    jsonschema.validate(found, SCHEMA)
    assert [row for row in found["rows"] if row["fault"]] == []
    by_figure = {row["figure"]: row for row in found["rows"]}
    for name in names:
        if name in LOADED:
            row = by_figure[name]
            assert row["number"] > 0 and row["rate"] > 0
            assert 0 < row["p50"] <= row["p95"] <= row["p99"]
            assert row["web"] >= 0, "processor time is counted in ticks, of which a short run may see none"
            assert 0 < row["share"] < 1, "nothing is faster than the framework that it is served by"
    assert by_figure["bare framework"]["share"] == 1
    assert by_figure["conditional create"]["notes"]["keys"] == by_figure["conditional create"]["notes"]["resources"] > 0
    disk, *_ = [row for row in found["rows"] if row["figure"] == "disk"]
    assert disk["value"] > disk["notes"]["its content"] > 1500
    assert by_figure["withdrawal"]["notes"]["leaks"] == 0


def test_every_figure_runs_on_sqlite() -> None:
    found = small("sqlite")
    sane(found, NAMES)
    assert found["facts"]["database"]["journal_mode"] == "wal"


@requires("postgresql")
def test_every_figure_runs_on_a_postgresql_that_loses_nothing() -> None:
    names = tuple(name for name in NAMES if name not in ONCE)
    found = small(only=(run.NAME, *names), growth=(PATIENTS // 2,))
    sane(found, names)
    database = found["facts"]["database"]
    assert {name: database[name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }
    assert {row["figure"] for row in found["rows"]} >= {"growth: read", "growth: search", "growth: create"}
    assert settings()["autovacuum"] == "on" and postgres.SETTINGS["fsync"] == "off"


def test_every_file_of_figures_is_in_the_table() -> None:
    files = [path.stem for path in (Path(report.ROOT) / "benchmarks" / "figures").glob("*.py")]
    made = {one.make.__module__ for one in LOADED.values()} | {one.measure.__module__ for one in MEASURED.values()}
    assert made == {f"benchmarks.figures.{stem}" for stem in files if stem != "__init__"}


def test_figures_are_chosen_by_name_and_a_wrong_name_is_said() -> None:
    assert chosen("", NAMES) == ()
    assert chosen("read, worklist named", NAMES) == ("read", "worklist named")
    with pytest.raises(SystemExit, match="--only names rread, which is no figure; expected some of: bare framework, "):
        chosen("rread", NAMES)
    with pytest.raises(SystemExit):
        parser(NAMES).parse_args(["--studies", "1", "--patients", "1"])


# The data -----------------------------------------------------------------------------------------------------------


def test_a_world_is_the_same_every_time_and_its_resources_are_valid() -> None:
    world = World(70)
    made = [*world.directory(), *world.people(0, 70), world.new_study(3, 1000)]
    assert made == [*World(70).directory(), *World(70).people(0, 70), World(70).new_study(3, 1000)]
    assert len(made) == world.resources() + 1
    assert len({(one["resourceType"], one.get("id")) for one in made}) == len(made)
    check = validator().check
    for one in made:
        check(one)  # raises for what is not valid


def test_new_studies_never_come_twice_and_are_of_the_first_trust() -> None:
    world = World(50)
    made = [world.new_study(number, 1000) for number in range(200)]
    assert len({one["identifier"][0]["value"] for one in made}) == len(made)
    assert {one["endpoint"][0]["reference"] for one in made} == {"Endpoint/archive-xa1"}


# The load -----------------------------------------------------------------------------------------------------------


class Answering(BaseHTTPRequestHandler):
    """Answers by the path: /chunked in parts, /late-error with 500 at the third time, else its own path."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = json.dumps({"path": self.path}).encode()
        broken = self.path == "/late-error" and len(self.asked) > 2
        self.send_response(500 if broken else 200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (body[:5], body[5:]):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what it was asked."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Answering,), {"asked": asked}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def times(one: Request, number: int) -> Iterator[Request]:
    return islice(repeat(one), number)


def of(path: str, right: Callable[[Any], bool] = lambda _body: True, **more: Any) -> Request:
    return request("GET", path, check=right, **more)


def job(address: str, connections: int = 3) -> Job:
    return Job(address, lambda: iter(()), (), connections, 30)


@pytest.mark.parametrize("path", ["/plain", "/chunked"])
def test_the_load_sends_each_request_once_and_times_each_answer(answering: tuple[str, list[str]], path: str) -> None:
    address, asked = answering
    took = drive(job(address), times(of(path, lambda body: body == {"path": path}), 40))
    assert (len(took.times), len(asked), took.faults) == (40, 40, [])
    assert took.checked >= 3 and min(took.times) > 0 and took.seconds > 0


def test_a_status_that_was_not_expected_ends_the_load_and_is_told(answering: tuple[str, list[str]]) -> None:
    address, asked = answering
    took = drive(job(address, 1), times(of("/late-error"), 50))
    assert len(asked) == 3
    (fault,) = took.faults
    assert fault.startswith("500, expected (200,), to b'GET /late-error HTTP/1.1")


def test_an_answer_with_the_wrong_content_is_a_fault(answering: tuple[str, list[str]]) -> None:
    took = drive(job(answering[0], 1), times(of("/plain", lambda body: body == {"path": "/other"}), 50))
    (fault,) = took.faults
    assert fault.startswith("content of the answer to b'GET /plain") and fault.endswith('{"path": "/plain"}')


def test_a_connection_that_is_closed_is_no_answer(answering: tuple[str, list[str]]) -> None:
    closing = request("GET", "/plain", headers={"Connection": "close"})
    with pytest.raises(ConnectionError):
        drive(job(answering[0], 1), times(closing, 5))


def test_what_comes_in_the_warm_up_is_not_counted(answering: tuple[str, list[str]]) -> None:
    address, asked = answering
    warm = Job(address, lambda: iter(()), (), 1, 0.05, warm_up=0.05)
    took = drive(warm, repeat(of("/plain")))
    assert 0 < len(took.times) < len(asked)


# The report ---------------------------------------------------------------------------------------------------------


def test_percentiles_of_few_and_many() -> None:
    assert percentiles([3.0]) == (3.0, 3.0, 3.0)
    assert percentiles([float(number) for number in range(101)]) == (50.0, 95.0, 99.0)


def test_the_table_shows_targets_that_were_missed_and_figures_with_faults() -> None:
    slow = table.judged(Row("read", "reading", rate=12.0, p50=1.0, p95=2.0, p99=3.0, share=0.012), table.at_least(2500))
    head, rule, first, second = report.lines([slow, Row("create", "writing", fault="500")])
    cells = partial(lambda line: [cell.strip() for cell in line.strip("|").split("|")])
    assert cells(head) == [
        *("Figure", "1/s", "p50 ms", "p95", "p99", "share", "web µs", "db µs", "value", "target", "met")
    ]
    assert cells(first) == ["read", "12", "1.00", "2.00", "3.00", "1.2%", "", "", "", "≥ 2,500/s", "no"]
    assert cells(second) == ["create", "", "", "", "", "", "", "", "FAULT", "", ""]
    assert len(head) == len(rule) == len(first) == len(second)


def test_the_figures_last_measured_are_put_in_their_place_and_nothing_else_is_touched(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        "above\n<!-- made: figures -->\nold\n<!-- end -->\nbetween\n<!-- made: hapi -->\nold\n<!-- end -->\nbelow\n"
    )
    result = run.Result(
        [table.judged(Row("read", "reading", rate=3.0), table.at_least(5))],
        {"database": {}, "seconds": 1.0, "load before": 0.0},
    )
    publish(report.as_json(Plan(7), result), readme)
    above, block, below = readme.read_text().partition("between")
    assert above.startswith("above\n<!-- made: figures -->\n`python -m benchmarks") and above.endswith("<!-- end -->\n")
    assert "35 studies of 7 patients" in above and "Not met: read." in above and "old" not in above
    assert (block, below) == ("between", "\n<!-- made: hapi -->\nold\n<!-- end -->\nbelow\n")
    with pytest.raises(SystemExit, match=r"README\.md has no place for these figures"):
        publish(report.as_json(Plan(7, peer="hapi"), result), _without(tmp_path))


def _without(folder: Path) -> Path:
    (folder / "other").mkdir()
    made = folder / "other" / "README.md"
    made.write_text("nothing")
    return made


def test_the_readme_names_every_figure_and_its_file() -> None:
    text = README.read_text()
    for file in {one.make.__module__ for one in LOADED.values()} | {
        one.measure.__module__ for one in MEASURED.values()
    }:
        assert f"`{file.rpartition('.')[2]}.py`" in text
    for name in NAMES:
        assert f"**{name}**" in text
