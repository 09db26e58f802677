"""Malformed requests to every parser, and what must hold of each: no 5xx, no hang, no growth of memory.

`python -m tests.security.fuzz [--requests N] [--seed S] [--postgresql]` goes on for long; a bounded run is in the suite. What
was right is broken: bytes turned, parts doubled, cut, nested and moved, in addresses, headers, tokens, forms, scopes, page
keys, Consents, resources, bundles, patches, questions of gates, and DICOM files.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import io
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import pydicom.data
from flask import Flask
from werkzeug.test import Client as Http

from app import create_app
from app.config import Settings
from app.fhir.registry import TYPES
from app.fhir.xml import to_xml
from app.ingest.datasets import Refused, read
from app.ingest.mapping import Unusable, assemble, instance
from app.ingest.source import of_organisation
from tests.support.minimal import MINIMAL
from tests.support.region import Caller, caller, consent, settle, study

LONGEST_SECONDS = 30.0  # of one request, on a machine however busy
GROWTH = 200  # megabytes, after the first thousand requests
WORDS = (
    "", "0", "-1", "9" * 40, "1e999", "true", "null", "%", "%00", "%ff", "\\", "|", "||", ",", "$", "..", "../..", "\u0000",
    "\u202e", "é", "💥", "a" * 3000, "ge2026-02-30", "2026-13", "Patient/p1", "ImagingStudy/s1/_history/x", "urn:oid:1.2.",
    "http://x", "' OR 1=1", "{", "[", "<", "&x;", "$everything", "_history", "*", ":", "::", "p1?x=1#y",
)  # fmt: skip
FORMS = (
    "/auth/token",
    "/auth/introspect",
    "/auth/revoke",
    "/auth/authorize",
    "/auth/sign-in",
    "/auth/patient",
    "/auth/approve",
)
SCOPES = (
    "system/*.cruds",
    "patient/ImagingStudy.rs?modality=CT",
    "user/*.dus",
    "launch/patient",
    "openid fhirUser",
    "system/*.rs",
)


def rearranged(chance: Random, value: Any, depth: int = 0) -> Any:
    """JSON with something of it replaced, removed, doubled, nested or moved."""
    if isinstance(value, dict) and value and depth < 6:
        made = dict(value)
        key = chance.choice(list(made))
        match chance.randrange(6):
            case 0:
                del made[key]
            case 1:
                made[chance.choice(WORDS)] = made[key]
            case 2:
                made[f"_{key}"] = chance.choice([None, [], {"id": 1}, "x"])
            case _:
                made[key] = rearranged(chance, made[key], depth + 1)
        return made
    if isinstance(value, list) and value and depth < 6:
        at = chance.randrange(len(value))
        changed = [*value[:at], rearranged(chance, value[at], depth + 1), *value[at + 1 :]]
        return chance.choice(
            [changed, changed, value * 2, value[:at], [value], (changed * 40)[: 60 if depth == 0 else 3]]
        )
    choices: list[Any] = [chance.choice(WORDS), chance.randrange(-(2**70), 2**70), None, [], {}, True, 1.5, [[]], {"x": value}, [value] * 3]  # fmt: skip
    return chance.choice(choices)


def turned(chance: Random, data: bytes) -> bytes:
    """Bytes with some of them turned, cut out, doubled or put in."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(made) + 1)
        match chance.randrange(4):
            case 0 if at < len(made):
                made[at] = chance.randrange(256)
            case 1:
                del made[at : at + chance.randint(1, 20)]
            case 2:
                made[at:at] = chance.randbytes(chance.randint(1, 12))
            case _:
                made[at:at] = made[at : at + chance.randint(1, 200)]
    return bytes(made)


@dataclass
class Found:
    """`slowest`: seconds and what it was. `wrong`: what was answered with a 5xx, and how."""

    requests: int = 0
    status: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    wrong: list[str] = field(default_factory=list)


