"""Whatever a requester asks, the answer is that of a registry that never held what is withheld from them.

Status, headers and body are compared byte by byte, but for ids that the server makes up, times of day and sealed page
keys; page links are followed. `python -m tests.properties.noninterference --requests N --seed S [--dburl URL]` runs long.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import orjson
from flask import Flask
from werkzeug.test import Client as Http

from app import create_app
from app.access.organisations import Organisations
from app.access.subject import Subject
from app.config import Settings
from app.policy.switches import Switches
from app.storage import oauth, resources, schema
from app.storage.engine import Store, Tx
from app.storage.tables import metadata
from tests.doors.doors import ALL
from tests.properties.hidden_requests import Ask, Asking
from tests.properties.hidden_worlds import AT, World, ref, without_hidden, world

KEPT = {"epoch", "oauth_client", "oauth_assertion", "oauth_revoked"}
PAGES = 3
A_DAY = 86_400_000_000

# What the server makes up: ids of 26 characters, sealed keys, UUIDs, its name for the request.
MADE_UP = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|_cursor=[\w%.=-]+|(?<![\w-])[a-z2-7]{26}(?![\w-])")
PRIVATE_HEADERS = {"x-request-id", "content-length"}


@dataclass(frozen=True)
class Asker:
    """Somebody who asks. `name` is the client's id."""

    name: str
    kind: str
    org: str
    role: str
    purpose: str
    person: str | None

    @property
    def subject(self) -> Subject:
        return Subject(
            self.name, self.kind, f"ods:{self.org}", self.role, self.purpose, practitioner=self.person
        )  # fmt: skip


ASKERS = tuple(
    Asker(f"{kind}-{org}-{role}-{purpose}-{number}".lower(), kind, org, role, purpose, person)
    for number, (kind, org, role, purpose, person) in enumerate(
        [
            ("app", "RXB", "clinician", "TREAT", "Practitioner/dr"),
            ("app", "RXB01", "clinician", "ETREAT", "Practitioner/dr-2"),
            ("app", "RXC", "clinician", "TREAT", "Practitioner/dr"),
            ("backend", "RXB", "system", "TREAT", None),
            ("backend", "RXC", "system", "TREAT", None),
            ("archive", "RXA", "system", "TREAT", None),
            ("archive", "RXB", "system", "TREAT", None),
            ("app", "RXB", "clerical", "TREAT", "Practitioner/clerk"),
            ("app", "RXB", "privacy", "TREAT", "Practitioner/ig"),
            ("app", "RXB", "clinician", "HRESCH", "Practitioner/dr"),
            ("app", "RXB", "clinician", "BTG", "Practitioner/dr"),
        ]
    )
)


@dataclass
class Registry:
    """One running application on one database, at a standing instant."""

    app: Flask
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.app.extensions["services"].store  # type: ignore[no-any-return]

    def hold(self, held: World) -> None:
        """Hold this world and nothing else."""

        def work(tx: Tx) -> None:
            for table in metadata.tables.values():
                if table.name not in KEPT:
                    tx.run(f"DELETE FROM {table.name}")
            for one in held.resources:
                body = {name: value for name, value in one.items() if name != "id"}
                before = held.former.get(ref(one))
                if before is None:
                    last = resources.create(tx, ALL, body, one["id"], "PUT")
                else:
                    early = {name: value for name, value in before.items() if name != "id"}
                    last = resources.update(tx, ALL, resources.create(tx, ALL, early, one["id"], "PUT"), body)
                if ref(one) in held.deleted:
                    resources.delete(tx, ALL, last)

        self.store.clock = lambda: AT - A_DAY
        self.store.retry(work)
        self.store.clock = lambda: AT
        enforcement = self.app.extensions["services"].enforcement
        enforcement.switches = held.switches
        enforcement.organisations = Organisations()

    def answer(self, asker: Asker, asked: Ask) -> tuple[bytes, list[str]]:
        """What comes back, made comparable, and the next links that it has."""
        headers = {"Authorization": f"Bearer {self.tokens[asker.name]}"}
        body = None
        if isinstance(asked.body, str):
            body, headers["Content-Type"] = asked.body.encode(), "application/x-www-form-urlencoded"
        elif asked.body is not None:
            body, headers["Content-Type"] = orjson.dumps(asked.body), "application/fhir+json"
        headers |= dict(asked.headers)
        made = Http(self.app).open(f"/fhir{asked.path}", method=asked.method, data=body, headers=headers)
        told = [f"{name}: {value}" for name, value in made.headers if name.lower() not in PRIVATE_HEADERS]
        whole = "\n".join([str(made.status_code), *sorted(told), ""]).encode() + made.data
        found = re.findall(r'"relation":"next","url":"http://[^/]+/fhir([^"]+)"', made.get_data(as_text=True))
        return self._without_made_up(whole), found

    @staticmethod
    def _without_made_up(text: bytes) -> bytes:
        seen: dict[bytes, bytes] = {}
        return MADE_UP.sub(
            lambda found: b"_cursor" if found[0][:1] == b"_" else seen.setdefault(found[0], b"made-up-%d" % len(seen)),
            text,
        )


