"""/desk/sources and /desk/subscriptions: how archives and subscribers stand. No patient is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response

from app.interactions import source_health, subscription_health
from app.web.desk.room import Room

WIDTH, HEIGHT = 300, 60


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, drawn on the server. `x`, `y`, `width`, `height` in the units of the picture."""

    x: float
    y: float
    width: float
    height: float
    bad: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """`says` is what the picture shows, in words."""

    bars: tuple[Bar, ...]
    says: str
    width: int = WIDTH
    height: int = HEIGHT


def chart(days: Sequence[tuple[str, int, int]]) -> Chart | None:
    """A bar a day for what came, and a red one on top for what failed; None where there is nothing to draw."""
    if not days:
        return None
    top = max(1, *(good + bad for _, good, bad in days))
    step = WIDTH / max(len(days), 7)
    bars = []
    for place, (_, good, bad) in enumerate(days):
        high, red = HEIGHT * good / top, HEIGHT * bad / top
        bars.append(Bar(round(place * step, 1), round(HEIGHT - high, 1), round(step * 0.8, 1), round(high, 1), False))
        if bad:
            bars.append(
                Bar(round(place * step, 1), round(HEIGHT - high - red, 1), round(step * 0.8, 1), round(red, 1), True)
            )
    good, bad = sum(one[1] for one in days), sum(one[2] for one in days)
    says = f"{days[0][0]} to {days[-1][0]}: {good} studies, {bad} failures; on the busiest day {top}"
    return Chart(tuple(bars), says)


def add(room: Room) -> None:
    """Both pages, those that need somebody first."""
    services = room.services

    @room.pages.get("/sources")
    def sources() -> Response:
        with services.store.begin(reads=True) as tx:
            found = source_health.health(services, tx)
        return room.show("sources", found=[(one, chart(one.history)) for one in found])

    @room.pages.get("/subscriptions")
    def subscriptions() -> Response:
        with services.store.begin(reads=True) as tx:
            found = subscription_health.health(services, tx)
        return room.show(
            "subscriptions", found=found, most=max([1, *(one.sent + one.pending + one.dead for one in found)])
        )
