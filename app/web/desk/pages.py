"""The addresses of the desk, joined: what privacy officers see, and what clinicians and coordinators do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Blueprint, Response

from app.fhir.outcome import Fault
from app.interactions import Services, source_health
from app.pages import Visitor
from app.pathways import identity_review
from app.pathways.choice import desk
from app.web.desk import audit, care, health, holds, paper, policy, requests, tasks
from app.web.desk.room import CARING, OFFICERS, Room


def blueprints(services: Services, visitor: Callable[[], Visitor | None]) -> Iterator[Blueprint]:
    """`visitor` is whoever is signed in at this browser."""
    room = Room("desk", services, visitor, OFFICERS)
    for part in (requests, paper, tasks, holds, audit, policy, health):
        part.add(room)

    @room.pages.get("")
    def overview() -> Response:
        """How much waits, and whether it is late."""
        try:
            waiting = desk.worklist(services, room.asked)
        except Fault as fault:
            if fault.status != 403:
                raise
            waiting = []
        reviews, held = tasks.listed(room), identity_review.holds(services, room.asked)
        with services.store.begin(reads=True) as tx:
            sources = source_health.health(services, tx)
        return room.show("overview", waiting=waiting, reviews=reviews, holds=held, sources=sources, kinds=tasks.KINDS)

    yield room.pages
    treating = Room("care", services, visitor, CARING)
    care.add(treating)
    yield treating.pages
