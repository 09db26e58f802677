"""The archives that stand behind the proxy, from the TOML file that REGISTRY_ARCHIVES_FILE names.

[[archive]]
endpoint = "birchwater-archive"                    # the Endpoint's id; the proxy's address is /archive/proxy/ and it
address = "https://pacs.internal.example/dicom-web" # the DICOMweb base, without /studies
username = "registry"                              # HTTP Basic; or token_file, for a bearer token of the archive's own
password_file = "/run/secrets/birchwater"
ca_file = "/etc/ssl/internal.pem"                  # what its certificate is checked with, where that is not public
timeout = 30                                       # seconds without a byte from it
"""

from __future__ import annotations

import re
import tomllib
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.config import SettingsError

TEXTS = ("endpoint", "address", "username", "password_file", "token_file", "ca_file")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class Wrong(ValueError):
    """The file cannot be used; the text says what was wrong, then what was expected."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One `[[archive]]`. `address` ends without a slash."""

    endpoint: str
    address: str
    username: str | None = None
    password_file: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    timeout: float = 30.0

    def authorization(self) -> dict[str, str]:
        """What proves the registry to the archive, read when needed and kept nowhere."""
        if self.token_file is not None:
            return {"Authorization": f"Bearer {_secret(self.token_file)}"}
        if self.username is not None and self.password_file is not None:
            pair = f"{self.username}:{_secret(self.password_file)}"
            return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        return {}


def _secret(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


def load(path: str) -> dict[str, Archive]:
    """The archives of a file by the ids of their Endpoints; none where no file is named. Raises SettingsError."""
    try:
        return parse(Path(path).read_text(encoding="utf-8")) if path else {}
    except Wrong as wrong:
        raise SettingsError([f"REGISTRY_ARCHIVES_FILE: {wrong}"]) from None


def parse(text: str) -> dict[str, Archive]:
    """The archives of a TOML text. Raises Wrong."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Wrong(f"the archives file is not TOML: {error}") from None
    entries = said.get("archive", [])
    if not isinstance(entries, list) or said.keys() - {"archive"}:
        raise Wrong("the archives file holds something else; expected [[archive]] tables alone")
    found: dict[str, Archive] = {}
    for entry in entries:
        made = _entry(entry)
        if made.endpoint in found:
            raise Wrong(f"archive {made.endpoint} is there twice; expected each Endpoint once")
        found[made.endpoint] = made
    return found


def _entry(entry: dict[str, Any]) -> Archive:
    name = entry.get("endpoint")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise Wrong("an archive has no endpoint; expected the id of its Endpoint")
    if unknown := sorted(entry.keys() - {*TEXTS, "timeout"}):
        raise Wrong(f"archive {name} has {unknown[0]}, which is not known; expected {', '.join(TEXTS)} or timeout")
    if any(not isinstance(entry[one], str) or not entry[one] for one in TEXTS if one in entry):
        raise Wrong(f"archive {name} has a value that is no text; expected text for {', '.join(TEXTS)}")
    if not _is_base(entry.get("address", "")):
        raise Wrong(
            f"archive {name} has no usable address; expected a DICOMweb base such as https://pacs.example/dicom-web"
        )
    if ("username" in entry) != ("password_file" in entry) or ("username" in entry and "token_file" in entry):
        raise Wrong(f"archive {name} proves the registry by halves; expected username and password_file, or token_file")
    for one in ("password_file", "token_file", "ca_file"):
        if one in entry and not Path(entry[one]).is_file():
            raise Wrong(f"{one} of archive {name} names no file; expected one")
    timeout = entry.get("timeout", 30)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 600:
        raise Wrong(f"timeout of archive {name} is out of range; expected seconds up to 600")
    return Archive(
        **{one: entry[one] for one in TEXTS if one in entry and one != "address"},
        address=entry["address"].rstrip("/"),
        timeout=float(timeout),
    )


def _is_base(address: str) -> bool:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    return good and not (parts.query or parts.fragment or parts.username is not None) and address.isprintable()
