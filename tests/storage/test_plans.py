"""Every hot statement carries the key: on a database divided by patient, each touches only the partitions of the patients
concerned, and does nothing that a PostgreSQL-compatible cluster distributed by the same key would refuse.

The statements are those that real requests send, taken where they leave for the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import psycopg
import pytest
from flask import Flask

from app import create_app
from app.config import Settings
from app.storage import partitions
from app.storage.engine import Store
from app.storage.wire import Wire, _bound
from benchmarks.harness import filling, world
from benchmarks.harness.site import tokens_of
from benchmarks.harness.world import World
from tests.conftest import PARTITIONS

WORLD = World(800)
WARD = 2  # patients whom the ward treats
CHANGES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) (\w+)")
KEY_CHANGED = re.compile(r"UPDATE (\w+) SET (?:(?! WHERE ).)*\bpatient = ")
# The tables are small here, and to read one whole would be cheap, as it never is at size.
AS_AT_SIZE = ("enable_seqscan = off", "enable_hashjoin = off", "enable_mergejoin = off", "jit = off")


@dataclass
class House:
    app: Flask
    url: str
    tokens: dict[str, str]
    sent: list[tuple[str, Sequence[Any]]]
    divided: dict[int, int] = field(default_factory=dict)  # the partition of each patient's rid, 0 for none
    rids: dict[str, int] = field(default_factory=dict)

    def ask(self, method: str, path: str, who: str, body: Any = None, **headers: str) -> tuple[Any, list[Any]]:
        """The answer, and what was sent to the database for it."""
        del self.sent[:]
        scheme = "Basic" if who == "gate" else "Bearer"
        more = {"data": body} if isinstance(body, (str, bytes)) else {"json": body} if body is not None else {}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.app.test_client().open(
            path, method=method, headers={"Authorization": f"{scheme} {self.tokens[who]}", **headers}, **more
        )
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.get_json(), list(self.sent)

    def places(self, *patients: int) -> set[int]:
        """The partitions of these patients of the world, and of what is nobody's."""
        return {self.divided[0], *(self.divided[self.rids[WORLD.patient_id(one)]] for one in patients)}


@pytest.fixture(scope="module")
def house(module_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "WARD_PATIENTS", WARD)
        url, sent = module_database("partitioned"), list[tuple[str, Sequence[Any]]]()
        filling.fill(url, WORLD)
        settings = Settings(
            database_url=url, keys_dir=str(tmp_path_factory.mktemp("keys")), log_level="error", notify="off"
        )
        ready = Wire._ready

        def recorded(self: Wire, sql: str, params: Sequence[Any]) -> Any:
            sent.append((sql, tuple(params)))
            return ready(self, sql, params)

        patch.setattr(Wire, "_ready", recorded)
        app = create_app(settings)
        made = House(app, url, tokens_of(settings), sent)
        store = Store(url)
        with store.begin(reads=True) as tx:
            made.rids = dict(tx.rows("SELECT id, patient FROM person"))
            for rid in (0, *made.rids.values()):
                made.divided[rid] = next(
                    n
                    for n in range(PARTITIONS)
                    if tx.rows(
                        "SELECT satisfies_hash_partition('resource'::regclass, ?::int, ?::int, ?)", PARTITIONS, n, rid
                    )[0][0]
                )
        store.close()
        yield made
        app.extensions["services"].store.close()


def elsewhere(house: House, *avoid: int) -> int:
    """A patient of the world with no Consent, none of those to `avoid`, in another partition than what is nobody's."""
    return next(
        one
        for one in WORLD.read
        if WORLD.ordinary(one) and one not in (*avoid, *range(WARD)) and len(house.places(one)) == 2
    )


def system_and_value(patient: int) -> str:
    system, value = WORLD.accession(patient, 0)
    return f"{quote(system, safe='')}%7C{value}"


