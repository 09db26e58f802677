"""The region's choices P1 to P26 (README.md), read from one TOML file, versioned and hashed.

A choice that this software can only make one way is listed too: the file may state it, and stating otherwise is an
error, so that nobody believes in a switch that is not there. README.md documents every key.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from app.policy.model import ROLES

DIRECT_CARE = ("TREAT", "ETREAT", "BTG")
PRIORITIES = ("routine", "urgent", "asap", "stat")


class SwitchError(ValueError):
    """The region's file cannot be used. The text names each key, what was wrong and what was expected."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One key of the file: which choice it belongs to, what it may be, and what it means in a sentence."""

    id: str
    expected: str
    accepts: Callable[[Any], bool]
    means: str
    read: Callable[[Any], Any] = lambda value: value
    aside: bool = False  # beside the key that is meant where the file says the choice's id alone


def _one_of(*values: object) -> tuple[str, Callable[[Any], bool]]:
    named = " or ".join(json.dumps(value) for value in values)
    return named, lambda value: any(value == one and type(value) is type(one) for one in values)


def _whole(low: int, high: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one for one in value)


def _zone(value: Any) -> bool:
    return isinstance(value, str) and value in available_timezones() and bool(ZoneInfo(value))


def _purposes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        key.isupper() and key not in DIRECT_CARE and target in DIRECT_CARE[:2] for key, target in value.items()
    )


def _duties(value: Any) -> bool:
    return isinstance(value, dict) and all(
        bool(system) and bool(code) and role in ROLES
        for key, role in value.items()
        for system, _, code in [key.rpartition("|")]
    )


BOOLEAN = _one_of(False, True)


def _of(id: str, accepted: tuple[str, Callable[[Any], bool]], means: str, default: Any, **more: Any) -> Any:
    choice = Choice(id, *accepted, means, **more)
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata={"choice": choice})
    return field(default=default, metadata={"choice": choice})


NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Switches:
    """The choices in force. Two sets are equal, and have one hash, when every choice is the same."""

    opt_out_binds_origin: bool = _of("P1", BOOLEAN, "a sharing opt-out also binds the trust that made the study", False)
    zone: str = _of("P2", ("the name of a time zone", _zone), "zone of dates without a time", "Europe/London")
    planned_lead_days: int = _of("P3", _whole(0, 90), "days before a planned start at which access opens", 14)
    planned_stale_days: int = _of("P3", _whole(0, 90), "days after a planned start at which access closes", 7)
    waitlist_counts: bool = _of("P4", BOOLEAN, "a waitlist episode is a relationship", True)
    onhold_counts: str = _of("P5", _one_of("team", "never"), "for whom an episode on hold is a relationship", "team")
    finished_grace_days: int = _of("P6", _whole(0, 30), "days after the end of an episode in which it still counts", 0)
    organisation_tree: str = _of(
        "P7", _one_of("site-and-trust"), "which organisations count as each other", "site-and-trust"
    )
    referral_priorities: tuple[str, ...] = _of(
        "P8",
        ("a list of some of " + ", ".join(PRIORITIES), lambda v: _texts(v) and set(v) <= set(PRIORITIES)),
        "priorities at which a referral is a relationship",
        ("urgent", "asap", "stat"),
        read=tuple,
    )
    referral_hours: int = _of("P8", _whole(1, 720), "hours from authoredOn for which it is one", 72)
    mdt_days: int = _of(
        "P6", _whole(1, 90), "days for which an MDT's reviewers see, where no end is said", 14, aside=True
    )
    mdt_most_days: int = _of("P6", _whole(1, 365), "days for which they see at most", 90, aside=True)
    prefetch_most: int = _of("P3", _whole(1, 500), "studies of a pre-fetch list", 20)
    prefetch_years: int = _of("P3", _whole(0, 100), "years back that it looks; 0 for all", 0)
    btg_overrides_optout: str = _of(
        "P9", _one_of("never", "vital_interest"), "when break-glass may override a recorded refusal", "never"
    )
    proposed_optout: str = _of(
        "P10", _one_of("wait", "hold"), "whether a refusal not yet confirmed acts at once", "wait"
    )
    several_consents: str = _of("P11", _one_of("S1-S5"), "how several active consents combine", "S1-S5")
    consent_replaces_relationship: bool = _of("P12", _one_of(False), "an opt-in is no relationship", False)
    unknown_attributes: str = _of(
        "P13", _one_of("closed"), "what is unknown matches a refusal, never a permission", "closed"
    )
    unmatched_root_permit: str = _of(
        "P14", _one_of("deny", "no-consent"), "what a restricted permission says of everything outside it", "deny"
    )
    confidentiality_order: bool = _of(
        "P15", _one_of(True), "a permit of a level covers those below, a deny those above", True
    )
    break_glass: bool = _of("P16", BOOLEAN, "emergency access without a relationship exists", True)
    break_glass_hours: int = _of(
        "P16", _whole(1, 24), "hours for which one emergency access lasts, where no other time is asked for", 4
    )
    break_glass_most_hours: int = _of("P16", _whole(1, 24), "hours for which one emergency access lasts at most", 24)
    break_glass_per_person: int = _of("P16", _whole(1, 1000), "emergency accesses of one person in 24 hours", 10)
    break_glass_per_organisation: int = _of(
        "P16", _whole(1, 10_000), "emergency accesses of one organisation in 24 hours", 100
    )
    break_glass_burst: int = _of(
        "P16", _whole(1, 1000), "emergency accesses of one person within ten minutes that close it for them", 5
    )
    break_glass_organisation_burst: int = _of(
        "P16",
        _whole(1, 10_000),
        "emergency accesses of an organisation within ten minutes that close it for all of it",
        25,
    )
    break_glass_after_death: bool = _of("P17", BOOLEAN, "emergency access to the record of someone who has died", False)
    merged_records: str = _of("P18", _one_of("union"), "merged records carry all their consents", "union")
    permissive_proxy: str = _of(
        "P19", _one_of("verified", "never"), "when somebody else's permission for the patient counts", "verified"
    )
    minor_review_months: int = _of(
        "P20", _whole(0, 24), "months before the sixteenth birthday at which a review opens", 3
    )
    minor_own_choice_age: int = _of(
        "P20",
        _whole(10, 16),
        "age from which the young choose for themselves, by form, without a parent",
        13,
        aside=True,
    )
    patient_channel: str = _of(
        "P21", _one_of("off", "metadata", "endpoints"), "what patients' own apps may see of their studies", "off"
    )
    missing_purpose: str = _of("P22", _one_of("deny"), "a request without a purpose is refused", "deny")
    care_purposes: Mapping[str, str] = _of(
        "P23",
        ("a table from a purpose code to TREAT or ETREAT", _purposes),
        "further purposes that the region counts as direct care",
        NOTHING,
        read=lambda value: MappingProxyType(dict(value)),
    )
    duties: Mapping[str, str] = _of(
        "P13",
        (f'a table from "system|code" to one of {", ".join(ROLES)}', _duties),
        "roles that the codes of a PractitionerRole stand for, where a Consent names one",
        NOTHING,
        read=lambda value: MappingProxyType(dict(value)),
        aside=True,
    )
    clerical: str = _of(
        "P24", _one_of("redact", "deny"), "what clerical roles get where a clinician is permitted", "redact"
    )
    refusal_visibility: str = _of("P25", _one_of("hidden"), "a withheld study looks as if it did not exist", "hidden")
    system_may_locate: bool = _of("P26", BOOLEAN, "a client without a named person may be given endpoints", True)
    domains: tuple[str, ...] = _of(
        "P11",
        ("a list of policy addresses", _texts),
        "the Consent.policy.uri values that concern this registry; with none listed all do",
        (),
        read=tuple,
    )
    lifetime_seconds: int = _of("P22", _whole(1, 900), "longest time for which any answer may be used", 900)
    version: str = field(default="built-in", compare=False)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of every choice, whatever the version is called."""
        chosen = {name: _plain(getattr(self, name)) for name in CHOICES}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def as_json(self) -> dict[str, Any]:
        """Version, hash and each choice with its id, for `policy show`."""
        chosen = {
            name: {"id": c.id, "value": _plain(getattr(self, name)), "means": c.means} for name, c in CHOICES.items()
        }
        return {"version": self.version, "hash": self.hash, "choices": chosen}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return sorted(value)
    return dict(value) if isinstance(value, Mapping) else value


CHOICES: dict[str, Choice] = {f.name: f.metadata["choice"] for f in fields(Switches) if "choice" in f.metadata}
SINGLE: dict[str, str] = {
    c.id: name
    for name, c in CHOICES.items()
    if not c.aside and [other.id for other in CHOICES.values() if not other.aside].count(c.id) == 1
}


def load(text: str) -> Switches:
    """The choices of a TOML file over the defaults. Keys stand at the top or under [switches]; a choice of one key may
    be given by its id (`P9 = "vital_interest"`). Raises SwitchError with every fault, a line each."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise SwitchError(
            f"the policy file is not TOML ({fault}); expected lines such as finished_grace_days = 0"
        ) from None
    under = data.pop("switches", {})
    faults: list[str] = []
    if not isinstance(under, dict):
        faults.append("switches is not a table; expected [switches] and one key a line")
        under = {}
    chosen: dict[str, Any] = {"version": "unnamed"}
    seen: set[str] = set()
    stated: list[tuple[str, Any]] = [*data.items(), *under.items()]
    for key, value in stated:
        name = SINGLE.get(key, key)
        try:
            if name in seen:
                raise SwitchError(f"{key} is set twice; expected each choice once")
            seen.add(name)
            chosen[name] = _version(value) if name == "version" else _read(key, name, value)
        except SwitchError as fault:
            faults.append(str(fault))
    if faults:
        raise SwitchError("\n".join(faults))
    return Switches(**chosen)


def _version(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SwitchError("version is not a text; expected a name for this set of choices")
    return value


def _read(key: str, name: str, value: Any) -> Any:
    choice = CHOICES.get(name)
    if choice is None:
        raise SwitchError(f"{key} is not a choice of this policy; expected one of {', '.join(CHOICES)}")
    if not choice.accepts(value):
        raise SwitchError(f"{key} is {_shown(value)}; expected {choice.expected}: {choice.means} ({choice.id})")
    return choice.read(value)


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)