@contextmanager
def pair(make: Callable[[], str]) -> Iterator[tuple[Registry, Registry]]:
    """Two registries of one kind that share their keys, each on a database that `make` gives."""
    with tempfile.TemporaryDirectory() as folder:
        registries = []
        for _ in range(2):
            app = create_app(Settings(database_url=make(), keys_dir=folder, log_level="error"))
            made = Registry(app)
            made.store.clock = lambda: AT
            for one in ASKERS:
                scope = "user/*.cruds" if one.person else "system/*.cruds"
                client = oauth.Client(
                    one.name, one.name, one.kind, f"ods:{one.org}", scope, one.role, one.purpose, '{"keys": []}'
                )
                made.store.retry(lambda tx, client=client: oauth.add(tx, client))
                made.tokens[one.name] = app.extensions["tokens"].mint(client, scope, 3600, practitioner=one.person)
            registries.append(made)
        yield registries[0], registries[1]
        for made in registries:
            made.store.close()


@dataclass
class Counted:
    requests: int = 0
    worlds: int = 0
    withheld: int = 0  # studies and reports that the second registry lacks
    status: Counter[str] = field(default_factory=Counter)


class Leak(AssertionError):
    """A requester could tell the two registries apart."""


def compare(chance: Random, registries: tuple[Registry, Registry], counted: Counted, requests: int) -> None:
    """One world, one requester, some requests. Raises Leak with both answers."""
    whole, asker = world(chance), chance.choice(ASKERS)
    if asker.kind == "archive":
        whole.switches = Switches()  # who keeps a study knows of it, whatever the region lets an opt-out bind (P1)
    rest = without_hidden(whole, asker.subject)
    counted.worlds += 1
    counted.withheld += len(whole.resources) - len(rest.resources)
    registries[0].hold(whole)
    registries[1].hold(rest)
    asking = Asking(chance, whole)
    hidden = {ref(one) for one in whole.resources} - {ref(one) for one in rest.resources}
    for _ in range(requests):
        asked: tuple[Ask, Ask] = (asking.one(),) * 2
        if asker.role == "privacy" and "$explain-access" in asked[0].path:
            continue  # the one role that is to be told of refusals
        if asker.kind == "archive" and asked[0].brings(hidden):
            continue  # whoever holds a study's images knows of it, and is told that it is registered
        for _page in range(PAGES):
            (first, links), (second, others) = (
                made.answer(asker, one) for made, one in zip(registries, asked, strict=True)
            )
            counted.requests += 1
            counted.status[first[:3].decode()] += 1
            if first != second:
                raise Leak(
                    f"{asker.name} asks {asked[0]}\n\nwith what is withheld:\n{first.decode()}\n\nwithout:\n{second.decode()}"
                    f"\n\nwithheld: {sorted(hidden)}"
                )
            if asked[0].writes and first[:1] == b"2":
                return  # what was written may have changed what is withheld
            if not links or not others:
                break
            asked = Ask("GET", links[0]), Ask("GET", others[0])


def run(registries: tuple[Registry, Registry], requests: int, seed: int, a_world: int = 120) -> Counted:
    """So many requests at least, told of on a terminal. Each world has a seed of its own, so that it can be run alone."""
    counted, begun, told = Counted(), time.monotonic(), 0.0
    while counted.requests < requests:
        own = f"{seed}/{counted.worlds}"
        try:
            compare(Random(own), registries, counted, min(a_world, requests))
        except Leak as leak:
            raise Leak(f"world {own}: {leak}") from None
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{counted.requests} requests, {counted.worlds} worlds, {told - begun:.0f} s", file=sys.stderr)
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL started for this, instead of SQLite")
    parser.add_argument("--world", help="one world again, as a leak names it: SEED/NUMBER")
    chosen = parser.parse_args()
    from pathlib import Path

    from tests.support import postgres

    with tempfile.TemporaryDirectory() as folder:
        names = iter(range(9))
        base, template = "", ""
        if chosen.postgresql:
            base, template = postgres.shared(Path(folder), _migrated)

        def make() -> str:
            if chosen.postgresql:
                return postgres.create_database(base, template)
            return _migrated(f"sqlite:///{folder}/{next(names)}.db")

        try:
            with pair(make) as registries:
                if chosen.world:
                    compare(Random(chosen.world), registries, Counted(), 120)
                    return
                counted = run(registries, chosen.requests, chosen.seed)
                print(
                    f"no leak: {counted.requests} requests in {counted.worlds} worlds, {counted.withheld} studies and"
                    f" reports withheld; by status {dict(sorted(counted.status.items()))}"
                )
        finally:
            if chosen.postgresql:
                postgres.stop(Path(folder))


def _migrated(url: str) -> str:
    store = Store(url)
    schema.upgrade(store)
    store.close()
    return url


if __name__ == "__main__":
    main()
