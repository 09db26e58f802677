"""Settings: every knob, once. Each is an environment variable with a default that is safe to try out.

Production mode refuses to start on a set that is not safe, and names every fault at once. No fault repeats a value: an
address of a database may hold a password.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

DEMO_MARK = "made-for-demo"  # lies in a keys directory that demo mode has used
DEMO_VIEWER = "imaging-viewer"  # client id that the demo region registers
LOOPBACK = ("http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*")
ANY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class SettingsError(ValueError):
    """The settings cannot be used. `faults` are sentences: what is wrong, then what was expected."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def _setting(variable: str, default: Any, means: str, shown: str = "") -> Any:
    return field(default=default, metadata={"variable": variable, "means": means, "shown": shown or str(default)})


@dataclass(frozen=True)
class Settings:
    """The settings in force. Paths are relative to the working directory."""

    mode: str = _setting("REGISTRY_MODE", "demo", "`demo` or `production`")
    database_url: str = _setting(
        "REGISTRY_DATABASE_URL", "sqlite:///var/registry.db", "SQLAlchemy URL; `postgresql+psycopg://…` for PostgreSQL"
    )
    replica_url: str = _setting(
        "REGISTRY_REPLICA_URL", "", "read replica for searches that tolerate its lag; never for decisions", "–"
    )
    base_url: str = _setting(
        "REGISTRY_BASE_URL", "http://127.0.0.1:8080/fhir", "what links, `aud` and fullUrls are made of"
    )
    policy_file: str = _setting("REGISTRY_POLICY_FILE", "", "TOML with the region's switches", "–")
    keys_dir: str = _setting("REGISTRY_KEYS_DIR", "var/keys", "signing and cursor keys, with rotation")
    audit_dir: str = _setting(
        "REGISTRY_AUDIT_DIR",
        "",
        "signed checkpoints of the audit, outside the database; best on a disk that can only be added to",
        "`audit` in the keys directory",
    )
    issuers_file: str = _setting(
        "REGISTRY_ISSUERS_FILE", "", "TOML: trusted external issuers and their claim maps", "–"
    )
    sources_file: str = _setting(
        "REGISTRY_SOURCES_FILE",
        "",
        "TOML: archives to harvest, with zone, patient-identifier system, endpoint",
        "–",
    )
    archives_file: str = _setting(
        "REGISTRY_ARCHIVES_FILE",
        "",
        "TOML: archives that stand behind `/archive/proxy`, with address and credentials",
        "–",
    )
    gate_seconds: int = _setting(
        "REGISTRY_GATE_SECONDS",
        30,
        "seconds, 0 to 30, for which a gate may keep a permission unasked; what changes one is told to gates at once",
    )
    slow_source: int = _setting(
        "REGISTRY_SLOW_SOURCE",
        0,
        "to rehearse a source that answers slowly: so many seconds a search for studies is first put off (503, Retry-After)",
    )
    notify: str = _setting("REGISTRY_NOTIFY", "on", "`on` or `off`: whether notifications are delivered at all")
    notify_allow: str = _setting(
        "REGISTRY_NOTIFY_ALLOW",
        "",
        "origins to which notifications may be sent, with commas or spaces between; port `*` is any",
        "loopback in demo mode, else none",
    )
    demo_data: str = _setting("REGISTRY_DEMO_DATA", "1", "`0`: `make run` starts on an empty database")
    references: str = _setting("REGISTRY_REFERENCES", "strict", "`strict` or `lenient`: referential integrity on write")
    nhs_numbers: str = _setting(
        "REGISTRY_NHS_NUMBERS",
        "strict",
        "`strict`, or `lenient` to take NHS numbers with a wrong check digit, as some sandboxes have",
    )
    endpoint_hosts: str = _setting(
        "REGISTRY_ENDPOINT_HOSTS",
        "",
        "`listed`: an Endpoint is on a host that its managing organisation lists; `open`: organisations that list none may use any",
        "`open` in demo mode, else `listed`",
    )
    viewer_client: str = _setting(
        "REGISTRY_VIEWER_CLIENT",
        "",
        "client id of the viewer at `/viewer`, where it is to be used",
        "`imaging-viewer` in the demo region, else –",
    )
    choices_desk: str = _setting(
        "REGISTRY_CHOICES_DESK",
        "",
        "ODS code of the organisation whose privacy desk handles what patients ask for by form; without one there is no form",
        "the demo region's in demo mode, else –",
    )
    workers: int = _setting("REGISTRY_WORKERS", 0, "web server processes", "cores")
    threads: int = _setting("REGISTRY_THREADS", 4, "requests at work at once in each web server process")
    waiting: int = _setting(
        "REGISTRY_WAITING", 32, "requests that wait for that in each process; others are answered 429 or 503 at once"
    )
    log_level: str = _setting("REGISTRY_LOG_LEVEL", "info", "`debug`, `info`, `warning` or `error`")
    log_format: str = _setting("REGISTRY_LOG_FORMAT", "", "`text` or `json`", "`text` on a terminal, else `json`")
    host: str = _setting("HOST", "127.0.0.1", "address that the web server listens on")
    port: int = _setting("PORT", 8080, "port that the web server listens on")
    proxies: int = _setting(
        "REGISTRY_PROXIES",
        0,
        "reverse proxies in front, each adding to `X-Forwarded-For`: whose address is recorded and throttled; none is believed otherwise",
    )
    max_bytes: int = _setting("REGISTRY_MAX_BYTES", 5_000_000, "largest request body, in bytes")
    max_entries: int = _setting("REGISTRY_MAX_ENTRIES", 500, "most entries of a batch or transaction")

    @property
    def demo(self) -> bool:
        return self.mode == "demo"

    @property
    def open_hosts(self) -> bool:
        """Whether an organisation that lists no hosts may have Endpoints on any."""
        return (self.endpoint_hosts or ("open" if self.demo else "listed")) == "open"

    @property
    def demo_region(self) -> bool:
        """Whether the demo region is to be there."""
        return self.demo and self.demo_data == "1"

    @property
    def viewer(self) -> str:
        """The client id of the viewer; empty where it is not set up."""
        return self.viewer_client or (DEMO_VIEWER if self.demo_region else "")

    @property
    def desk_ods(self) -> str:
        """The organisation whose privacy desk handles requests by form; empty for none."""
        return self.choices_desk or ("ZA1" if self.demo else "")

    @property
    def checkpoints_dir(self) -> str:
        """Where the audit's signed checkpoints lie."""
        return self.audit_dir or str(Path(self.keys_dir) / "audit")

    @property
    def origin(self) -> str:
        """Scheme, host and port of the base URL."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def notify_origins(self) -> tuple[str, ...]:
        """Origins to which a notification may be sent, such as `https://epr.example` or `http://localhost:*`."""
        named = tuple(self.notify_allow.replace(",", " ").split())
        return named or (LOOPBACK if self.demo else ())

    def may_notify(self, address: str) -> bool:
        """Whether the address is of an allowed origin. What the host resolves to is checked when it is connected to."""
        parts = _split(address)
        if self.notify != "on" or parts is None or parts.username is not None or parts.password is not None:
            return False
        return any(_of_origin(parts, allowed) for allowed in self.notify_origins)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """The settings of an environment; a variable that is empty counts as not set. Raises SettingsError."""
        given: dict[str, Any] = {}
        faults = []
        for one in fields(cls):
            variable, text = one.metadata["variable"], environ.get(one.metadata["variable"], "").strip()
            if not text:
                continue
            if not isinstance(one.default, int):
                given[one.name] = text
            elif text.isdecimal() and len(text) < 12:
                given[one.name] = int(text)
            else:
                faults.append(f"{variable} is not a whole number; expected one: {one.metadata['means']}")
        if "base_url" not in given and ("host" in given or "port" in given):
            given["base_url"] = _local(given.get("host", cls.host), given.get("port", cls.port))
        elif "base_url" in given:
            given["base_url"] = given["base_url"].rstrip("/")
        settings = cls(**given)
        faults += settings.faults()
        if not settings.demo:
            faults += _misspelt(environ)
        if faults:
            raise SettingsError(faults)
        return settings

    def faults(self) -> list[str]:
        """What is wrong with the set, a sentence each."""
        found = []
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                found.append(f"{VARIABLES[name]} is not known; expected one of {', '.join(filter(None, allowed))}")
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                found.append(f"{VARIABLES[name]} is out of range; expected a whole number from {low} to {high}")
        for name in ("policy_file", "issuers_file", "sources_file", "archives_file"):
            path = getattr(self, name)
            if path and not Path(path).is_file():
                found.append(f"{VARIABLES[name]} names no file; expected a TOML file")
        if self.choices_desk and not re.fullmatch("[A-Z0-9]{1,12}", self.choices_desk):
            found.append("REGISTRY_CHOICES_DESK is no ODS code; expected one like RXB")
        if not self.database_url.startswith(("sqlite:///", "postgresql+psycopg://")):
            found.append("REGISTRY_DATABASE_URL is of no kind known here; expected sqlite:/// or postgresql+psycopg://")
        if self.replica_url and not self.replica_url.startswith("postgresql+psycopg://"):
            found.append("REGISTRY_REPLICA_URL is of no kind known here; expected postgresql+psycopg://")
        base = _split(self.base_url)
        if base is None or base.path != "/fhir" or base.query or base.fragment or base.username is not None:
            found.append("REGISTRY_BASE_URL is not usable; expected an address like https://registry.example/fhir")
        if not all(_is_origin(one) for one in self.notify_origins):
            found.append("REGISTRY_NOTIFY_ALLOW is not all origins; expected ones like https://epr.example:8443")
        return found + (self._unsafe() if self.mode == "production" else [])

    def _unsafe(self) -> list[str]:
        found = []
        if not self.base_url.startswith("https://"):
            found.append("REGISTRY_BASE_URL is not https; production expects https")
        if self.keys_dir == DEFAULTS["keys_dir"] or (Path(self.keys_dir) / DEMO_MARK).exists():
            found.append("REGISTRY_KEYS_DIR is the demo's; production expects a directory of its own")
        if self.database_url == DEFAULTS["database_url"]:
            found.append("REGISTRY_DATABASE_URL is the demo's; production expects a database of its own")
        if self.notify == "on" and not self.notify_origins:
            found.append("REGISTRY_NOTIFY_ALLOW is empty; production expects origins, or REGISTRY_NOTIFY=off")
        if any(not one.startswith("https://") for one in self.notify_origins):
            found.append("REGISTRY_NOTIFY_ALLOW names an origin that is not https; production expects https alone")
        if self.slow_source:
            found.append("REGISTRY_SLOW_SOURCE is set; production rehearses nothing and expects 0")
        return found

    def unsafe_to_serve(self, clients: Iterable[str], demo_clients: Iterable[str]) -> list[str]:
        """What the registered clients have against serving: production wants somebody to trust, and nobody of the demo.

        Asked when the web server starts, not by the commands, for it is they that register clients."""
        if self.demo:
            return []
        known = set(clients)
        found = []
        if known & set(demo_clients):
            found.append("the database holds clients of the demo region; production expects a database without them")
        elif not known and not self.issuers_file:
            found.append(
                "nobody could get in; production expects a client (`flask client add`) or REGISTRY_ISSUERS_FILE"
            )
        return found

    def mark_keys(self) -> None:
        """Leave a mark in the keys directory that demo mode has used it, so that production will not."""
        if self.demo:
            directory = Path(self.keys_dir)
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            (directory / DEMO_MARK).touch()


CHOICES = {
    "mode": ("demo", "production"),
    "references": ("strict", "lenient"),
    "nhs_numbers": ("strict", "lenient"),
    "endpoint_hosts": ("", "listed", "open"),
    "demo_data": ("0", "1"),
    "notify": ("on", "off"),
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("", "text", "json"),
}
RANGES = {
    "slow_source": (0, 600),
    "gate_seconds": (0, 30),
    "workers": (0, 256),
    "threads": (1, 256),
    "waiting": (1, 4096),
    "port": (1, 65535),
    "proxies": (0, 9),
    "max_bytes": (1_000, 1_000_000_000),
    "max_entries": (1, 100_000),
}
VARIABLES = {one.name: one.metadata["variable"] for one in fields(Settings)}
DEFAULTS = {one.name: one.default for one in fields(Settings)}


def _local(host: str, port: int) -> str:
    """The address of a server that listens there, as seen from this machine."""
    told = ANY_INTERFACE.get(host, host)
    return f"http://[{told}]:{port}/fhir" if ":" in told else f"http://{told}:{port}/fhir"


def _split(address: str) -> SplitResult | None:
    """The parts of an absolute web address; None for anything else."""
    try:
        parts = urlsplit(address)
        readable = parts.scheme in ("http", "https") and bool(parts.hostname) and _port(parts) > 0
    except ValueError:
        return None
    return parts if readable and address.isascii() and address.isprintable() and " " not in address else None


def _port(parts: SplitResult) -> int:
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def _of_origin(parts: SplitResult, allowed: str) -> bool:
    told = _split(allowed.removesuffix(":*"))
    if told is None or (parts.scheme, parts.hostname) != (told.scheme, told.hostname):
        return False
    return allowed.endswith(":*") or _port(parts) == _port(told)


def _is_origin(text: str) -> bool:
    parts = _split(text.removesuffix(":*"))
    if parts is None:
        return False
    return not (parts.path or parts.query or parts.fragment or parts.username is not None)


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """A variable that nothing reads is a safety measure that is not taken."""
    known = list(VARIABLES.values())
    found = []
    for name in sorted(environ):
        if name.startswith("REGISTRY_") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            found.append(f"{name} is no setting; expected {near[0] if near else 'one of those in the README'}")
    return found
