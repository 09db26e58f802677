"""The gate of an Orthanc: before Orthanc answers a request for images, the registry is asked whether it may.

One file for Debian's orthanc-python, with nothing but the standard library: `flask gate install` copies it beside an
Orthanc's configuration. What is not a GET for one study is refused; so is everything when the registry does not answer in
time. The proxy of the registry reads requests by the same grammar (`wanted`).

DICOM PS3.18 (DICOMweb): 10.4 retrieve, 10.6 search
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

FLUSH = "/registry-gate/flush"
DECISION = "/archive/decision"
SECTION = "RegistryGate"
SECONDS = 3.0  # for one decision, whatever it waits for
MOST_AGE = 30.0
MOST_KEPT = 10_000
MOST_ANSWER = 65_536
LONGEST_TOKEN = 8192
EMERGENCY, LONGEST_GRANT = "emergency-grant", 200  # the header under which an emergency grant is presented

# What a request asks for ------------------------------------------------------------------------------------------

_UID = r"[0-9]+(?:\.[0-9]+)*"
_SHOWN = r"(?:/(?:metadata|rendered|thumbnail))"
_PATH = re.compile(
    rf"/studies/(?P<study>{_UID})"
    rf"(?:{_SHOWN}|/series|/instances"
    rf"|/series/(?P<series>{_UID})(?:{_SHOWN}|/instances"
    rf"|/instances/(?P<instance>{_UID})(?:{_SHOWN}|/frames/[0-9]+(?:,[0-9]+)*(?:/(?:rendered|thumbnail))?"
    r"|/bulk/[0-9A-Fa-f]{8}(?:/[0-9]+/[0-9A-Fa-f]{8})*)?)?)?",
)
_ONE_UID = re.compile(_UID)
LONGEST_UID = 64
# The names by which a query may say which study: an archive that is asked by two of them may heed the other. One that is
# written otherwise is refused: Orthanc passes over `studyinstanceuid`, and answers with all studies.
STUDY_KEYS = ("StudyInstanceUID", "0020000D")
# What else a query may hold. None of these names a study, series or instance.
KEYS = frozenset(
    [
        "includefield",
        "limit",
        "offset",
        "fuzzymatching",
        "accept",
        "charset",
        "quality",
        "viewport",
        "window",
        "annotation",
        "iccprofile",
    ]
)
_VALUE = re.compile(r"[\x21-\x7e]{1,512}")


class Wanted(NamedTuple):
    """What a request that may be let through asks for: `level` is `search`, `study`, `series` or `instance`."""

    study: str
    series: str | None = None
    instance: str | None = None
    level: str = "study"


def wanted(path: str, query: Iterable[tuple[str, str]]) -> Wanted | None:
    """The one study that a GET is about; None for anything else, which is refused.

    `path` is below the DICOMweb base and decoded; `query` has each pair, its value as it was sent. (Orthanc shows of a
    key that is repeated the last value alone, and heeds that one too.)
    """
    named = []
    for key, value in query:
        if key in STUDY_KEYS:
            named.append(value)
        elif key not in KEYS or not _VALUE.fullmatch(value):
            return None
    if len(named) > 1 or not all(is_uid(one) for one in named):
        return None
    if path == "/studies":
        return Wanted(named[0], level="search") if named else None
    found = _PATH.fullmatch(path)
    if found is None or not all(one is None or is_uid(one) for one in found.groupdict().values()):
        return None
    if named and named[0] != found["study"]:
        return None
    level = "instance" if found["instance"] else "series" if found["series"] else "study"
    return Wanted(found["study"], found["series"], found["instance"], level)


def is_uid(text: str) -> bool:
    """A single UID (PS3.5, chapter 9): no list, no wildcard, nothing encoded."""
    return len(text) <= LONGEST_UID and _ONE_UID.fullmatch(text) is not None


def bearer(header: str | None) -> str:
    """The token of an Authorization header; empty where there is none."""
    scheme, _, token = (header or "").partition(" ")
    token = token.strip()
    good = scheme.lower() == "bearer" and 0 < len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable()
    return token if good and " " not in token else ""


# Asking the registry ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Configuration:
    """`registry` is its origin, `root` the DICOMweb base of the archive. `operator` ("user:password") may do everything:
    whoever fills the archive; empty for nobody."""

    registry: str
    client: str
    secret: str
    flush_key: bytes = b""
    root: str = "/dicom-web"
    seconds: float = SECONDS
    ca_file: str | None = None
    operator: str = ""

    @classmethod
    def of(cls, orthanc: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Configuration:
        """From Orthanc's own configuration (section RegistryGate), or the environment (REGISTRY_GATE_…). A name that
        ends with `File` says where the value lies. Raises ValueError."""
        section = orthanc.get(SECTION, {})

        def value(name: str, variable: str, default: str | None = None) -> str:
            found = section.get(name) or environ.get(f"REGISTRY_GATE_{variable}")
            file = section.get(f"{name}File") or environ.get(f"REGISTRY_GATE_{variable}_FILE")
            if not found and file:
                with open(file, encoding="utf-8") as opened:
                    found = opened.read().strip()
            if not found and default is None:
                raise ValueError(f"{SECTION}.{name} is missing; expected it in Orthanc's configuration")
            return str(found or default)

        registry = value("Registry", "REGISTRY").rstrip("/")
        if urlsplit(registry).scheme not in ("http", "https") or not urlsplit(registry).hostname:
            raise ValueError(f"{SECTION}.Registry is no address; expected one like https://registry.example")
        root = value("Root", "ROOT", str(orthanc.get("DicomWeb", {}).get("Root", "/dicom-web/")))
        return cls(
            registry,
            value("Client", "CLIENT"),
            value("Secret", "SECRET"),
            bytes.fromhex(value("FlushKey", "FLUSH_KEY", "")),
            "/" + root.strip("/"),
            min(float(section.get("Seconds", SECONDS)), SECONDS),
            value("CaFile", "CA_FILE", "") or None,
            value("Operator", "OPERATOR", ""),
        )


class Registry:
    """Connections to the registry that are kept and used again; for any number of threads."""

    def __init__(self, configuration: Configuration) -> None:
        parts = urlsplit(configuration.registry)
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = ssl.create_default_context(cafile=configuration.ca_file) if parts.scheme == "https" else None
        proof = base64.b64encode(f"{configuration.client}:{configuration.secret}".encode()).decode()
        self._headers = {"Authorization": f"Basic {proof}", "Content-Type": "application/json"}
        self._seconds = configuration.seconds
        self._idle: list[http.client.HTTPConnection] = []

    def decide(self, token: str, study: str, path: str, emergency: str = "") -> dict[str, Any]:
        """The registry's answer. Raises OSError, HTTPException or ValueError where there is none in time."""
        until = time.monotonic() + self._seconds
        said = {"token": token, "study_uid": study, "action": "locate", "path": path}
        body = json.dumps(said | ({"emergency_grant": emergency} if emergency else {})).encode()
        while True:
            kept = self._idle.pop() if self._idle else None
            try:
                return self._ask(kept or self._connect(), body, until)
            except (OSError, http.client.HTTPException):
                if kept is None:  # a kept connection may have been closed long ago: that says nothing of the registry
                    raise

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port)

    def _ask(self, connection: http.client.HTTPConnection, body: bytes, until: float) -> dict[str, Any]:
        try:
            connection.timeout = _left(until)
            if connection.sock is not None:
                connection.sock.settimeout(_left(until))
            connection.request("POST", DECISION, body, self._headers)
            connection.sock.settimeout(_left(until))
            answer = connection.getresponse()
            if connection.sock is not None:
                connection.sock.settimeout(_left(until))
            said = json.loads(answer.read(MOST_ANSWER))
            if answer.status != 200 or not isinstance(said, dict):
                raise ValueError("the registry refuses the gate itself")
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return said


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the registry did not answer in time")
    return left


