"""Keys in a directory: signing keys with rotation (two are live), and secrets for sealing. Made on first use, mode 0600.

A token names its key by `kid`; keys are looked up in this directory alone, whatever else a token's header says. A key
that another process has made is found as soon as a token names it, and signs from the next token on.
"""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from app.smart import jose

ALGORITHM = "ES384"
IDENTITY_ALGORITHM = "RS256"  # which every OpenID Connect client understands
LIVE = 2


@dataclass
class Ring:
    """The keys of one use: files `NAME-000001.json`, the newest signs, `LIVE` are good."""

    directory: Path
    name: str
    algorithm: str
    keys: list[jose.Key] = field(default_factory=list)
    stamp: int = -1

    def files(self) -> list[Path]:
        return sorted(self.directory.glob(f"{self.name}-*.json"))

    def current(self) -> list[jose.Key]:
        """The keys as they stand in the directory now, oldest first; the first is made when it is asked for."""
        stamp = self.directory.stat().st_mtime_ns
        if stamp != self.stamp or not self.keys:
            if not self.files():
                self.rotate()
            self.keys = [self._import(orjson.loads(path.read_bytes())) for path in self.files()]
            self.stamp = stamp
        return self.keys

    def _import(self, document: dict[str, Any]) -> jose.Key:
        return RSAKey.import_key(document) if document["kty"] == "RSA" else ECKey.import_key(document)

    def rotate(self) -> str:
        """Make a new key, which signs from now on; its kid. The one before stays good for what it has signed."""
        files = self.files()
        number = int(files[-1].stem.split("-")[1]) + 1 if files else 1
        parameters: Any = {"kid": secrets.token_urlsafe(9), "use": "sig", "alg": self.algorithm}
        key: jose.Key
        if self.algorithm.startswith("RS"):
            key = RSAKey.generate_key(2048, parameters=parameters)
        else:
            key = ECKey.generate_key("P-384", parameters=parameters)
        _write(self.directory / f"{self.name}-{number:06d}.json", _json(key.as_dict(private=True)))
        for old in self.files()[:-LIVE]:
            old.unlink(missing_ok=True)
        self.keys = []
        return str(parameters["kid"])

    def sign(self, claims: dict[str, Any], typ: str) -> str:
        """A JWT under the newest key."""
        key = self.current()[-1]
        header = {"alg": self.algorithm, "kid": key.kid, "typ": typ}
        return jwt.encode(header, claims, key, algorithms=[self.algorithm])

    def verify(self, token: str, typ: str) -> dict[str, Any] | None:
        """The claims of a JWT that one of these keys signed, of this `typ`; None for anything else."""
        try:
            found = jose.read(token, self.current(), [self.algorithm])
        except jose.BadToken:
            return None
        return dict(found.claims) if found.header.get("typ") == typ else None


class KeyStore:
    """The keys of one directory: those of access tokens, those of id tokens, and secrets."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.access = Ring(self.directory, "signing", ALGORITHM)
        self.identity = Ring(self.directory, "identity", IDENTITY_ALGORITHM)
        self.access.current()
        self._fernet = Fernet(base64.urlsafe_b64encode(self.secret("seal")))

    def rotate(self) -> None:
        """New keys for both uses."""
        self.access.rotate()
        self.identity.rotate()

    def secret(self, name: str) -> bytes:
        """32 bytes that stay the same for this directory."""
        path = self.directory / f"{name}.key"
        if not path.exists():
            _write(path, base64.b64encode(os.urandom(32)))
        return base64.b64decode(path.read_bytes())

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        return {"keys": [key.as_dict(private=False) for ring in (self.access, self.identity) for key in ring.current()]}

    def sign(self, claims: dict[str, Any], typ: str) -> str:
        """An access token."""
        return self.access.sign(claims, typ)

    def verify(self, token: str, typ: str) -> dict[str, Any] | None:
        """The claims of an access token that was signed here; None for anything else."""
        return self.access.verify(token, typ)

    def seal(self, content: bytes) -> str:
        """Encrypted and signed, as text for an address."""
        return self._fernet.encrypt(content).decode().rstrip("=")

    def open_seal(self, text: str) -> bytes:
        """What was sealed. Raises ValueError."""
        try:
            return self._fernet.decrypt(text.encode() + b"=" * (-len(text) % 4))
        except (InvalidToken, UnicodeError) as error:
            raise ValueError("not sealed here") from error


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by the owner alone; where another process was first, its file stays."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
