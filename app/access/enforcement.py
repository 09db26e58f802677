"""The policy enforcement point: the only caller of the decision point, and the only maker of a Grant.

Each door asks here first and hands the Grant to storage. What a refusal looks like from outside is
decided here and nowhere else.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.access import duties, information, ownership, permissions
from app.access.narrowing import admits, check_context
from app.access.reasoning import note, reasoned
from app.access.requesting import Requesting
from app.access.scopes import allows, authorize, ceiling
from app.access.subject import Subject
from app.access.view import NO_RELATIONSHIP, OF_REQUEST, WRONG_PURPOSE, View, orders_by_what_is_shown, ordinary, view
from app.fhir.outcome import Fault
from app.fhir.query import Query
from app.fhir.registry import TYPES
from app.policy.duty import Duty
from app.policy.duty import duties as obliged
from app.policy.grant import (
    About,
    AboutPopulation,
    EndpointsOf,
    Everything,
    Grant,
    OwnedBy,
    Population,
    Reasoned,
    Rows,
    Rule,
    Studies,
)
from app.policy.model import Request, Requester
from app.policy.predicate import FALSE, Expr
from app.policy.relationship import RULES
from app.policy.rules import locating_is_reading
from app.storage import audit
from app.storage.engine import Tx
from app.storage.resources import Stored

MATCHING = Subject("registry", "registry", None)  # the registry itself, which asks for nobody

MOST_ORDINARY = 4096
WRITES = frozenset({"create", "update", "patch", "delete"})


@dataclass
class Enforcement(Requesting):
    """Decides for every door. `reads_all` lets the steward read everything, for conformance suites (demo mode)."""

    ordinary: dict[tuple[Requester, str | None], Expr] = field(default_factory=dict)

    # Reading ------------------------------------------------------------------------------------------------------

    def permit(
        self,
        tx: Tx,
        subject: Subject,
        interaction: str,
        type_name: str,
        *,
        query: Query | None = None,
        id: str | None = None,
    ) -> Grant:
        """What this request may touch. Raises Fault "forbidden" where policy tells the requester so."""
        authorize(subject, type_name, interaction)
        within = ceiling(subject, type_name, interaction)
        check_context(tx, within, query if interaction not in WRITES else None)
        grant = self._permit(tx, subject, interaction, type_name, query, id)
        return replace(grant, within=within) if within else grant

    def foreseen(self, tx: Tx, subject: Subject, interaction: str, type_name: str) -> Grant | None:
        """What `permit` will say if the studies asked for are those of somebody with an ordinary relationship to the
        requester and nothing else on file. Storage may look ahead with it; what it finds is released by no other grant
        than one that says the same (app.storage.foresight)."""
        ordinary = type_name == "ImagingStudy" and locating_is_reading(subject.role, self.switches)
        if (
            not ordinary
            or (subject.kind == "steward" and self.reads_all)
            or not allows(subject, type_name, interaction)
        ):
            return None
        shown = self._ordinary(self.requester(tx, subject), subject.purpose, tx.at)
        if shown == FALSE:
            return None
        within = ceiling(subject, type_name, interaction)
        rows: dict[str, tuple[Rule, ...]] = {type_name: (Studies(otherwise=shown),), "Patient": (Everything(),)}
        return Grant("", tx.at, rows, reasons=("FORESEEN",), within=within)

    def _ordinary(self, requester: Requester, purpose: str | None, at: int) -> Expr:
        """The condition for studies of an ordinary patient. It may be out of date: it is only ever compared."""
        key = requester, purpose
        if key not in self.ordinary:
            if len(self.ordinary) >= MOST_ORDINARY:
                self.ordinary.clear()
            self.ordinary[key] = ordinary(Request(requester, purpose), self.switches, at).permit
        return self.ordinary[key]

    def _permit(
        self, tx: Tx, subject: Subject, interaction: str, type_name: str, query: Query | None, id: str | None
    ) -> Grant:
        if subject.kind == "steward" and self.reads_all:
            return note(tx, self._everything(tx, subject))
        if type_name in permissions.PRIVACY_TYPES and not (
            permissions.reads_privacy(subject) or permissions.may_write(subject, type_name)
        ):
            raise Fault(
                "forbidden", f"{type_name} is read by the privacy role alone; expected a client or user of that role"
            )
        if interaction in WRITES:
            self._may_write(subject, type_name, interaction)
            return note(tx, self._for_writing(tx, subject, type_name, query))
        requester = self.requester(tx, subject)
        if subject.role == "clerical" and query is not None:
            orders_by_what_is_shown(query)
        names = information.named(query) if query else None
        if names is not None:
            known = information.of_names(tx, names, sorted(requester.tree), requester.practitioner)
            seen = view(self.switches, subject, requester, known, None, tx.at)
            grant = self._grant(tx, subject, requester, seen)
            if TYPES[type_name].visibility == "study":
                self._openly(tx, seen)
            return grant
        if id is not None and TYPES[type_name].visibility != "endpoint":
            tree = sorted(requester.tree)
            if type_name == "AuditEvent":  # no resource of its own: it is about the patient that its row names
                about = information.Names(ids=audit.about(tx, id))
                known = information.of_names(tx, about, tree, requester.practitioner)
            else:
                known = information.of_resource(tx, type_name, id, tree, requester.practitioner)
            return self._grant(tx, subject, requester, view(self.switches, subject, requester, known, None, tx.at))
        kinds = information.touched(query) if query else frozenset({type_name} if id else TYPES)
        if all(TYPES[kind].visibility in ("directory", "conformance", "own", "privacy") for kind in kinds):
            seen = view(self.switches, subject, requester, information.Known(), None, tx.at)
            return self._grant(tx, subject, requester, seen)
        few = information.narrowed(tx, query) if query else None
        if few is not None:
            known = information.of_patients(tx, few, sorted(requester.tree), requester.practitioner)
            seen = view(self.switches, subject, requester, known, None, tx.at)
            return self._grant(tx, subject, requester, seen, unnamed=True)
        population = Population(tuple(sorted(requester.tree)), requester.practitioner, RULES(self.switches), tx.at)
        known = information.of_population(tx, population, requester.groups, self.switches.opt_out_binds_origin)
        return self._grant(tx, subject, requester, view(self.switches, subject, requester, known, population, tx.at))

    def _shows_own(self, tx: Tx, seen: View) -> tuple[bool, ...]:
        """For each group, whether the requester's organisation made a study of theirs that it may see: then, too, the
        patient is no stranger. One that is withheld (P1) counts as if it were not there."""
        return tuple(
            group.owns_study
            and one.permit != FALSE
            and (not self.switches.opt_out_binds_origin or information.shows_any(tx, group.rids, one.permit))
            for group, one in zip(seen.known.groups, seen.judged, strict=True)
        )

    def _openly(self, tx: Tx, seen: View) -> None:
        """Refuse a search that names a patient where policy says so to the requester's face.

        It rests on the request and the relationship alone, never on whether there are studies of others.
        """
        if any(self._shows_own(tx, seen)):
            return
        if seen.otherwise.cases[-1][1].reasons[0] in OF_REQUEST:
            raise Fault("forbidden", WRONG_PURPOSE, detail="ACCESS_DENIED")
        if not any(one.related for one in seen.judged):
            raise Fault("forbidden", NO_RELATIONSHIP, detail="ACCESS_DENIED", reason="NO_RELATIONSHIP")

    def _grant(self, tx: Tx, subject: Subject, requester: Requester, seen: View, unnamed: bool = False) -> Grant:
        """`unnamed`: the request itself names no patient, so that only those are recorded of whom it was told."""
        at = tx.at
        shown = seen.studies()
        located = shown
        if not locating_is_reading(subject.role, self.switches):
            located = view(self.switches, subject, requester, seen.known, seen.population, at, "locate").studies()
        judged = tuple(zip(seen.known.groups, seen.judged, strict=True))
        own = self._shows_own(tx, seen)
        met = zip(judged, own, strict=True)
        related = tuple(rid for (group, one), shows in met if one.related or shows for rid in group.rids)
        tree = tuple(sorted(requester.tree))
        about: tuple[Rule, ...] = (About(related),) if related else ()
        if seen.population is not None:
            about = (*about, AboutPopulation(seen.population, shown.apart))
        left = [one for one in (*seen.judged, seen.otherwise, seen.ordinary) if one is not None]
        permits = [decision for one in left for _, decision in one.cases if decision.permitted]
        because = {
            seen.known.records[rid]: said for group, one in judged for said in (reasoned(one),) for rid in group.rids
        }
        others = unnamed or seen.population is not None
        request = Request(requester, subject.purpose, grant=subject.emergency)
        due = tuple(
            one
            for group, left in judged
            for one in obliged(request, group.person, (decision for _, decision in left.cases), at)
        )
        if due:
            self.discharge(tx, due)

        def reason(rids: tuple[int, ...]) -> dict[int, tuple[str, Reasoned]]:
            known = information.of_patients(tx, rids, sorted(requester.tree), requester.practitioner)
            found = view(self.switches, subject, requester, known, None, at)
            said = zip(known.groups, map(reasoned, found.judged), strict=True)
            return {rid: (known.records[rid], one) for group, one in said for rid in group.rids}

        return note(
            tx,
            Grant(
                decision=str(uuid.uuid4()),
                at=at,
                rows=self._rows(subject, tree, about, shown, located),
                locate=None if located == shown else located,
                redact=seen.otherwise.redact,
                until=min((d.expires for d in permits if d.expires is not None), default=None),
                reasons=reasoned(seen.otherwise).reasons,
                policy=self.switches.hash,
                purpose=subject.purpose,
                patients=seen.known.records,
                writer=subject.organisation,
                reasoned=because,
                reason=reason if others else None,
                due=due,
            ),
        )

    def _rows(
        self, subject: Subject, tree: tuple[str, ...], about: tuple[Rule, ...], shown: Studies, locate: Studies
    ) -> dict[str, tuple[Rule, ...]]:
        own = OwnedBy(tree)
        privacy: tuple[Rule, ...] = (own, *about) if permissions.reads_privacy(subject) else ()
        rules: dict[str, tuple[Rule, ...]] = {
            "study": (shown,),
            "person": (own, *about),
            "care": (own, *about),
            "privacy": privacy,
            "directory": (Everything(),),
            "conformance": (Everything(),),
            "endpoint": (own, EndpointsOf(locate)) if locate != Studies() else (own,),
            "own": (own,),
        }
        return {name: rules[definition.visibility] for name, definition in TYPES.items()}

    def _everything(self, tx: Tx, subject: Subject) -> Grant:
        return Grant(
            decision=str(uuid.uuid4()),
            at=tx.at,
            rows={name: (Everything(),) for name in TYPES},
            reasons=("STEWARD",),
            policy=self.switches.hash,
            purpose=subject.purpose,
            writer=subject.organisation,
        )

    def discharge(self, tx: Tx, due: tuple[Duty, ...]) -> int:
        """Carry out what decisions oblige to; again where their transaction was undone by a refusal. How many tasks
        were made."""
        return duties.carry_out(tx, Grant(str(uuid.uuid4()), tx.at, {}, policy=self.switches.hash), due)

    def for_export(self, tx: Tx, subject: Subject) -> Grant:
        """What an operator at the command line exports: everything, as a disclosure that is recorded as one. Whoever has
        the command line has the database; this is no door of the web server."""
        authorize(subject, "Patient", "search-type")
        if subject.kind != "steward":
            raise Fault("forbidden", "an export is the region's operator's alone; expected its command line")
        return replace(self._everything(tx, subject), reasons=("OPERATOR_EXPORT",))

    def permit_match(self, tx: Tx, subject: Subject) -> Grant:
        """The patients who may be matched: anyone for a feed, which would else make them twice; for anyone else those
        that a search may find."""
        authorize(subject, "Patient", "search-type")
        feed = subject.practitioner is None and subject.role == "system"
        if not (feed and any(permissions.may_write(subject, name) for name in ("Patient", "ImagingStudy"))):
            return self.permit(tx, subject, "search-type", "Patient")
        grant = self._for_writing(
            tx, subject, "Patient" if permissions.may_write(subject, "Patient") else "ImagingStudy", None
        )
        return note(tx, replace(grant, rows={"Patient": (Everything(),)}))

    def for_study(self, tx: Tx, subject: Subject, id: str) -> Grant:
        """One study, for the privacy role to have its decision explained. Never the grant of an answer."""
        authorize(subject, "ImagingStudy", "read")
        rows: dict[str, tuple[Rule, ...]] = {"ImagingStudy": (Rows((id,)),)}
        return Grant(str(uuid.uuid4()), tx.at, rows, reasons=("EXPLANATION",), policy=self.switches.hash)

    def for_explaining(self, tx: Tx, patients: tuple[int, ...]) -> Grant:
        """What the decision point itself must read to say why: the patient's studies. Never the grant of an answer."""
        return self.for_deciding(tx, "EXPLANATION", "ImagingStudy", patients=patients)

    def for_deciding(self, tx: Tx, why: str, *types: str, patients: tuple[int, ...] | None = None) -> Grant:
        """What is read on the way to a decision, of these patients or of all; what is shown is for the decision to say."""
        rule: Rule = Everything() if patients is None else About(patients)
        return Grant(
            decision=str(uuid.uuid4()),
            at=tx.at,
            rows=dict.fromkeys(types, (rule,)),
            reasons=(why,),
            policy=self.switches.hash,
        )

    def for_matching(self, tx: Tx) -> Grant:
        """What finding out whom an event concerns must read: every version. What is sent is permitted when it is sent."""
        return replace(self._everything(tx, MATCHING), reasons=("MATCHING",))

    # Writing ------------------------------------------------------------------------------------------------------

    def _for_writing(self, tx: Tx, subject: Subject, type_name: str, query: Query | None) -> Grant:
        """The rows that a write may find: the organisation's own. A patient is found by exact identifier, to be
        matched and never made twice."""
        self._may_write(subject, type_name)
        asked, found = tx.memory.get(("writing", type_name), (None, None))
        if asked == subject:
            return found  # type: ignore[no-any-return]
        tx.memory["writing", type_name] = subject, (grant := self._writing(tx, subject))
        return grant

    def _writing(self, tx: Tx, subject: Subject) -> Grant:
        tree = tuple(sorted(self.requester(tx, subject).tree))
        rows: dict[str, tuple[Rule, ...]] = {name: (OwnedBy(tree),) for name in TYPES}
        rows |= {name: (Everything(),) for name, d in TYPES.items() if d.visibility in ("directory", "conformance")}
        rows["Patient"] = (Everything(),)
        if subject.kind == "steward":
            rows = {name: (Everything(),) for name in TYPES}
        return Grant(
            decision=str(uuid.uuid4()),
            at=tx.at,
            rows=rows,
            reasons=("WRITER",),
            policy=self.switches.hash,
            purpose=subject.purpose,
            writer=None if subject.kind == "steward" else subject.organisation,
        )

    def for_joining(self, tx: Tx, subject: Subject, current: Stored | None = None) -> Grant:
        """What a writer's study is joined with: any study, found by its exact UID and shown to nobody. It stays with the
        organisation of `current`, to which the writer adds."""
        grant = self._for_writing(tx, subject, "ImagingStudy", None)
        owner = current.owner if current else grant.writer
        return replace(grant, rows={**grant.rows, "ImagingStudy": (Everything(),)}, writer=owner)

    def for_naming(self, tx: Tx, subject: Subject, type_name: str, id: str) -> Grant:
        """What a writer may name in a resource: what it may see, or keeps itself. To refuse the name of anything else
        in another way than the name of nothing would tell that it is there."""
        if subject.kind == "steward":
            return self._for_writing(tx, subject, type_name, None)
        grant = self._permit(tx, subject, "read", type_name, None, id)
        rows = grant.rows.get(type_name, ())
        if permissions.may_write(subject, type_name):
            rows = (OwnedBy(tuple(sorted(self.requester(tx, subject).tree))), *rows)
        return replace(grant, rows={type_name: rows})

    def permit_write(
        self,
        tx: Tx,
        subject: Subject,
        interaction: str,
        resource: dict[str, Any],
        current: Stored | None = None,
    ) -> Grant:
        """Whether this client may write this. Raises Fault "forbidden" when the type, the organisation that the
        resource names, or the one that holds the current version is not the client's."""
        type_name = resource["resourceType"]
        asked, free = tx.memory.get(("writes any", type_name, interaction), (None, None))
        if asked is subject and free is not None:
            return note(tx, free)
        self.check_writer(subject, interaction, type_name)
        slices = ceiling(subject, type_name, interaction).get(type_name)
        if slices is not None and not admits(tx, slices, resource):
            raise Fault("forbidden", f"the token's scopes do not reach this {type_name}; expected one that they name")
        grant = note(tx, self._for_writing(tx, subject, type_name, None))
        kept = permissions.kept(subject, type_name)
        if kept is not None and kept.whose != permissions.ANY:
            requester = self.requester(tx, subject)
            ownership.check(tx, kept, requester.tree, resource, current, grant.writer, self.cares(tx, subject))
        elif slices is None:  # whatever the resource says
            tx.memory["writes any", type_name, interaction] = subject, grant
        return grant

    def cares(self, tx: Tx, subject: Subject) -> Callable[[str], bool]:
        """Whether the subject's organisation has a part in the care of a patient (an id), or made one of their studies."""
        requester = self.requester(tx, subject)

        def cares(id: str) -> bool:
            known = information.of_names(
                tx, information.Names(ids=(id,)), sorted(requester.tree), requester.practitioner
            )
            seen = view(self.switches, subject, requester, known, None, tx.at)
            return any(one.related for one in seen.judged) or any(self._shows_own(tx, seen))

        return cares

    def check_writer(self, subject: Subject, interaction: str, type_name: str) -> None:
        """Raises Fault "forbidden" unless scopes and registration let the client write the type at all."""
        authorize(subject, type_name, interaction)
        self._may_write(subject, type_name, interaction)

    @staticmethod
    def may_choose_ids(subject: Subject, type_name: str) -> bool:
        """Whether an update may create: for studies and reports the steward's alone, since a taken id would tell."""
        return subject.kind == "steward" or TYPES[type_name].visibility != "study"

    @staticmethod
    def _may_write(subject: Subject, type_name: str, interaction: str | None = None) -> None:
        if not permissions.may_write(subject, type_name, interaction):
            raise Fault(
                "forbidden",
                f"this client may not write {type_name}; expected a client registered to keep that type",
                detail="ACCESS_DENIED",
            )


__all__ = ["Enforcement", "Rows"]
