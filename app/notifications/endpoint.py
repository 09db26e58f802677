"""Sending to an address that somebody else chose: to allowed origins only, to the address that was checked, no further.

OWASP on server-side request forgery is what it guards against. Every address that the host's name stands for must be a
public one; the connection then goes to that address, so that a second look-up cannot lead elsewhere. No redirect is
followed, and little of the answer is read.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import certifi
import urllib3

from app.config import LOOPBACK, Settings

MOST_READ = 65_536
POOLS = 64


class Undeliverable(Exception):
    """Why it could not be sent, in words that name no address and no person."""


def check(settings: Settings, address: str) -> None:
    """Raises Undeliverable for an address to which nothing may be sent, whatever its name stands for."""
    if settings.notify != "on":
        raise Undeliverable("notifications are switched off here")
    if not settings.may_notify(address):
        raise Undeliverable("the address is not of an allowed origin; expected one of REGISTRY_NOTIFY_ALLOW")


def signature(key: bytes, at: int, body: bytes) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA-256 of the seconds, a full stop and the body."""
    seconds = at // 1_000_000
    return f"t={seconds},v1={hmac.new(key, b'%d.' % seconds + body, hashlib.sha256).hexdigest()}"


class Sender:
    """Connections kept for the addresses last sent to. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pools: OrderedDict[tuple[str, str, int, str], urllib3.HTTPConnectionPool] = OrderedDict()

    def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> None:
        """Send once. Raises Undeliverable for anything but an answer of success."""
        check(self.settings, url)
        parts = urlsplit(url)
        pool = self._pool(parts, self._resolved(parts))
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        host = parts.netloc.rsplit("@", 1)[-1]
        try:
            answer = pool.urlopen(
                method,
                target,
                body=body,
                headers={**headers, "Host": host},
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=min(5.0, timeout), read=timeout),
                preload_content=False,
                assert_same_host=False,
            )
            status = answer.status
            answer.read(MOST_READ)
            if answer.read(1):
                answer.close()  # more than anybody has to say: the connection is of no further use
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Undeliverable(
                f"the receiver could not be reached or did not answer ({type(error).__name__})"
            ) from None
        if not 200 <= status < 300:
            raise Undeliverable(f"the receiver answered {status}; expected a status of success")

    def _resolved(self, parts: SplitResult) -> str:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            found = {str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        except OSError:
            raise Undeliverable("the receiver's name could not be resolved") from None
        local = self._may_be_local(parts)
        for one in found:
            address = ipaddress.ip_address(one.split("%")[0])
            if not (address.is_global and not address.is_multicast) and not (local and address.is_loopback):
                raise Undeliverable("the receiver's name stands for an address that is not public")
        return min(found, key=lambda one: (":" in one, one))

    def _may_be_local(self, parts: SplitResult) -> bool:
        """Only an origin that names this machine, allowed as such, may stand for it."""
        names = {urlsplit(one.replace(":*", "")).hostname for one in LOOPBACK}
        return parts.hostname in names

    def _pool(self, parts: SplitResult, address: str) -> urllib3.HTTPConnectionPool:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        key = (parts.scheme, parts.hostname or "", port, address)
        pool = self.pools.get(key)
        if pool is None:
            if parts.scheme == "https":
                pool = urllib3.HTTPSConnectionPool(
                    address,
                    port,
                    maxsize=1,
                    server_hostname=parts.hostname,
                    assert_hostname=parts.hostname,
                    cert_reqs="CERT_REQUIRED",
                    ca_certs=certifi.where(),
                )
            else:
                pool = urllib3.HTTPConnectionPool(address, port, maxsize=1)
            self.pools[key] = pool
            while len(self.pools) > POOLS:
                self.pools.popitem(last=False)[1].close()
        self.pools.move_to_end(key)
        return pool

    def close(self) -> None:
        for pool in self.pools.values():
            pool.close()
        self.pools.clear()
