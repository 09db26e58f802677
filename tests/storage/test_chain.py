"""The chain over the audit: exact under concurrency and kill -9, and every tampering named by its row, on both databases."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
import rfc8785
from flask import Flask
from flask.testing import FlaskCliRunner
from hypothesis import given
from hypothesis import strategies as st

from app import create_app
from app.access import audit as records
from app.config import Settings
from app.storage import chain
from app.storage.chain import DAY, Tree
from app.storage.engine import Store
from tests.support.region import Caller, caller, settle

text = st.text(st.characters(codec="utf-8"), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | text | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_the_bytes_of_a_record_are_canonical_json(value: Any) -> None:
    assert orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == rfc8785.dumps(value)


def merkle(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, as it is written there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + merkle(leaves[:k]) + merkle(leaves[k:])).digest()


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=40), st.integers(0, 40))
def test_the_tree_grows_to_the_root_that_the_standard_defines(leaves: list[bytes], stop: int) -> None:
    tree = Tree()
    for leaf in leaves[:stop]:
        tree.add(leaf)
    tree = Tree(tree.count, tree.frontier)  # as it is kept between two batches
    for leaf in leaves[stop:]:
        tree.add(leaf)
    assert tree.root == merkle(leaves)


def write(store: Store, count: int, prefix: str = "r") -> None:
    for n in range(count):
        store.retry(lambda tx, n=n: records.noted(tx, "login", status=200, client=f"{prefix}{n}"))


def test_linkers_and_writers_at_once_link_each_row_once_and_leave_no_gap(store: Store) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        return run

    def linking() -> None:
        while not stop.is_set():
            chain.link_all(store)

    linkers = [threading.Thread(target=guarded(linking)) for _ in range(3)]
    writers = [threading.Thread(target=guarded(lambda k=k: write(store, 60, f"w{k}-"))) for k in range(4)]
    for thread in linkers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in linkers:
        thread.join()
    chain.link_all(store)
    assert failed == []
    with store.begin(reads=True) as tx:
        found = list(chain.links(tx, "a.id", chain.heads(tx)[-1]))
        assert chain.unlinked(tx) == ([], 0)
    assert len(found) == len({link.seq for link in found}) == 240
    assert sorted((link.day, link.n) for link in found) == [(link.day, link.n) for link in found]
    for day in {link.day for link in found}:
        numbers = [link.n for link in found if link.day == day]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_row_that_commits_long_after_a_later_one_is_linked_too(fresh_database: Callable[[str], str]) -> None:
    """On PostgreSQL a sequence's numbers do not come in the order of commits."""
    store = Store(fresh_database("postgresql"))
    slow = store.begin()
    tx = slow.__enter__()
    records.noted(tx, "login", status=200, client="slow")
    tx.flush()
    write(store, 3, "fast")
    for _ in range(3):
        assert chain.link_all(store) in (0, 3)
    slow.__exit__(None, None, None)
    assert chain.link_all(store) == 1
    for _ in range(2):
        write(store, 1)
        assert chain.link_all(store) == 1
    with store.begin(reads=True) as tx:
        assert chain.unlinked(tx) == ([], 0)
        horizon = tx.rows("SELECT horizon FROM audit_chain")[0][0]
        assert horizon >= 4, "what has settled is not looked at again"
    store.close()


def _link_for_ever(url: str) -> None:
    store = Store(url)
    while True:
        chain.link_all(store)


def test_a_linker_that_is_killed_leaves_whole_batches_alone(database_url: str) -> None:
    store = Store(database_url)
    for round in range(3):
        write(store, 15, f"k{round}-")
        process = multiprocessing.get_context("spawn").Process(target=_link_for_ever, args=(database_url,))
        process.start()
        write(store, 25, f"l{round}-")
        assert process.pid is not None
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with store.begin(reads=True) as tx:
                if tx.rows("SELECT count(*) FROM audit_link")[0][0]:
                    break
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    chain.link_all(store)
    with store.begin(reads=True) as tx:
        found = list(chain.links(tx, "a.id", chain.heads(tx)[-1]))
        assert chain.unlinked(tx) == ([], 0)
    assert len(found) == 120
    previous = chain.NOTHING
    for link in found:
        assert link.record is not None
        assert link.hash == chain.following(previous, chain.leaf(link.record))
        previous = link.hash
    store.close()


# Tampering ----------------------------------------------------------------------------------------------------------