class Fuzzer:
    """Requests at random to one application, whose region stands."""

    def __init__(self, app: Flask, chance: Random) -> None:
        self.app, self.chance = app, chance
        steward = settle(app)
        steward.put("/Consent/c1", consent(provision={"type": "permit"}))
        self.who: list[Caller] = [
            steward, caller(app), caller(app, "archive", "RXA"), caller(app, "gate", "RXA"),
            caller(app, "app", "RXB", "user/*.rs", role="clinician", practitioner="Practitioner/dr"),
        ]  # fmt: skip
        # Tokens that a form may end: what is revoked opens nothing any more.
        self.spent = [
            caller(app, "backend", "RXC").token,
            caller(app, "app", "RXC", "user/*.rs", practitioner="Practitioner/x").token,
        ]
        page = steward.get("/ImagingStudy?_count=1&_sort=_id").json["link"]
        self.cursor = next((one["url"].partition("_cursor=")[2] for one in page if one["relation"] == "next"), "gAAAA")
        self.files = [path.read_bytes()[:6000] for path in sorted(Path(pydicom.data.__file__).parent.glob("test_files/*.dcm"))[:12]]  # fmt: skip
        self.valid = [*MINIMAL.values(), consent(), study()]
        self.kinds: tuple[Callable[[], tuple[str, Any]], ...] = (
            self.address, self.search, self.body, self.body, self.choice, self.xml, self.bundle, self.patch, self.token,
            self.form, self.page_key, self.question, self.dicom,
        )  # fmt: skip

    def word(self) -> str:
        chance = self.chance
        return chance.choice(
            [chance.choice(WORDS), "".join(map(chr, chance.choices(range(1, 0x2FF), k=chance.randint(1, 9))))]
        )

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, token: str | None = None
    ) -> Any:
        given = {"Content-Type": "application/fhir+json"} | (headers or {})
        given["Authorization"] = f"Bearer {self.chance.choice(self.who).token if token is None else token}"
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        return Http(self.app).open(path, method=method, data=data, headers=given)

    # Each gives a name and an answer ---------------------------------------------------------------------------------

    def address(self) -> tuple[str, Any]:
        chance = self.chance
        parts = chance.choices(
            [*WORDS, *TYPES, "p1", "s1", "_search", "$validate", "metadata", "$match", "1"], k=chance.randint(1, 4)
        )
        path = (
            "/"
            + chance.choice(["fhir/", "fhir/", "auth/", "access/v1/", "archive/", "", "docs/"])
            + "/".join(map(quote, parts))
        )
        headers = {name: self.word().encode("latin-1", "ignore").decode("latin-1").replace("\n", "").replace("\r", "").replace("\0", "") for name in chance.sample(["Accept", "If-Match", "If-None-Match", "If-Modified-Since", "Prefer", "Idempotency-Key", "X-Request-Id", "Emergency-Grant", "traceparent", "Origin"], 2)}  # fmt: skip
        return path, self.send(
            chance.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]), path, None, headers
        )

    def search(self) -> tuple[str, Any]:
        chance = self.chance
        name = chance.choice(list(TYPES))
        controls = ["_count", "_sort", "_include", "_revinclude", "_has", "_elements", "_summary", "_total", "_since", "_cursor", "_filter"]  # fmt: skip
        pairs = [
            (chance.choice([*TYPES[name].params, *controls]) + chance.choice(["", "", ":not", ":missing", ":Patient.name", ":" + self.word()]), self.word())
            for _ in range(chance.randint(1, 4))
        ]  # fmt: skip
        if chance.random() < 0.2:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            return "search form", self.send("POST", f"/fhir/{name}/_search", urlencode(pairs).encode(), form)
        return f"search {pairs}", self.send("GET", f"/fhir/{name}?{urlencode(pairs)}")

    def body(self) -> tuple[str, Any]:
        chance = self.chance
        good = chance.choice(self.valid)
        name, made = good["resourceType"], good
        for _ in range(chance.randint(1, 3)):
            made = rearranged(chance, made)
        data: Any = made if chance.random() < 0.7 else turned(chance, json.dumps(made).encode())
        if not isinstance(data, (dict, list, bytes)):
            data = json.dumps(data).encode()
        method, path = chance.choice([("POST", ""), ("PUT", f"/{good.get('id', 'x1')}"), ("POST", "/$validate")])
        return f"{method} {name}{path}", self.send(method, f"/fhir/{name}{path}", data)

    def choice(self) -> tuple[str, Any]:
        """A Consent whose provisions are anything."""
        chance = self.chance
        inner: Any = {"type": "deny", "actor": [{"role": {}, "reference": {"reference": "Organization/rxb"}}], "purpose": [{"code": "TREAT"}], "dataPeriod": {"start": "2019"}, "data": [{"meaning": "instance", "reference": {"reference": "ImagingStudy/s1"}}]}  # fmt: skip
        for _ in range(chance.randint(0, 6)):
            inner = {"type": chance.choice(["permit", "deny", "x"]), "provision": [inner] * chance.randint(1, 3)}
        made = consent(provision=rearranged(chance, inner), status=chance.choice(["active", "proposed", "x"]))
        path = chance.choice(["/fhir/Consent/c1", "/fhir/Consent", "/fhir/Consent/$record-choice"])
        return "Consent", self.send("PUT" if path.endswith("c1") else "POST", path, made)

    def xml(self) -> tuple[str, Any]:
        good = self.chance.choice(self.valid)
        data = turned(self.chance, to_xml(good))
        return "XML", self.send("POST", f"/fhir/{good['resourceType']}", data, {"Content-Type": "application/fhir+xml"})

    def bundle(self) -> tuple[str, Any]:
        chance = self.chance
        entries = [
            {"request": {"method": chance.choice(["GET", "POST", "PUT", "DELETE", "PATCH"]), "url": chance.choice(["Patient/p1", "ImagingStudy?_count=1", "Consent", self.word()])}, "resource": rearranged(chance, chance.choice(self.valid)), "fullUrl": chance.choice(["urn:uuid:1", self.word()])}
            for _ in range(chance.randint(0, 4))
        ]  # fmt: skip
        made = {"resourceType": "Bundle", "type": chance.choice(["batch", "transaction", "x"]), "entry": entries}
        return "Bundle", self.send("POST", "/fhir", rearranged(chance, made) if chance.random() < 0.5 else made)

    def patch(self) -> tuple[str, Any]:
        chance = self.chance
        kind = chance.choice(["application/json-patch+json", "application/merge-patch+json", "application/fhir+json"])
        change = rearranged(chance, [{"op": "replace", "path": "/gender", "value": "x"}])
        return "PATCH", self.send("PATCH", "/fhir/Patient/p1", json.dumps(change).encode(), {"Content-Type": kind})

    def token(self) -> tuple[str, Any]:
        chance = self.chance
        good = chance.choice(self.who).token.split(".")
        at = chance.randrange(3)
        claims = [{"alg": chance.choice(["none", "HS256", "ES384", None, 1]), "kid": self.word(), "typ": "at+jwt", "crit": ["x"]}, {"exp": chance.choice([0, 1e30, "x", None]), "aud": [], "iss": self.word()}]  # fmt: skip
        forged = base64.urlsafe_b64encode(json.dumps(chance.choice(claims)).encode()).decode().rstrip("=")
        good[at] = chance.choice(
            [forged, good[at][:-3], turned(chance, good[at].encode()).decode("latin-1"), "", "A" * 9000]
        )
        made = chance.choice([".".join(good), ".".join(good[:2]), self.word()])
        made = "".join(one for one in made if one.isprintable() and ord(one) < 256)
        return "token", self.send("GET", "/fhir/ImagingStudy?patient=p1", token=made)

    def form(self) -> tuple[str, Any]:
        chance = self.chance
        names = ("grant_type", "client_assertion", "client_assertion_type", "scope", "code", "redirect_uri", "code_verifier", "refresh_token", "token", "client_id", "client_secret", "response_type", "state", "aud", "launch", "request", "username", "csrf_token")  # fmt: skip
        known = {"grant_type": ["client_credentials", "authorization_code", "refresh_token"], "scope": SCOPES, "token": self.spent, "response_type": ["code"]}  # fmt: skip
        pairs = [
            (name, chance.choice([self.word(), *known.get(name, ())]))
            for name in chance.choices(names, k=chance.randint(1, 8))
        ]
        path = chance.choice(FORMS)
        if chance.random() < 0.3:
            return f"form {path}", self.send("GET", f"{path}?{urlencode(pairs)}")
        body = urlencode(pairs).encode()
        body = turned(chance, body) if chance.random() < 0.3 else body
        return f"form {path}", self.send("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def page_key(self) -> tuple[str, Any]:
        made = turned(self.chance, self.cursor.encode()).decode("latin-1")
        return "page key", self.send("GET", "/fhir/ImagingStudy?" + urlencode({"_count": "1", "_cursor": made}))

    def question(self) -> tuple[str, Any]:
        chance = self.chance
        said: Any = {"subject": {"type": "practitioner", "id": "dr", "properties": {"organisation": "RXB"}}, "action": {"name": "read"}, "resource": {"type": "ImagingStudy", "id": "s1"}, "evaluations": [{}]}  # fmt: skip
        path = chance.choice(["/access/v1/evaluation", "/access/v1/evaluations", "/archive/decision"])
        if path == "/archive/decision":
            said = {"token": chance.choice(self.who).token, "study_uid": "1.2.3", "path": self.word(), "action": "x"}
        return path, self.send("POST", path, rearranged(chance, said), {"Content-Type": "application/json"})

    def dicom(self) -> tuple[str, Any]:
        """Not a request: a file from an archive, read and made a study of. Refused in words, or read."""
        data = turned(self.chance, self.chance.choice(self.files))
        source = of_organisation("Endpoint/archive", "Organization/trust", "ZA1")
        try:
            assemble([instance(read(io.BytesIO(data)), source)], source)
        except (Refused, Unusable, OSError) as error:
            return f"DICOM {type(error).__name__}", None
        return "DICOM", None

    def run(self, count: int) -> Found:
        """So many, told of on a terminal. Each has a number by which it can be found again."""
        found, began, told, settled = Found(), time.monotonic(), time.monotonic(), 0
        for number in range(count):
            start = time.monotonic()
            faulthandler.dump_traceback_later(LONGEST_SECONDS)  # where it hangs, if it does
            name, answer = self.chance.choice(self.kinds)()
            faulthandler.cancel_dump_traceback_later()
            took = time.monotonic() - start
            found.requests += 1
            status = str(answer.status_code) if answer is not None else "file"
            found.status[status] += 1
            found.slowest = max(found.slowest, (took, name[:120]))
            if status.startswith("5"):
                found.wrong.append(f"{number} {status} {name[:300]}: {answer.text[:200]}")
            if number == min(1000, count // 2):
                settled = resident()
            if time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"{number} of {count}, {told - began:.0f} s, {resident()} MB", file=sys.stderr, flush=True)
        if found.slowest[0] > LONGEST_SECONDS:
            found.wrong.append(f"too slow: {found.slowest}")
        if resident() - settled > GROWTH:
            found.wrong.append(f"memory grew from {settled} to {resident()} MB")
        return found


def resident() -> int:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextmanager
def fuzzing(url: str, chance: Random) -> Iterator[Fuzzer]:
    with tempfile.TemporaryDirectory() as keys:
        app = create_app(Settings(database_url=url, keys_dir=keys, log_level="critical"))
        yield Fuzzer(app, chance)
        app.extensions["services"].store.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL started for this, instead of SQLite")
    given = parser.parse_args()
    from tests.properties.noninterference import _migrated
    from tests.support import postgres

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/registry.db"
        if given.postgresql:
            base, template = postgres.shared(Path(folder), _migrated)
            url = postgres.create_database(base, template)
        else:
            _migrated(url)
        try:
            with fuzzing(url, Random(given.seed)) as one:
                found = one.run(given.requests)
        finally:
            if given.postgresql:
                postgres.stop(Path(folder))
    print(f"{found.requests} requests, by status {dict(sorted(found.status.items()))}; slowest {found.slowest[0]:.2f} s; {resident()} MB at most")  # fmt: skip
    print("\n".join(found.wrong) or "none answered 5xx, none too slow, no growth of memory")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
