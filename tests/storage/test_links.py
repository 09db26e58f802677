"""The two ways of speaking to a database: several requests' writes in one commit, prepared statements, lost connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest
from sqlalchemy import quoted_name

from app.storage import links, wire
from app.storage.engine import Store, Tx, unavailable
from app.storage.sending import Queued
from app.storage.wire import Wire
from tests.support.machines import until

INSERT = "INSERT INTO match_key (hash, at) VALUES (?, ?)"


def kept(store: Store) -> set[bytes]:
    with store.begin(reads=True) as tx:
        return {bytes(hash) for (hash,) in tx.rows("SELECT hash FROM match_key")}


def leave(store: Store, key: bytes) -> None:
    """What a request does that only reads and leaves its record."""
    with store.begin() as tx:
        tx.rows("SELECT 1")
        tx.many(INSERT, [(key, 1)])


@pytest.fixture
def sqlite(fresh_database: Callable[[str], str]) -> Iterator[Store]:
    made = Store(fresh_database("sqlite"))
    yield made
    made.close()


@pytest.fixture
def postgres(fresh_database: Callable[[str], str]) -> Iterator[Store]:
    made = Store(fresh_database("postgresql"))
    yield made
    made.close()


def all_at_once(store: Store, work: list[Callable[[], None]]) -> None:
    """Run everything in threads that all wait for the same turn to commit."""
    group = store._group
    assert group is not None
    threads = [threading.Thread(target=one) for one in work]
    with group.turn:
        for thread in threads:
            thread.start()
        while len(group._waiting) < len(work):
            threading.Event().wait(0.005)
    for thread in threads:
        thread.join()


def test_the_records_of_requests_that_wait_together_are_one_commit_and_durable_before_any_is_answered(
    sqlite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[None] = []
    commit = links.SQLite.commit

    def counted(link: links.SQLite, queue: Sequence[Queued]) -> None:
        commits.append(None)
        commit(link, queue)

    monkeypatch.setattr(links.SQLite, "commit", counted)
    missing: list[bytes] = []

    def request(key: bytes) -> None:
        leave(sqlite, key)
        if key not in kept(sqlite):
            missing.append(key)

    keys = [b"key %d" % n for n in range(8)]
    all_at_once(sqlite, [lambda key=key: request(key) for key in keys])  # type: ignore[misc]
    assert kept(sqlite) == set(keys)
    assert missing == []
    assert len(commits) == 1


def test_a_record_that_cannot_be_written_takes_no_other_with_it(sqlite: Store) -> None:
    leave(sqlite, b"taken")
    failed: list[str] = []

    def request(key: bytes) -> None:
        try:
            leave(sqlite, key)
        except Exception as error:
            failed.append(f"{key.decode()}: {type(error).__name__}")

    keys = [b"first", b"taken", b"last"]
    all_at_once(sqlite, [lambda key=key: request(key) for key in keys])  # type: ignore[misc]
    assert kept(sqlite) == {b"taken", b"first", b"last"}
    assert failed == ["taken: IntegrityError"]


def test_a_failed_transaction_leaves_the_turn_to_the_next(sqlite: Store) -> None:
    def fails(tx: Tx) -> None:
        tx.run(INSERT, b"lost", 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sqlite.retry(fails)
    other = threading.Thread(target=leave, args=(sqlite, b"next"))
    other.start()
    other.join(20)
    assert not other.is_alive()
    assert kept(sqlite) == {b"next"}


def test_values_of_every_type_go_to_the_server_and_come_back(postgres: Store) -> None:
    with postgres.begin(reads=True) as tx:
        for value, kind in [
            (2**62, "bigint"),
            (-1, "bigint"),
            ("Zoë 'quoted' \\", "text"),
            ("", "text"),
            (quoted_name("of a subclass", None), "text"),
            (b"\x00\xff", "bytea"),
            (True, "boolean"),
            (0.1, "double precision"),
            (None, "text"),
        ]:
            for _ in range(3):  # as it is, then prepared, then prepared before
                assert tx.rows(f"SELECT CAST(? AS {kind})", value) == [(value,)]


def test_lists_are_one_value_whatever_stands_in_them(store: Store) -> None:
    words = ["plain", 'with "quotes"', "back\\slash", "comma, brace}", "", "Zoë"]
    with store.begin(reads=True) as tx:
        for word in words:
            text, param = tx.in_list("w.word", words)
            assert tx.rows(f"SELECT w.word FROM (SELECT CAST(? AS TEXT) AS word) w WHERE {text}", word, param) == [
                (word,)
            ]
        text, param = tx.in_list("w.word", words)
        assert tx.rows(f"SELECT w.word FROM (SELECT CAST(? AS TEXT) AS word) w WHERE {text}", "other", param) == []


def test_text_that_the_server_cannot_hold_is_refused_before_it_is_sent(postgres: Store) -> None:
    with pytest.raises(psycopg.DataError), postgres.begin(reads=True) as tx:
        tx.rows("SELECT CAST(? AS TEXT)", "a\0b")
    assert kept(postgres) == set()


def test_of_many_writes_sent_together_the_first_error_undoes_all(postgres: Store) -> None:
    leave(postgres, b"taken")

    def writes() -> None:
        with postgres.begin() as tx:
            for key in (b"a", b"taken", b"b"):
                tx.many(INSERT, [(key, 1)])
            tx.many("UPDATE match_key SET at = ? WHERE hash = ?", [(2, b"taken")])

    with pytest.raises(psycopg.errors.UniqueViolation):
        writes()
    assert kept(postgres) == {b"taken"}


def refused(rows: list[tuple[object, ...]]) -> None:
    raise LookupError(rows)


def test_what_is_asked_ahead_is_looked_at_before_anything_that_came_with_it(store: Store) -> None:
    for _ in range(3):  # as they are, then prepared, then prepared before
        seen: list[object] = []
        with store.begin() as tx:
            tx.ahead("SELECT 1 + ?", (1,), seen.append)
            tx.many(INSERT, [(b"key %d" % len(kept(store)), 1)])
            tx.ahead("SELECT 2 + ?", (1,), seen.append)
            seen.append(tx.rows("SELECT 3 + ?", 1))
        assert seen == [[(2,)], [(3,)], [(4,)]]
    assert len(kept(store)) == 3


def test_whatever_refuses_what_was_asked_ahead_leaves_nothing_written(store: Store) -> None:
    def asks(tx: Tx) -> object:
        return tx.rows("SELECT 2")

    def runs(tx: Tx) -> object:
        return tx.run(INSERT, b"run", 1)

    def only_queues(tx: Tx) -> object:
        return None

    def work(then: Callable[[Tx], object]) -> None:
        with store.begin() as tx:
            tx.ahead("SELECT 1", (), refused)
            tx.many(INSERT, [(b"queued", 1)])
            then(tx)

    for then in (asks, runs, only_queues):
        with pytest.raises(LookupError) as told:
            work(then)
        assert told.value.args == ([(1,)],)
        assert kept(store) == set()


def test_a_write_is_one_round_trip_with_the_question_after_it_and_the_last_with_the_end(
    postgres: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept(postgres) == set()  # and there is a connection
    trips: list[list[str]] = []
    pipeline = Wire.pipeline

    def counted(link: Wire, statements: Sequence[tuple[str, Sequence[object]]]) -> list[list[tuple[object, ...]]]:
        trips.append([sql.split()[0] for sql, _ in statements])
        return pipeline(link, statements)

    def alone(link: Wire, *_: object) -> None:
        raise AssertionError("a round trip of its own")

    monkeypatch.setattr(Wire, "pipeline", counted)
    for name in ("rows", "change", "say"):
        monkeypatch.setattr(Wire, name, alone)
    with postgres.begin() as tx:
        tx.ahead("SELECT 1", (), lambda rows: None)
        tx.many(INSERT, [(b"a", 1)])
        assert tx.rows("SELECT count(*) FROM match_key") == [(1,)]
        tx.many(INSERT, [(b"b", 1)])
    assert trips == [["SELECT", "BEGIN", "INSERT", "SELECT"], ["INSERT", "COMMIT"]]


def test_statements_beyond_those_that_are_kept_make_room_for_each_other(
    postgres: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MOST_PREPARED", 3)
    with postgres.begin(reads=True) as tx:
        for _ in range(3):
            for number in range(6):
                assert tx.rows(f"SELECT {number} + ?", 1) == [(number + 1,)]
        assert tx.rows("SELECT count(*) FROM pg_prepared_statements")[0][0] <= 3
    for _ in range(3):
        with postgres.begin() as tx:
            for number in range(6):
                tx.many(f"UPDATE match_key SET at = at + ? + {number}", [(1,)])
            tx.many("UPDATE match_key SET at = at + ? + 0", [(1,)])


def test_a_connection_that_was_lost_costs_one_request(postgres: Store) -> None:
    leave(postgres, b"before")
    with postgres.begin(reads=True) as tx:
        number = tx.rows("SELECT pg_backend_pid()")[0][0]
    other = Store(postgres.engine.url.render_as_string(hide_password=False))
    with other.begin() as tx:
        tx.rows("SELECT pg_terminate_backend(?::int)", number)
    other.close()
    with pytest.raises(psycopg.OperationalError) as lost:
        leave(postgres, b"lost")
    assert unavailable(lost.value)
    leave(postgres, b"after")
    assert kept(postgres) == {b"before", b"after"}


def test_a_store_that_is_closed_holds_no_connection(fresh_database: Callable[[str], str]) -> None:
    """That of whoever tells others of changes is given back too."""
    url = fresh_database("postgresql")
    store, observer = Store(url), Store(url)
    with store.begin() as tx:
        tx.run(INSERT, b"0" * 16, tx.at)
        tx.told = True

    def held() -> int:
        with observer.begin(reads=True) as tx:
            others = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return int(tx.rows(others)[0][0])

    until(lambda: held() == 2, "the store's own, and that by which it tells of the change")
    store.close()
    until(lambda: held() == 0, "none is held")
    observer.close()
