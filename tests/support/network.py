"""No test reaches beyond this machine: names other than its own are not resolved, and only loopback is connected to."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

OWN_NAMES = frozenset({"localhost", "", None})


class Blocked(RuntimeError):
    """A test wanted to leave the machine. No OSError, so that nothing takes it for an ordinary failure of the network."""


def guard() -> None:
    """From here on, in this process."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    socket.socket.sendto = _guarded_sendto(socket.socket.sendto)  # type: ignore[method-assign,assignment]
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        told = host.decode() if isinstance(host, bytes) else host
        if told not in OWN_NAMES and not _loopback(told):
            raise Blocked("a test wanted to look up a name; expected localhost or a loopback address")
        return resolve(host, *arguments, **named)

    socket.getaddrinfo = getaddrinfo


def _guarded(real: Any) -> Any:
    def call(self: socket.socket, address: Any) -> Any:
        _check(self, address)
        return real(self, address)

    return call


def _guarded_sendto(real: Any) -> Any:
    def sendto(self: socket.socket, data: Any, *rest: Any) -> Any:
        _check(self, rest[-1])
        return real(self, data, *rest)

    return sendto


def _check(used: socket.socket, address: Any) -> None:
    if used.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in OWN_NAMES and not _loopback(address[0]):
        raise Blocked("a test wanted to connect to another machine; expected loopback alone")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
