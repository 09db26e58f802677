"""Settings: every knob, once. Each is an environment variable REGISTRY_… with a default that is safe to try out.

Production mode refuses to start on a set that is not safe, and names every fault at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class SettingsError(ValueError):
    """The settings cannot be used; the text names each that is at fault and what was expected."""


def _setting(variable: str, default: Any, means: str) -> Any:
    return field(default=default, metadata={"variable": variable, "means": means})


@dataclass(frozen=True)
class Settings:
    """The settings in force. Paths are relative to the working directory."""

    mode: str = _setting("REGISTRY_MODE", "demo", "`demo` or `production`")
    database_url: str = _setting(
        "REGISTRY_DATABASE_URL", "sqlite:///var/registry.db", "SQLAlchemy URL; `postgresql+psycopg://…` for PostgreSQL"
    )
    replica_url: str = _setting(
        "REGISTRY_REPLICA_URL", "", "read replica for searches that tolerate its lag; never for decisions"
    )
    base_url: str = _setting(
        "REGISTRY_BASE_URL", "http://127.0.0.1:8080/fhir", "what links, `aud` and fullUrls are made of"
    )
    policy_file: str = _setting("REGISTRY_POLICY_FILE", "", "TOML with the region's switches")
    keys_dir: str = _setting("REGISTRY_KEYS_DIR", "var/keys", "signing and cursor keys, with rotation")
    issuers_file: str = _setting("REGISTRY_ISSUERS_FILE", "", "TOML: trusted external issuers and their claim maps")
    sources_file: str = _setting("REGISTRY_SOURCES_FILE", "", "TOML: archives to harvest")
    notify_allow: str = _setting(
        "REGISTRY_NOTIFY_ALLOW", "", "origins to which notifications may be sent; loopback in demo mode"
    )
    demo_data: str = _setting("REGISTRY_DEMO_DATA", "1", "`0`: `make run` starts on an empty database")
    references: str = _setting("REGISTRY_REFERENCES", "strict", "`strict` or `lenient`: referential integrity on write")
    workers: int = _setting("REGISTRY_WORKERS", 0, "web server processes; 0 for one a core")
    threads: int = _setting("REGISTRY_THREADS", 4, "threads of each web server process")
    log_level: str = _setting("REGISTRY_LOG_LEVEL", "info", "`debug`, `info`, `warning` or `error`")
    log_format: str = _setting("REGISTRY_LOG_FORMAT", "", "`text` or `json`; `text` on a terminal, else `json`")
    host: str = _setting("HOST", "127.0.0.1", "address that `make run` listens on")
    port: int = _setting("PORT", 8080, "port that `make run` listens on")
    max_bytes: int = _setting("REGISTRY_MAX_BYTES", 5_000_000, "largest request body, in bytes")
    max_entries: int = _setting("REGISTRY_MAX_ENTRIES", 500, "most entries of a batch or transaction")

    @property
    def demo(self) -> bool:
        return self.mode == "demo"

    @property
    def origin(self) -> str:
        """Scheme, host and port of the base URL."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """The settings of an environment. Raises SettingsError."""
        given: dict[str, Any] = {}
        faults = []
        for one in fields(cls):
            text = environ.get(one.metadata["variable"])
            if text is None or text == "":
                continue
            if isinstance(one.default, int):
                if not text.isdecimal():
                    faults.append(f"{one.metadata['variable']} is not a whole number; expected {one.metadata['means']}")
                    continue
                given[one.name] = int(text)
            else:
                given[one.name] = text
        if "base_url" not in given and ("host" in given or "port" in given):
            host, port = given.get("host", cls.host), given.get("port", cls.port)
            given["base_url"] = f"http://{host}:{port}/fhir"
        if "base_url" in given:
            given["base_url"] = given["base_url"].rstrip("/")
        settings = cls(**given)
        faults += settings.faults()
        if faults:
            raise SettingsError("; ".join(faults))
        return settings

    def faults(self) -> list[str]:
        """What is wrong with the set, a sentence each."""
        found = []
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                variable = VARIABLES[name]
                found.append(f"{variable} is not known; expected one of {', '.join(filter(None, allowed))}")
        for name in ("policy_file", "issuers_file", "sources_file"):
            path = getattr(self, name)
            if path and not Path(path).is_file():
                found.append(f"{VARIABLES[name]} names no file; expected a TOML file")
        if not self.base_url.startswith(("http://", "https://")):
            found.append("REGISTRY_BASE_URL is not a web address; expected one like https://registry.example/fhir")
        return found + (self._unsafe() if self.mode == "production" else [])

    def _unsafe(self) -> list[str]:
        found = []
        if not self.base_url.startswith("https://"):
            found.append("REGISTRY_BASE_URL is not https; production expects https")
        if self.keys_dir == VARIABLES_DEFAULT["keys_dir"]:
            found.append("REGISTRY_KEYS_DIR is the demo's; production expects a directory of its own")
        if self.database_url == VARIABLES_DEFAULT["database_url"]:
            found.append("REGISTRY_DATABASE_URL is the demo's; production expects a database of its own")
        return found


_CHOICES = {
    "mode": ("demo", "production"),
    "references": ("strict", "lenient"),
    "demo_data": ("0", "1"),
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("", "text", "json"),
}
VARIABLES = {one.name: one.metadata["variable"] for one in fields(Settings)}
VARIABLES_DEFAULT = {one.name: one.default for one in fields(Settings)}
