"""Keys in a directory: signing keys with rotation (two are live), and secrets for sealing. Made on first use, mode 0600.

A token names its key by `kid`; keys are looked up in this directory alone, whatever else a token's header says.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

ALGORITHM = "ES384"
LIVE = 2


class KeyStore:
    """The keys of one directory."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._files():
            self.rotate()
        self._keys = self._load()
        self._fernet = Fernet(base64.urlsafe_b64encode(self.secret("seal")))

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob("signing-*.json"))

    def _load(self) -> list[ECKey]:
        return [ECKey.import_key(orjson.loads(path.read_bytes())) for path in self._files()]

    def rotate(self) -> None:
        """Make a new signing key; the one before stays good for what it has signed, older ones go."""
        files = self._files()
        number = int(files[-1].stem.split("-")[1]) + 1 if files else 1
        kid = secrets.token_urlsafe(9)
        key = ECKey.generate_key("P-384", parameters={"kid": kid, "use": "sig", "alg": ALGORITHM})
        _write(self.directory / f"signing-{number:06d}.json", _json(key.as_dict(private=True)))
        for old in self._files()[:-LIVE]:
            old.unlink()
        self._keys = self._load()

    def secret(self, name: str) -> bytes:
        """32 bytes that stay the same for this directory."""
        path = self.directory / f"{name}.key"
        if not path.exists():
            _write(path, base64.b64encode(os.urandom(32)))
        return base64.b64decode(path.read_bytes())

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def sign(self, claims: dict[str, Any], typ: str) -> str:
        """A JWT under the newest key."""
        key = self._keys[-1]
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": typ}, claims, key, algorithms=[ALGORITHM])

    def verify(self, token: str, typ: str) -> dict[str, Any] | None:
        """The claims of a JWT that one of these keys signed, of this `typ`; None for anything else."""
        try:
            found = jwt.decode(token, KeySet([*self._keys]), algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        header = found.header
        if header.get("typ") != typ or "crit" in header or not isinstance(header.get("kid"), str):
            return None
        return found.claims

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
