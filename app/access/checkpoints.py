"""Signed statements of how far the audit has come, kept outside the database: one for each day that is over, and one of
how things stand, renewed as rows are linked. JWS (RFC 7515) by a key that serves nothing else.

Whoever changes the database cannot change them; whoever has the key's thumbprint (RFC 7638) written down somewhere can
tell that the key is still the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from app.storage.chain import Head

ALGORITHM = "ES384"
KEY_FILE = "audit-signing.json"
STANDING = "standing.jws"


def written(day: int) -> str:
    """A day of the chain as it is written."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one statement says, once its signature is good. `last`: hash of the day's last link; `root`: of its tree."""

    day: str
    count: int
    last: str
    root: str
    previous: str

    @classmethod
    def of(cls, head: Head, previous: str) -> Checkpoint:
        return cls(written(head.day), head.count, head.hash.hex(), head.root.hex(), previous)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Key:
    """The key that signs, or (from an export) the one that is said to have signed."""

    def __init__(self, key: ECKey) -> None:
        self._key = key

    @classmethod
    def of_directory(cls, directory: str | Path) -> Key:
        """The key in a keys directory, made on first use. Of two processes that make it at once the first wins."""
        path = Path(directory) / KEY_FILE
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = ECKey.generate_key("P-384", parameters={"use": "sig", "alg": ALGORITHM})
            _once(path, orjson.dumps(made.as_dict(private=True)))
        return cls(ECKey.import_key(orjson.loads(path.read_bytes())))

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> Key:
        """A public key. Raises ValueError."""
        try:
            return cls(ECKey.import_key(content))
        except (JoseError, KeyError, TypeError) as error:
            raise ValueError("not a key") from error

    @property
    def thumbprint(self) -> str:
        return str(self._key.thumbprint())

    @property
    def public(self) -> dict[str, Any]:
        return dict(self._key.as_dict(private=False))

    def sign(self, said: dict[str, Any]) -> str:
        header = {"alg": ALGORITHM, "kid": self.thumbprint, "typ": "audit+jws"}
        return str(jws.serialize_compact(header, orjson.dumps(said), self._key, algorithms=[ALGORITHM]))

    def open(self, statement: str) -> dict[str, Any] | None:
        """What a statement says; None where it was not signed by this key."""
        try:
            found = jws.deserialize_compact(statement, self._key, algorithms=[ALGORITHM])
            said = orjson.loads(found.payload)
        except (JoseError, ValueError, TypeError):
            return None
        return said if isinstance(said, dict) else None


class Checkpoints:
    """The folder of statements, and the key that signs them."""

    def __init__(self, directory: str | Path, key: Key) -> None:
        self.directory = Path(directory)
        self.key = key

    def keep(self, heads: Iterable[Head], at: int) -> None:
        """Write what is not there yet: every day but the last is over. Whole files or none, and none twice."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        previous, newest = "", None
        for head in heads:
            if newest is not None:
                previous = self._closed(newest, previous, at)
            newest = head
        if newest is not None:
            said = Checkpoint.of(newest, previous).as_json() | {"made": _instant(at)}
            _replace(self.directory / STANDING, self.key.sign(said).encode())

    def _closed(self, head: Head, previous: str, at: int) -> str:
        path = self.directory / f"{written(head.day)}.jws"
        if not path.exists():
            _once(path, self.key.sign(Checkpoint.of(head, previous).as_json() | {"made": _instant(at)}).encode())
        return digest(path.read_text())

    def statements(self) -> dict[str, str]:
        """Statement by day, and the newest under `standing`; as they lie in the folder, good or not."""
        return {path.stem: path.read_text() for path in sorted(self.directory.glob("*.jws")) if path.name[0] != "."}


def digest(statement: str) -> str:
    """How the next statement names this one."""
    return sha256(statement.encode()).hexdigest()


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).isoformat()


def _once(path: Path, content: bytes) -> None:
    temporary = _temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _replace(path: Path, content: bytes) -> None:
    _temporary(path, content).replace(path)


def _temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
