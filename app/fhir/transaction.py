"""A batch or transaction Bundle taken apart: its entries in the order of processing, all that is wrong at once.

https://hl7.org/fhir/R4/http.html#transaction and #trules: DELETE, POST, PUT and PATCH, GET; no identity twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.fhir.bundle_entry import Entry, read_entry
from app.fhir.outcome import Fault, Issue
from app.fhir.registry import TYPES
from app.fhir.resource import conditional_reference, references

__all__ = [
    "Entry",
    "Transaction",
    "check_identities",
    "conditional_references",
    "invalid",
    "order",
    "parse",
    "rewriter",
]

MAX_ENTRIES = 500

_RANK = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3}
_RESTFUL = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}\Z")
_LOCAL = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}\Z")

Validate = Callable[[dict[str, Any]], list[Issue]]


@dataclass(frozen=True, slots=True)
class Transaction:
    """`kind` is batch or transaction; `entries` are in the order of processing, each knows its place in the Bundle."""

    kind: str
    entries: tuple[Entry, ...]


def parse(
    bundle: dict[str, Any],
    *,
    base_url: str = "",
    max_entries: int = MAX_ENTRIES,
    types: Container[str] = TYPES,
    validate: Validate = lambda _resource: [],
) -> Transaction:
    """The entries of `bundle`. `base_url` makes absolute URLs below it relative.

    A transaction with anything wrong raises one Fault with all issues, each at its `Bundle.entry[i]`: those
    of `validate`, which finds what is wrong with a resource, too. In a batch the
    entries stand alone: what is wrong with one is its own `fault`. Raises `too-costly` above `max_entries`.
    """
    kind = bundle.get("type")
    if bundle.get("resourceType") != "Bundle" or kind not in ("batch", "transaction"):
        raise Fault("invalid", "not a batch or transaction; expected a Bundle of one of these types", "Bundle.type")
    given = bundle.get("entry", [])
    if not isinstance(given, list):
        raise Fault("structure", "entry is not a list; expected a list of entries", "Bundle.entry")
    if len(given) > max_entries:
        raise Fault(
            "too-costly", f"the Bundle has {len(given)} entries; expected at most {max_entries}", "Bundle.entry"
        )
    entries = [read_entry(index, one, base_url, types) for index, one in enumerate(given)]
    if kind == "transaction":
        issues = [issue for entry in entries for issue in entry.issues]
        sound = [entry for entry in entries if not entry.issues]
        issues += _repeated(sound) + _dangling(entries)
        if issues:
            issues += invalid(sound, validate)
            raise Fault("invalid", issues[0].text, issues[0].expression, issues=tuple(issues))
    return Transaction(kind, order(entries))


def order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """In the order in which the rules have them processed; entries alike stay as they were given."""
    return tuple(sorted(entries, key=lambda entry: (_RANK.get(entry.method, 4), entry.index)))


def check_identities(identities: Iterable[tuple[Entry, str]]) -> None:
    """Refuse a transaction in which two entries turn out to write the same resource, `Type/id`, once resolved."""
    first: dict[str, Entry] = {}
    issues = []
    for entry, identity in identities:
        if identity in first:
            issues.append(_twice(entry, first[identity]))
        first.setdefault(identity, entry)
    if issues:
        raise Fault("invalid", issues[0].text, issues[0].expression, issues=tuple(issues))


def conditional_references(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str, str, str, str]]:
    """Each reference that is to be resolved by searching: (entry, expression, the text, type, criteria)."""
    for entry in entries:
        for place, reference in references(entry.resource or {}):
            text = reference["reference"]
            found = conditional_reference(text)
            if found is not None:
                yield entry, _inside(entry, place), text, *found


def invalid(entries: Iterable[Entry], validate: Validate) -> list[Issue]:
    """What is wrong with the resources that the entries would store."""
    found: list[Issue] = []
    for entry in entries:
        if entry.method in ("POST", "PUT") and entry.operation is None and entry.resource is not None:
            errors = tuple(issue for issue in validate(entry.resource) if issue.severity == "error")
            if errors:
                found += Fault("unprocessable", issues=errors).at(entry.expression).issues
    return found


def rewriter(entry: Entry, assigned: Mapping[str, str]) -> Callable[[str], str | None]:
    """For `resource.rewrite`: what a reference in `entry` becomes, given what each fullUrl (or conditional reference)
    was assigned. A relative reference is resolved against the entry's own fullUrl, bundle.html#references."""
    found = _RESTFUL.match(entry.full_url or "")
    base = found[1] if found else None

    def mapping(text: str) -> str | None:
        other = assigned.get(text)
        if other is None and base is not None and _LOCAL.match(text):
            other = assigned.get(base + text)
        return other

    return mapping


def _repeated(entries: list[Entry]) -> list[Issue]:
    """Entries that write what an earlier one writes, or that say they are the same resource."""
    issues = []
    first: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        for key in _identities(entry):
            if key in first:
                issues.append(_twice(entry, first[key]))
                break
            first[key] = entry
    return issues


def _identities(entry: Entry) -> Iterator[tuple[str, ...]]:
    if entry.method == "GET" or entry.type is None or entry.operation is not None:
        return
    if entry.id is not None:
        yield "id", entry.type, entry.id
    if entry.criteria is not None:
        yield "criteria", entry.type, entry.criteria
    if entry.full_url is not None and entry.method in ("POST", "PUT"):
        yield "url", entry.full_url


def _twice(entry: Entry, first: Entry) -> Issue:
    return Issue(
        "invalid",
        f"the same resource is written by entry {first.index}; expected each once in a transaction",
        entry.expression,
    )


def _dangling(entries: list[Entry]) -> list[Issue]:
    """References by a name that only this Bundle could give, and does not."""
    given = {entry.full_url for entry in entries}
    issues = []
    for entry in entries:
        for place, reference in references(entry.resource or {}):
            text = reference["reference"]
            if text.startswith(("urn:uuid:", "urn:oid:")) and text not in given:
                issues.append(
                    Issue(
                        "invalid",
                        "a reference to an entry that is not in the Bundle; expected the fullUrl of one",
                        _inside(entry, place),
                    )
                )
    return issues


def _inside(entry: Entry, place: str) -> str:
    rest = place.partition(".")[2]
    return f"{entry.expression}.resource" + (f".{rest}" if rest else "")