class Kept:
    """A registry whose audit runs over three days, linked and stated."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app = app
        self.folder = folder
        self.services = app.extensions["services"]
        self.store: Store = self.services.store
        self.cli: FlaskCliRunner = app.test_cli_runner()
        now = self.store.clock()
        for day in range(3):
            self.store.clock = lambda day=day: now + day * DAY  # type: ignore[misc]
            write(self.store, 8, f"d{day}-")
            assert self.cli.invoke(args=["audit", "link"]).exit_code == 0
        self.days = [path.stem for path in sorted((folder / "keys" / "audit").glob("2*.jws"))]

    def sql(self, statement: str, *params: Any) -> None:
        self.store.retry(lambda tx: tx.run(statement, *params))

    def verify(self, *options: str) -> tuple[int, list[str]]:
        answer = self.cli.invoke(args=["audit", "verify", "--json", *options])
        return answer.exit_code, json.loads(answer.stdout)["faults"]

    def export(self) -> Path:
        path = self.folder / "export.ndjson"
        assert self.cli.invoke(args=["audit", "export", "--out", str(path)]).exit_code == 0
        return path


@pytest.fixture
def kept(database_url: str, tmp_path: Path) -> Iterator[Kept]:
    app = create_app(Settings(database_url=database_url, keys_dir=str(tmp_path / "keys"), log_level="error"))
    yield Kept(app, tmp_path)
    app.extensions["services"].store.close()


def test_what_nobody_touched_is_as_it_was_written(kept: Kept) -> None:
    assert kept.verify() == (0, [])
    assert len(kept.days) == 2, "two days are over and have their statement"
    assert kept.verify("--file", str(kept.export())) == (0, [])
    told = kept.cli.invoke(args=["audit", "verify"]).output
    assert "all is as it was written" in told and "checkpoints checked" in told


# Rows 1 to 8 are the first day's, by seq; statement, the place that must be named, what must be said.
TAMPERED = {
    "edit": ("UPDATE audit SET body = replace(encode(body, 'escape'), 'd0-4', 'd0-5')::bytea WHERE seq = 5", "row 5:", "not what was linked"),
    "edit the columns": ("UPDATE audit SET client = 'nobody' WHERE seq = 5", "row 5:", "columns are not those"),
    "delete": ("DELETE FROM audit WHERE seq = 5", "row 5:", "the row is gone"),
    "delete row and link": ("DELETE FROM audit_link WHERE seq = 5", "row 6:", "a row before it is missing"),
    "reorder": ("UPDATE audit SET body = (SELECT o.body FROM audit o WHERE o.seq = 11 - audit.seq) WHERE seq IN (5, 6)", "row 5:", "not what was linked"),
    "insert": ("INSERT INTO audit (seq, id, at, action, subtype, outcome, faces, body) SELECT 0, 'forged', at, action, subtype, outcome, faces, body FROM audit WHERE seq = 5", "seq 0 (id forged)", "in no day's chain"),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_with_a_row_is_named_by_the_row(how: str, kept: Kept) -> None:
    statement, place, said = TAMPERED[how]
    if kept.store.dialect == "sqlite":
        statement = statement.replace(
            "replace(encode(body, 'escape'), 'd0-4', 'd0-5')::bytea",
            "CAST(replace(CAST(body AS TEXT), 'd0-4', 'd0-5') AS BLOB)",
        )
    kept.sql(statement)
    status, faults = kept.verify()
    assert status == 1
    assert place in faults[0] and any(place in fault and said in fault for fault in faults), faults
    if place.startswith("row"):
        assert faults[0].startswith(kept.days[0])


def test_the_tail_cut_off_with_its_links_is_missed_by_the_statement_outside(kept: Kept) -> None:
    kept.sql("DELETE FROM audit WHERE seq > 21")
    kept.sql("DELETE FROM audit_link WHERE seq > 21")
    kept.sql("UPDATE audit_chain SET count = 5 WHERE day = (SELECT max(day) FROM audit_chain)")
    status, faults = kept.verify()
    assert status == 1 and "row 6: it is missing; the checkpoint counts 8 rows" in faults[0]


def test_a_chain_that_was_made_anew_does_not_fit_the_signed_statements(kept: Kept) -> None:
    edit = TAMPERED["edit"][0]
    if kept.store.dialect == "sqlite":
        edit = edit.replace(
            "replace(encode(body, 'escape'), 'd0-4', 'd0-5')::bytea",
            "CAST(replace(CAST(body AS TEXT), 'd0-4', 'd0-5') AS BLOB)",
        )
    kept.sql(edit)
    kept.sql("UPDATE audit SET client = 'd0-5' WHERE seq = 5")
    with kept.store.begin(reads=True) as tx:
        found = list(chain.links(tx, "a.id", chain.heads(tx)[-1]))
    previous = chain.NOTHING
    for link in found:
        previous = chain.following(previous, chain.leaf(link.record or b""))
        kept.sql("UPDATE audit_link SET hash = ? WHERE seq = ?", previous, link.seq)
    status, faults = kept.verify()
    assert status == 1
    assert faults[0] == f"{kept.days[0]} row 8 or one before it: it is not what the checkpoint was signed for"


def test_another_key_and_a_missing_statement_are_named(kept: Kept) -> None:
    folder = kept.folder / "keys" / "audit"
    gone = folder / f"{kept.days[1]}.jws"
    statement = gone.read_text()
    gone.unlink()
    status, faults = kept.verify()
    assert status == 1 and f"checkpoint {kept.days[1]}: it is missing, and the day is over" in faults
    gone.write_text(statement)
    assert kept.verify()[0] == 0
    (kept.folder / "keys" / "audit-signing.json").unlink()
    status, faults = kept.verify()
    assert status == 1 and faults[0].startswith(f"checkpoint {kept.days[0]}: it is not signed by the key")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def save(path: Path, said: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in said))


def edited(said: list[dict[str, Any]]) -> None:
    said[5]["record"]["client"] = "somebody else"


def deleted(said: list[dict[str, Any]]) -> None:
    del said[5]


def reordered(said: list[dict[str, Any]]) -> None:
    said[5], said[6] = said[6], said[5]


def inserted(said: list[dict[str, Any]]) -> None:
    said.insert(5, said[5] | {"record": said[5]["record"] | {"id": "forged"}})


def truncated(said: list[dict[str, Any]]) -> None:
    last = max(i for i, one in enumerate(said) if one["kind"] == "record")
    del said[last]


def cut(said: list[dict[str, Any]]) -> None:
    del said[20:]


EXPORTS = {
    edited: (0, "row 5:", "not what was linked"),
    deleted: (0, "row 6:", "a row before it is missing"),
    reordered: (0, "row 6:", "a row before it is missing"),
    inserted: (0, "row 5:", "not what was linked"),
    truncated: (None, "row 9: it is missing", "the checkpoint counts 9 rows"),
    cut: (None, "the end is missing", "expected the signed statement"),
}


@pytest.mark.parametrize("tamper", EXPORTS, ids=lambda one: one.__name__)
def test_an_export_that_was_tampered_with_names_the_row_by_itself(
    tamper: Callable[[list[dict[str, Any]]], None], kept: Kept
) -> None:
    day, place, expected = EXPORTS[tamper]
    path = kept.export()
    said = lines(path)
    tamper(said)
    save(path, said)
    status, faults = kept.verify("--file", str(path))
    assert status == 1
    found = [fault for fault in faults if place in fault and expected in fault]
    assert found, faults
    if day is not None:
        assert faults[0] == found[0] and found[0].startswith(kept.days[day])


def test_an_export_signed_anew_by_another_key_is_told_from_the_true_one(kept: Kept, tmp_path: Path) -> None:
    true = kept.folder / "key.json"
    true.write_text(kept.cli.invoke(args=["audit", "key"]).output)
    path = kept.export()
    (kept.folder / "keys" / "audit-signing.json").unlink()
    for statement in (kept.folder / "keys" / "audit").glob("*.jws"):
        statement.unlink()
    forged = kept.export()
    assert path == forged
    assert kept.verify("--file", str(forged)) == (0, []), "by the forger's own key it holds"
    status, faults = kept.verify("--file", str(forged), "--key", str(true))
    assert status == 1 and faults[0].startswith(f"checkpoint {kept.days[0]}: it is not signed by the key")


@pytest.mark.parametrize(
    "content", [b"", b"nonsense\n", b"{}\n", b'{"kind": "record"}\n', b'{"kind":"head","key":{}}\n']
)
def test_what_is_no_export_is_refused_with_its_line(content: bytes, kept: Kept) -> None:
    path = kept.folder / "bad"
    path.write_bytes(content)
    answer = kept.cli.invoke(args=["audit", "verify", "--file", str(path)])
    assert answer.exit_code == 1 and "expected what `audit export` writes" in answer.output


def test_the_export_itself_is_recorded_and_every_answer_is_in_it(app: Flask) -> None:
    steward: Caller = settle(app)
    caller(app).get("/ImagingStudy/s1")
    answer = app.test_cli_runner().invoke(args=["audit", "export"])
    said = [json.loads(line) for line in answer.output.splitlines()]
    with app.extensions["services"].store.begin(reads=True) as tx:
        assert len([one for one in said if one["kind"] == "record"]) == tx.rows("SELECT count(*) FROM audit")[0][0]
    assert said[-2]["record"]["detail"] == "audit export" and said[-1]["name"] == "standing"
    assert steward.get("/AuditEvent?_count=1").json["entry"][0]["resource"]["outcomeDesc"] == "audit export"