class Gate:
    """Lets through what the registry permits, and remembers a permission no longer than it was given for."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.registry = Registry(configuration)
        self._kept: OrderedDict[tuple[bytes, str], float] = OrderedDict()
        self._lock = threading.Lock()
        self._flushes = 0

    def admits(self, method: str, uri: str, headers: Mapping[str, str], query: Iterable[tuple[str, str]]) -> bool:
        """Whether a request may go on. `headers` by lower-case names."""
        if uri == FLUSH:
            return method == "POST"  # which proves itself by its signature
        if self._is_operator(headers.get("authorization", "")):
            return True
        root = self.configuration.root
        asked = wanted(uri[len(root) :], query) if method == "GET" and uri.startswith(root + "/") else None
        token = bearer(headers.get("authorization"))
        emergency = headers.get(EMERGENCY, "")[:LONGEST_GRANT]
        return asked is not None and bool(token) and self._permitted(token, asked.study, uri[len(root) :], emergency)

    def _permitted(self, token: str, study: str, path: str, emergency: str) -> bool:
        key = (hashlib.sha256(f"{token} {emergency}".encode()).digest(), study)
        began = time.monotonic()
        with self._lock:
            flushes = self._flushes
            until = self._kept.get(key)
        if until is not None and began < until:
            return True
        try:
            said = self.registry.decide(token, study, path, emergency)
            age = min(max(float(said.get("max_age", 0)), 0.0), MOST_AGE)
        except (OSError, http.client.HTTPException, ValueError, TypeError):
            return False
        if said.get("allowed") is not True:
            return False
        with self._lock:
            if flushes == self._flushes:  # what was decided before a change is not kept after it
                self._kept[key] = began + age
                self._kept.move_to_end(key)
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
        return True

    def _is_operator(self, header: str) -> bool:
        operator = self.configuration.operator
        expected = "Basic " + base64.b64encode(operator.encode()).decode()
        return bool(operator) and hmac.compare_digest(header.encode(), expected.encode())

    def flush(self, body: bytes, signature: str) -> bool:
        """Forget what the registry says has changed: `{"studies": [uid, …]}`, or everything. False for a signature that
        is not the registry's. One that is replayed does no more than have the registry asked again."""
        key = self.configuration.flush_key
        if not key or not hmac.compare_digest(signature.encode(), sign(key, body).encode()):
            return False
        try:
            studies = json.loads(body)["studies"]
            named = None if studies is None else frozenset(studies)
        except (ValueError, KeyError, TypeError):
            named = None
        with self._lock:
            self._flushes += 1
            for one in [one for one in self._kept if named is None or one[1] in named]:
                del self._kept[one]
        return True