def of_one(house: House, kind: str) -> tuple[list[Any], tuple[int, ...]]:
    """What a request sends, and the patients whom it is about."""
    patient = elsewhere(house)
    id, person = WORLD.study_id(patient, 0), WORLD.patient_id(patient)
    maker = next(study for study in range(5) if WORLD.maker(patient, study) == world.MAKERS[0])
    ask, about = house.ask, (patient,)
    match kind:
        case "read":
            return ask("GET", f"/fhir/ImagingStudy/{id}", "asker")[1], about
        case "vread":
            return ask("GET", f"/fhir/ImagingStudy/{id}/_history/1", "asker")[1], about
        case "vread of an earlier version":
            own = WORLD.study_id(patient, maker)
            body = ask("GET", f"/fhir/ImagingStudy/{own}", "archive")[0]
            new = ask("PUT", f"/fhir/ImagingStudy/{own}", "archive", body | {"description": "read again"})[0]
            before = int(new["meta"]["versionId"]) - 1
            return ask("GET", f"/fhir/ImagingStudy/{own}/_history/{before}", "archive")[1], about
        case "patient search with endpoints":
            query = urlencode({"patient": person, "_include": "ImagingStudy:endpoint"})
            return ask("GET", f"/fhir/ImagingStudy?{query}", "asker")[1], about
        case "patient search by NHS number":
            number = f"{world.NHS_NUMBER}|{WORLD.numbers[patient]}"
            query = urlencode({"patient.identifier": number, "_include": "ImagingStudy:endpoint"})
            return ask("GET", f"/fhir/ImagingStudy?{query}", "asker")[1], about
        case "accession":
            return ask("GET", f"/fhir/ImagingStudy?identifier={system_and_value(patient)}", "asker")[1], about
        case "worklist":
            query = urlencode({"modality": "CT", "status": "available", "_sort": "-started", "_count": "50"})
            return ask("GET", f"/fhir/ImagingStudy?{query}", "ward")[1], tuple(range(WARD))
        case "create":
            made = WORLD.study(patient, 4_000 + -patient % 4)
            return ask("POST", "/fhir/ImagingStudy", "archive", made)[1], about
        case "update":
            own = WORLD.study_id(patient, maker)
            body = ask("GET", f"/fhir/ImagingStudy/{own}", "archive")[0]
            return ask("PUT", f"/fhir/ImagingStudy/{own}", "archive", body | {"description": "as it is now"})[1], about
        case "conditional create":
            made = WORLD.study(patient, 8_000 + -patient % 4)
            made["identifier"].append({"system": "https://once.example/key", "value": "once"})
            key = "identifier=https%3A%2F%2Fonce.example%2Fkey%7Conce"
            return ask("POST", "/fhir/ImagingStudy", "archive", made, If_None_Exist=key)[1], about
        case "history of an instance":
            return ask("GET", f"/fhir/ImagingStudy/{id}/_history", "asker")[1], about
        case _:
            asked = {"token": house.tokens["asker"], "study_uid": WORLD.uid(patient, 0), "action": "locate"}
            return ask("POST", "/archive/decision", "gate", asked)[1], about


HOT = (
    "read",
    "vread",
    "vread of an earlier version",
    "patient search with endpoints",
    "patient search by NHS number",
    "accession",
    "worklist",
    "create",
    "update",
    "conditional create",
    "history of an instance",
    "gate decision",
)


@dataclass(frozen=True)
class Plan:
    """What was looked into: of the large tables (table, partition, whether by the patient), and all tables' names."""

    touched: set[tuple[str, int, bool]]
    read: set[str]

    def beyond(self, allowed: set[int], free: Sequence[str] = (), *, keyed: bool = False) -> set[tuple[str, int, bool]]:
        """What lies outside the `allowed` partitions, tables that are `free` apart; with `keyed` what was looked for
        there by the patient is let pass, for it is not there."""
        return {
            (table, number, by_patient)
            for table, number, by_patient in self.touched
            if number not in allowed and table not in free and not (keyed and by_patient)
        }


def plans(url: str, sent: Sequence[tuple[str, Sequence[Any]]]) -> list[tuple[str, Plan]]:
    """What the server does for each statement, carried out and undone; not for plain new rows, which go where their own
    key says and, being committed already, cannot come again."""
    found = []
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("BEGIN")
        for setting in AS_AT_SIZE:
            connection.execute(f"SET LOCAL {setting}")  # type: ignore[arg-type]
        wire = Wire(connection)
        for sql, params in sent:
            if sql.startswith(("SELECT", "WITH", "UPDATE", "DELETE")) or (sql.startswith("INSERT") and "SELECT" in sql):
                ((told,),) = explained(wire, sql, params)
                found.append((sql, plan(told[0]["Plan"])))
        connection.execute("ROLLBACK")
    return found


