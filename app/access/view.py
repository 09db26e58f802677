"""What a request may see of everyone it may be about: the decision, left open in the study."""

from __future__ import annotations

from dataclasses import dataclass

from app.access import information
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.fhir.query import Query
from app.policy import redaction
from app.policy.decide import Person, Residual, residual
from app.policy.grant import Population, Studies, StudyCase
from app.policy.model import Relationship, Request, Requester
from app.policy.predicate import FALSE, Expr
from app.policy.switches import Switches

# Reasons that rest on the request alone, so that telling them tells nothing of any patient.
OF_REQUEST = frozenset(
    {"PURPOSE_MISSING", "PURPOSE_NOT_DIRECT_CARE", "PATIENT_CHANNEL_NOT_ENABLED", "ORGANISATION_MISSING"}
)

NO_RELATIONSHIP = (
    "no care relationship with this patient is recorded at your organisation; expected an active episode of care, a booked"
    " appointment, an MDT team or an urgent referral, or emergency access with its reason"
)
WRONG_PURPOSE = (
    "the purpose of use in the security context is missing or is not direct care; expected TREAT, ETREAT or BTG"
)


@dataclass(frozen=True, slots=True)
class View:
    """What a request may see: a residual for each group in `known`, for anyone else, and for the others of the
    population, of whom nothing is on file but their relationship (None where the request names its patients)."""

    known: information.Known
    population: Population | None
    judged: tuple[Residual, ...]
    otherwise: Residual
    ordinary: Residual | None

    def studies(self) -> Studies:
        """The view as a rule for rows."""
        alike: dict[Expr, tuple[int, ...]] = {}
        for group, one in zip(self.known.groups, self.judged, strict=True):
            alike[one.permit] = alike.get(one.permit, ()) + group.rids
        cases = tuple(StudyCase(rids, permit) for permit, rids in alike.items())
        ordinary = self.ordinary.permit if self.ordinary else FALSE
        return Studies(cases, self.population, ordinary, self.otherwise.permit)


def view(
    switches: Switches,
    subject: Subject,
    requester: Requester,
    known: information.Known,
    population: Population | None,
    at: int,
    action: str = "read",
) -> View:
    """The decision for everyone the request may be about, left open in the study."""
    request = Request(requester, subject.purpose, action, grant=subject.emergency)
    return View(
        known,
        population,
        tuple(residual(request, group.person, switches, at) for group in known.groups),
        residual(request, Person(frozenset({"Patient/*"})), switches, at),
        ordinary(request, switches, at) if population is not None else None,
    )


def ordinary(request: Request, switches: Switches, at: int) -> Residual:
    """The decision for someone with a relationship to the requester and nothing else on file."""
    own = request.requester.organisation
    orgs = frozenset({own}) if own else frozenset()
    episode = Relationship("EpisodeOfCare/*", 0, "episode", "active", "Patient/*", orgs)
    return residual(request, Person(frozenset({"Patient/*"}), relationships=(episode,)), switches, at)


def orders_by_what_is_shown(query: Query) -> None:
    """Refuse an order that would tell what redaction takes away. Raises Fault "forbidden"."""
    for sort in query.sort:
        if redaction.hides(query.type, sort.param.name):
            text = f"this role is not shown what '{sort.param.name}' reads; expected an order by what it is shown"
            raise Fault("forbidden", text, "_sort", detail="ACCESS_DENIED")