def sign(key: bytes, body: bytes) -> str:
    """The signature of a flush: HMAC-SHA-256 in hex."""
    return hmac.new(key, body, hashlib.sha256).hexdigest()


# In Orthanc -------------------------------------------------------------------------------------------------------


METHODS = {1: "GET", 2: "POST", 3: "PUT", 4: "DELETE"}  # as the filter is told; a callback is told the name


def _method(request: Mapping[str, Any]) -> str:
    said = request.get("method")
    return METHODS.get(said, "") if isinstance(said, int) else str(said)


def register(orthanc: Any) -> Gate | None:
    """Stand in front of the Orthanc that has loaded this file. Where the gate is not configured it lets nothing through."""
    try:
        configuration = json.loads(orthanc.GetConfiguration())
        gate = Gate(Configuration.of(configuration))
    except Exception as error:
        said = str(error) if isinstance(error, ValueError) else type(error).__name__
        orthanc.LogError(f"the gate refuses every request: {said}")
        orthanc.RegisterIncomingHttpRequestFilter(lambda uri, **request: False)
        return None
    if configuration.get("DicomServerEnabled", True):
        orthanc.LogWarning("DicomServerEnabled is not false: the gate does not guard what is asked for by DIMSE")

    def incoming(uri: str, **request: Any) -> bool:
        try:
            method = _method(request)
            return gate.admits(method, uri, request.get("headers") or {}, (request.get("get") or {}).items())
        except Exception as error:
            orthanc.LogError(f"the gate refuses a request that it cannot read ({type(error).__name__})")
            return False

    def flushed(output: Any, uri: str, **request: Any) -> None:
        signature = (request.get("headers") or {}).get("x-registry-signature", "")
        if _method(request) != "POST":
            output.SendMethodNotAllowed("POST")
        elif gate.flush(request.get("body") or b"", signature):
            output.AnswerBuffer("{}", "application/json")
        else:
            output.SendHttpStatusCode(403)

    orthanc.RegisterIncomingHttpRequestFilter(incoming)
    orthanc.RegisterRestCallback(FLUSH, flushed)
    return gate


try:
    import orthanc
except ModuleNotFoundError:  # read by the registry itself, or by a test
    pass
else:
    register(orthanc)