def explained(wire: Wire, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    key, values, formats = _bound(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params)
    result = wire.connection.pgconn.exec_params(key[0].encode(), values, key[1:], formats)
    wire._good(result)
    return [(orjson.loads(result.get_value(0, 0)),)]


def plan(node: dict[str, Any]) -> Plan:
    found = Plan(set(), set())

    def walk(one: dict[str, Any]) -> None:
        if (name := one.get("Relation Name")) and one["Node Type"] != "ModifyTable" and one["Actual Loops"]:
            table, _, number = name.rpartition("_p")
            if table in partitions.LARGE and number.isdecimal():
                conditions = (one.get(name, "") for name in ("Index Cond", "Recheck Cond", "Filter"))
                by_patient = any("patient = " in condition for condition in conditions)
                found.touched.add((table, int(number), by_patient))
            found.read.add(table if number.isdecimal() else name)
        for inner in one.get("Plans", ()):
            walk(inner)

    walk(node)
    return found


# A search finds the records of one person first, and then looks for each of them by the patient: in every partition, for
# that of a list is not known beforehand. A cluster sends it to every shard, at once.
BY_THE_KEY = ("patient search with endpoints", "patient search by NHS number")
# Whom an organisation treats is asked of all patients, and what is newest among them: a worklist knows none.
OF_EVERYBODY = {"worklist": ("relationship", "resource", "token")}


@pytest.mark.parametrize("kind", HOT)
def test_a_hot_request_looks_only_where_its_patients_are(house: House, kind: str) -> None:
    sent, patients = of_one(house, kind)
    allowed, free = house.places(*patients), OF_EVERYBODY.get(kind, ())
    found = plans(house.url, sent)
    beyond = [(sql, one.beyond(allowed, free, keyed=kind in BY_THE_KEY)) for sql, one in found]
    assert [(sql, places) for sql, places in beyond if places] == []
    assert any(one.touched for _, one in found)  # it was looked at all
    assert {"audit"} <= {table for sql, _ in sent for _, table in CHANGES.findall(sql)}


@pytest.mark.parametrize("kind", HOT)
def test_nothing_is_sent_that_a_cluster_keyed_by_patient_refuses(house: House, kind: str) -> None:
    sent, _ = of_one(house, kind) if kind != "create" else (house.ask("GET", "/fhir/metadata", "asker")[1], ())
    for sql, _params in sent:
        assert not re.search(r"\bFOR (UPDATE|SHARE|NO KEY)", sql) or not any(
            re.search(rf"\b{table}\b", sql) for table in partitions.LARGE
        ), sql
        assert not (found := KEY_CHANGED.search(sql)) or found[1] not in partitions.LARGE, sql
        for word, table in CHANGES.findall(sql):
            if table in partitions.LARGE:
                clause = sql[sql.index("(") :] if word == "INSERT INTO" else sql[sql.index("WHERE") :]
                assert re.search(r"\bpatient\b", clause), sql
        assert "nextval" not in sql


@pytest.mark.parametrize("kind", ["read", "patient search by NHS number", "accession", "gate decision"])
def test_who_knows_no_patient_asks_a_directory_first(house: House, kind: str) -> None:
    sent, _ = of_one(house, kind)
    assert set().union(*(one.read for _, one in plans(house.url, sent))) & {"identity", "identifier"}


def test_no_constraint_of_a_large_table_spans_patients(house: House) -> None:
    store = Store(house.url)
    with store.begin(reads=True) as tx:
        rows = tx.rows(
            "SELECT t.relname, a.attname FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_attribute a"
            " ON a.attrelid = t.oid AND a.attnum = i.indkey[0] WHERE i.indisunique AND t.relkind = 'p'"
        )
        leading = dict(rows)
        serial = tx.rows(
            "SELECT c.relname FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid WHERE c.relname = ANY(?)",
            "{" + ",".join(partitions.LARGE) + "}",
        )
    store.close()
    assert set(leading.values()) == {"patient"}
    assert serial == []
