"""`policy simulate`: whose access would open or close under another file, over everyone who is stored.

In bulk: persons by the hundred with one statement for their facts, a decision for each person and requester, and
studies only of those for whom the two files leave different conditions. Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from app.access import information
from app.access.enforcement import Enforcement
from app.access.explain import studies_of
from app.policy import simulate
from app.policy.model import Requester
from app.policy.switches import Switches
from app.storage.engine import Store, Tx

BATCH = 200


@dataclass(frozen=True, slots=True)
class Found:
    """One study that one requester would see differently. `patient` is a pseudonym, the same throughout one run."""

    organisation: str
    role: str
    practitioner: str | None
    patient: str
    change: simulate.Change

    def as_json(self) -> dict[str, Any]:
        one = self.change
        return {
            "organisation": self.organisation,
            "role": self.role,
            "practitioner": self.practitioner,
            "patient": self.patient,
            "study": one.study,
            "before": one.before,
            "after": one.after,
            "reasons": list(one.because),
        }


@dataclass
class Report:
    persons: int = 0
    decisions: int = 0
    found: list[Found] = field(default_factory=list)

    def summary(self) -> list[dict[str, Any]]:
        """For each organisation and role: patients and studies that open, and that close."""
        rows: dict[tuple[str, str], dict[str, set[str]]] = {}
        for one in self.found:
            row = rows.setdefault((one.organisation, one.role), {name: set() for name in NAMES})
            direction = "opens" if one.change.opens else "closes"
            row[f"{direction}_patients"].add(one.patient)
            row[f"{direction}_studies"].add(one.change.study)
        return [
            {"organisation": org, "role": role} | {name: len(values) for name, values in row.items()}
            for (org, role), row in sorted(rows.items())
        ]

    @property
    def reasons(self) -> Counter[tuple[str, str]]:
        return Counter(one.change.because for one in self.found)


NAMES = ("opens_patients", "opens_studies", "closes_patients", "closes_studies")


def run(store: Store, enforcement: Enforcement, new: Switches, told: Callable[[int], None] = lambda _: None) -> Report:
    """Compare the choices in force with `new`, now. `told` hears of each batch how many persons it had."""
    report, after = Report(), 0
    while True:
        with store.begin(reads=True) as tx:
            rids = information.persons_after(tx, after, BATCH)
            if not rids:
                return report
            after = rids[-1]
            known = information.of_patients(tx, rids, [], None)
            owners = information.owners_of_studies(tx, [rid for group in known.groups for rid in group.rids])
            for group in known.groups:
                report.persons += 1
                orgs = {org for rid in group.rids for org in owners.get(rid, ())}
                _compare(tx, enforcement, new, group, orgs, report)
        told(len(rids))


def _compare(
    tx: Tx, enforcement: Enforcement, new: Switches, group: information.Group, orgs: set[str], report: Report
) -> None:
    studies = None
    patient = sha256(f"{new.hash}{min(group.person.patients)}".encode()).hexdigest()[:12]
    for asker in _askers(tx, enforcement, group, orgs):
        old_views = simulate.views(asker, group.person, enforcement.switches, tx.at)
        new_views = simulate.views(asker, group.person, new, tx.at)
        report.decisions += 2
        if simulate.same(old_views, new_views):
            continue
        if studies is None:
            grant = enforcement.for_explaining(tx, group.rids)
            studies = [study for rid in group.rids for _, study in studies_of(tx, grant, rid)]
        for change in simulate.changes(old_views, new_views, studies):
            report.found.append(Found(asker.organisation or "", asker.role, asker.practitioner, patient, change))


def _askers(tx: Tx, enforcement: Enforcement, group: information.Group, orgs: set[str]) -> Iterator[Requester]:
    """Who may ask about a person: the organisations of their care and of their studies, as a system, a clinician and a
    clerk; and each practitioner whom a relationship names, for those organisations."""
    known = enforcement.organisations_of(tx)
    named = {
        member for one in group.person.relationships for member in one.members if member.startswith("Practitioner/")
    }
    concerned = orgs | {org for one in group.person.relationships for org in one.orgs if org}
    concerned |= {above for org in concerned for above in known.ancestors(org)}
    for org in sorted(concerned):
        tree, above = known.tree(org), known.ancestors(org)
        for role in ("system", "clinician", "clerical"):
            yield Requester(org, tree, None, role, None, ancestors=above)
        for person in sorted(named):
            groups, _ = information.groups_of(tx, person, tree, tx.at)
            yield Requester(org, tree, person, "clinician", None, groups, ancestors=above)
