"""What the public does: send the form, ask how it stands, change how they are written to. No log-in is needed.

Nothing here tells whether a person is known to the registry, or has images. `asked.subject` is whoever the page stands
for: `Subject("choices", "user", None, "public", address=…)`, or the patient who is logged in.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import date
from hashlib import blake2b
from typing import Any, TypeVar

from app.access import audit, information
from app.fhir.outcome import Fault, Issue
from app.fhir.temporal import MINUTE, format_instant
from app.interactions import Asked, Services
from app.interactions.carrying import carry, record_refusal
from app.pathways.choice import clocks, filed, force
from app.pathways.choice.filed import Filed
from app.pathways.choice.form import Form
from app.pathways.choice.model import OPEN, Progress, Receipt
from app.pathways.choice.questionnaire import publish
from app.pathways.choice.response import fingerprint, response
from app.pathways.clocks import ACKNOWLEDGE_DAYS, birthday, local_date, one_month, working_days
from app.policy.grant import Grant
from app.storage import attempts, resources
from app.storage.engine import Tx

T = TypeVar("T")

HOUR = 60 * MINUTE
FORMS_AN_HOUR = 30
ASKS_AN_HOUR = 30
MISSES_AN_HOUR = 10
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none is taken for another
BY_FORM = {"authorString": "form"}


def submit(services: Services, asked: Asked, form: Form, *, submission: str = "", proven: str | None = None) -> Receipt:
    """Keep the form and open its Task. Raises Fault with an issue a field (`Issue.expression`) where answers are wrong,
    `throttled` for too many from one address.

    `submission` is a random text in the page: the same again gives the same receipt and makes nothing. `proven` is
    "Patient/id" where a log-in proved who it is: an own choice is then in force at once.
    """
    clean = checked(services, form)

    def work(tx: Tx) -> Receipt | Fault:
        id = f"choice-{digest(submission) if submission else secrets.token_hex(16)}"
        print = fingerprint(clean)
        resources.lock_match_keys(tx, sorted(key(one) for one in (id, print)))
        grant = filed.sight(services, tx)
        if before := _before(services, tx, grant, id, print):
            return _receipt(before, tx, again=True)
        address = asked.subject.address
        if address:
            attempts.note(tx, "choice-form", address)
            if attempts.count(tx, "choice-form", address, tx.at - HOUR) > FORMS_AN_HOUR:
                return _throttled()
        check_trusts(services, tx, clean)
        made = open_request(services, tx, asked, clean, id, print, received=tx.at, channel="web", proven=proven)
        return _receipt(made, tx)

    return _settled(services, asked, carry(services, asked, "operation", "QuestionnaireResponse", work))


def checked(services: Services, form: Form) -> Form:
    """The form without spaces around its answers. Raises Fault with every issue."""
    clean = Form(**{name: _clean(name, getattr(form, name)) for name in Form.__slots__})
    today = local_date(services.store.clock(), services.store.zone)
    issues = clean.issues(today, strict_numbers=services.settings.nhs_numbers == "strict")
    issues += _of_age(clean, today, services.enforcement.switches.minor_own_choice_age) if not issues else ()
    if issues:
        raise Fault("unprocessable", issues[0].text, issues[0].expression, issues=issues)
    return clean


def _clean(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return tuple(one.strip().upper() for one in value) if isinstance(value, tuple) else value
    text = value.replace("\r\n", "\n").strip()
    return "".join(text.split()) if name == "nhs_number" else text


def _of_age(form: Form, today: date, own_age: int) -> tuple[Issue, ...]:
    """Who may choose for whom (P20): the young from an age on for themselves, parents until sixteen."""
    if form.choice == "contact":
        return ()
    born = date.fromisoformat(form.birth_date)
    if not form.on_behalf and today < birthday(born, own_age):
        text = f"younger than {own_age}; expected a parent or guardian to fill this in on their behalf"
        return (Issue("value", text, "birth_date"),)
    if form.on_behalf and form.authority == "parental-responsibility" and today >= birthday(born, 16):
        text = (
            "parental responsibility does not reach a choice from the sixteenth birthday on; expected another authority"
        )
        return (Issue("value", text, "authority"),)
    return ()


def check_trusts(services: Services, tx: Tx, form: Form) -> None:
    if form.choice == "opt-out" and form.extent == "trusts":
        known = {one.key for one in services.enforcement.organisations_of(tx).entries}
        if any(f"ods:{one}" not in known for one in form.trusts):
            text = "an organisation is not known here; expected ones of this region"
            raise Fault("unprocessable", text, "trusts")


def open_request(
    services: Services, tx: Tx, asked: Asked, form: Form, id: str, print: str, *, received: int, channel: str,
    proven: str | None = None, patient: str | None = None, by: dict[str, Any] = BY_FORM,
) -> Filed:  # fmt: skip
    """A new request in store, with what goes with it. One whose person a log-in has proved is in force at once."""
    publish(services, tx)
    grant = filed.sight(services, tx)
    sure = proven_by(services, tx, form, proven) if proven and not form.on_behalf else None
    patient = sure or patient or filed.certain(services, tx, form)
    number = _number()
    made = filed.opened(
        services, tx, grant, form, id, number, print, received=received, channel=channel, proven=sure, patient=patient,
        by=by,
    )  # fmt: skip
    made = force.proposed(services, tx, grant, made)
    clocks.start(tx, made)
    if sure and form.choice != "contact":
        made = in_force(services, tx, asked, grant, made, BY_FORM)
    audit.record(
        tx, asked.subject, grant, "create", "QuestionnaireResponse", status=201, disclosed=[made.answers],
        detail=f"request {made.reference}", request_id=asked.request_id, named=(patient,) if patient else (),
    )  # fmt: skip
    return made


def in_force(services: Services, tx: Tx, asked: Asked, grant: Grant, one: Filed, by: dict[str, Any]) -> Filed:
    """The choice acts from now on, and a confirmation is to be sent."""
    if one.form.choice != "contact":
        shown = force.activated(services, tx, asked, grant, one)
        audit.record(
            tx, asked.subject, grant, "update", "Consent", status=200, disclosed=shown, detail=f"request {one.reference}",
            request_id=asked.request_id,
        )  # fmt: skip
    period = one.said["executionPeriod"] | {"end": format_instant(tx.at)}
    output = force.output(one) if one.form.choice != "contact" else {}
    changes = {"status": "in-progress", "executionPeriod": period} | output
    one = filed.changed(services, tx, grant, one, changes, "in-progress", by)
    clocks.decided(tx, one)
    return filed.written(services, tx, grant, one, "confirmation")


def proven_by(services: Services, tx: Tx, form: Form, proven: str) -> str | None:
    """The record of whoever has logged in, if the form is about them: born on the same day, called the same, and with
    the same number where one is given."""
    for one in filed.candidates(services, tx, form):
        same_number = not form.nhs_number or form.nhs_number == one.number
        if one.patient == proven and one.grade != "possible" and same_number:
            return proven
    return None


def held(tx: Tx, proven: str) -> str | None:
    known = information.of_names(tx, information.Names(ids=(proven.removeprefix("Patient/"),)), [], None)
    return proven if proven in known.records.values() else None


def _before(services: Services, tx: Tx, grant: Grant, id: str, print: str) -> Filed | None:
    task = resources.get(tx, grant, "Task", id)
    if task is None:
        same = filed.found(
            services, tx, grant, ("identifier", f"{filed.PRINTS}|{print}"), ("status", ",".join(OPEN)), most=1
        )
        task = same[0] if same else None
    loaded = filed.load(services, tx, [task]) if task is not None and not task.deleted else []
    return loaded[0] if loaded else None


def _receipt(one: Filed, tx: Tx, again: bool = False) -> Receipt:
    received = filed.instant(one.said["executionPeriod"]["start"], tx.zone) or tx.at
    return Receipt(
        reference=one.reference,
        received=received,
        acknowledge_by=working_days(received, ACKNOWLEDGE_DAYS, tx.zone),
        decide_by=one_month(received, tx.zone),
        id=one.task.id,
        in_force=one.state in ("in-progress", "completed"),
        again=again,
    )


# How it stands -----------------------------------------------------------------------------------------------------


def status(services: Services, asked: Asked, reference: str, birth_date: str) -> Progress | None:
    """How a request stands; None for any wrong pair, whichever part is wrong. Raises Fault `throttled` for too many
    tries from one address, or at one reference."""

    def work(tx: Tx) -> Progress | Fault | None:
        one = _named(services, tx, asked, reference, birth_date)
        if not isinstance(one, Filed):
            return one
        told = filed.request(services, tx, one)
        return Progress(
            told.reference, told.form.choice, told.state, told.received, told.acknowledged, told.decide_by, told.decided
        )

    return _settled(services, asked, carry(services, asked, "operation", "Task", work))


def change_contact(services: Services, asked: Asked, reference: str, birth_date: str, form: Form) -> bool:
    """Write to the person in another way from now on: the address, postcode, contact, email and phone of `form`. False
    for a wrong pair, or a request that is closed. Raises Fault as `submit` and `status` do."""

    def work(tx: Tx) -> bool | Fault:
        one = _named(services, tx, asked, reference, birth_date)
        if isinstance(one, Fault):
            return one
        if one is None or one.state not in OPEN:
            return False
        grant = filed.sight(services, tx)
        ways = {name: getattr(form, name) for name in ("address", "postcode", "contact", "email", "phone")}
        clean = checked(services, replace(one.form, **ways))
        content = {"status": "amended"} | {
            name: value for name, value in response(clean, tx.at).items() if name != "status"
        }
        kept = {name: value for name, value in filed.content(one.answers).items() if name in ("identifier", "subject")}
        services.validator.check(content | kept)
        resources.update(tx, grant, one.answers, content | kept)
        filed.changed(services, tx, grant, one, {}, "contact changed", BY_FORM)
        return True

    return _settled(services, asked, carry(services, asked, "operation", "Task", work))


def _named(services: Services, tx: Tx, asked: Asked, reference: str, birth_date: str) -> Filed | Fault | None:
    """The request of this reference and date of birth. Each try is counted, and recorded without saying of whom."""
    number = "".join(reference.upper().split())[:40]
    bounds = (
        ("choice-status", asked.subject.address, ASKS_AN_HOUR),
        ("choice-miss", number, MISSES_AN_HOUR),
    )
    for kind, holder, most in bounds:  # always in this order, so that nobody waits for each other
        if holder:
            attempts.hold(tx, kind, holder)
        if holder and attempts.count(tx, kind, holder, tx.at - HOUR) >= most:
            return _throttled()
    if asked.subject.address:
        attempts.note(tx, "choice-status", asked.subject.address)
    grant = filed.sight(services, tx)
    printable = number.isascii() and number.replace("-", "").isalnum()
    tasks = filed.found(services, tx, grant, ("identifier", f"{filed.NUMBERS}|{number}"), most=1) if printable else []
    loaded = filed.load(services, tx, tasks)
    right = bool(loaded) and secrets.compare_digest(loaded[0].form.birth_date.encode(), birth_date.strip().encode())
    if not right and number:
        attempts.note(tx, "choice-miss", number)
    audit.record(
        tx, asked.subject, None, "operation", "Task", status=200 if right else 404,
        detail=f"progress of {loaded[0].reference}" if right else "progress of nothing known", request_id=asked.request_id,
    )  # fmt: skip
    return loaded[0] if right else None


def _throttled() -> Fault:
    text = "too many tries within an hour; expected another one later"
    return Fault("throttled", text, headers={"Retry-After": "3600"})


def _settled(services: Services, asked: Asked, found: T | Fault) -> T:
    """A refusal that was counted, and so had to be committed, is a refusal all the same."""
    if isinstance(found, Fault):
        record_refusal(services, asked, "operation", "Task", found)
        raise found
    return found


def _number() -> str:
    letters = [secrets.choice(ALPHABET) for _ in range(8)]
    return f"IMG-{''.join(letters[:4])}-{''.join(letters[4:])}"


def digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def key(text: str) -> bytes:
    return blake2b(f"choice {text}".encode(), digest_size=16).digest()
