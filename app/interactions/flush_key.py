"""The key under which a gate is told that permissions have ended."""

from __future__ import annotations

from app.interactions import Services
from app.interactions.subscribing import signing_key


def flush_key(services: Services, client: str) -> bytes:
    """The key of a gate's client: derived, kept nowhere; the gate is given it in hex when it is installed."""
    return signing_key(services, f"gate:{client}")
