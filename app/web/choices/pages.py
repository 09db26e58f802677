"""The pages at `/choices`. Nothing is kept in the browser but the name of the form; answers are kept here, under
encryption, until the form is sent, and then no longer. A log-in is not needed, and shortens the way where there is one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for

from app.fhir.outcome import Fault
from app.interactions import Services
from app.pages import Visitor, check_form, guarded, told
from app.pathways.choice import drafts, requests
from app.web.choices import answers as said
from app.web.choices import looking, questions
from app.web.choices.looking import public
from app.web.choices.questions import Question
from app.web.fields import Questions
from app.web.hospitals import hospitals
from app.web.times import day_of, moment_of

KINDS = ("opt-out", "opt-in", "contact")
MOST_OFFERED = 40


@dataclass(frozen=True)
class Draft:
    """A form under way. `held` holds the answers by question, what makes it one submission, and what came of it."""

    id: str
    held: dict[str, Any]

    @property
    def answers(self) -> dict[str, Any]:
        return self.held["answers"]  # type: ignore[no-any-return]


def blueprint(services: Services, visitor: Callable[[], Visitor | None]) -> Blueprint:
    """`visitor` is whoever is signed in at this browser."""
    pages = Blueprint("choices", __name__, url_prefix="/choices", template_folder="../templates")
    guarded(pages)
    told(pages)
    secure = services.settings.base_url.startswith("https://")
    cookie = "__Host-registry-form" if secure else "registry-form"
    day, moment = day_of(services.store.zone), moment_of(services.store.zone)
    strict = services.settings.nhs_numbers == "strict"

    def show(template: str, status: int = 200, **shown: Any) -> Response:
        here = visitor()
        body = render_template(f"choices/{template}.html", visitor=here, day=day, moment=moment, **shown)
        return make_response(body, status)

    def find(id: str) -> Draft:
        held = drafts.find(services, id, request.cookies.get(cookie, ""))
        if held is None and request.method == "POST":
            held = drafts.restored(services, id, request.form.get("kept", ""))
        if held is None:
            abort(make_response(show("gone", 404)))
        return Draft(id, held)

    def keep(draft: Draft, response: Response) -> Response:
        """Kept for this browser, which is given a name if it has none."""
        browser = request.cookies.get(cookie) or secrets.token_urlsafe(24)
        drafts.keep(services, draft.id, browser, draft.held)
        if cookie not in request.cookies:
            response.set_cookie(cookie, browser, secure=secure, httponly=True, samesite="Lax")
        return response

    def go(draft: Draft, slug: str) -> Response:
        return make_response(redirect(url_for(f"choices.{slug}", id=draft.id), 303))

    def onward(draft: Draft) -> Response:
        """To the first question without an answer; to the check of all where there is none."""
        for one in questions.of(draft.answers):
            if one.slug not in draft.answers:
                return make_response(redirect(url_for("choices.question", id=draft.id, slug=one.slug), 303))
        return go(draft, "check")

    @pages.get("")
    def start() -> Response:
        return show("start")

    @pages.post("/start")
    def begin() -> Response:
        check_form()
        choice = request.form.get("choice", "")
        if choice not in KINDS:
            abort(400)
        draft = Draft(
            secrets.token_urlsafe(12), {"answers": {"choice": choice}, "submission": secrets.token_urlsafe(24)}
        )
        return keep(draft, onward(draft))

    @pages.route("/<id>/<slug>", methods=["GET", "POST"])
    def question(id: str, slug: str) -> Response:
        """One question: its form again with what is wrong, or on to the next."""
        draft = find(id)
        if "receipt" in draft.held:
            return go(draft, "done")
        asked = next((one for one in questions.of(draft.answers) if one.slug == slug), None)
        if asked is None:
            return onward(draft)
        form = asked(draft.answers, strict)
        offered = hospitals(services, public()) if slug == "extent" else {}
        _offer(form, offered)
        if form.validate_on_submit():
            given = {one.name: one.data for one in form if one.name != "csrf_token"}
            draft = Draft(id, draft.held | {"answers": draft.answers | {slug: given}})
            if given.get("identity") == "sign-in" and visitor() is None:
                onto = url_for("choices.check", id=id)
                return keep(draft, make_response(redirect(url_for("pages.sign_in", next=onto), 303)))
            return keep(draft, onward(draft))
        return _asked(draft, asked, form)

    def _asked(draft: Draft, asked: type[Question], form: Question) -> Response:
        wrong = form.problems
        shown = show(
            "question", 400 if wrong else 200, form=form, wrong=wrong, question=asked, answers=draft.answers,
            heading=asked.heading(draft.answers), another=questions.for_another(draft.answers),
            back=_before(draft, asked), kept=drafts.copy(services, draft.id, draft.held),
        )  # fmt: skip
        return keep(draft, shown)

    def _before(draft: Draft, asked: type[Question]) -> str:
        every = questions.of(draft.answers)
        place = every.index(asked)
        return (
            url_for("choices.question", id=draft.id, slug=every[place - 1].slug) if place else url_for("choices.start")
        )

    @pages.route("/<id>/check", methods=["GET", "POST"])
    def check(id: str) -> Response:
        """All answers at once; sending them makes the request, once."""
        draft = find(id)
        if "receipt" in draft.held:
            return go(draft, "done")
        if any(one.slug not in draft.answers for one in questions.of(draft.answers)):
            return onward(draft)
        form, wrong = Questions(), []
        if form.validate_on_submit():
            try:
                return keep(*_sent(draft))
            except Fault as fault:
                if fault.status == 429:
                    return show("throttled", 429)
                wrong = _placed(fault, id)
        wrong = form.problems + wrong
        here, identity = visitor(), draft.answers.get("identity", {}).get("identity")
        offered = hospitals(services, public()) if draft.answers.get("extent", {}).get("trusts") else {}
        shown = show(
            "check", 400 if wrong else 200, rows=said.rows(draft.answers, offered), id=id, wrong=wrong,
            kept=drafts.copy(services, id, draft.held), answers=draft.answers,
            another=questions.for_another(draft.answers), unsigned=identity == "sign-in" and _patient(here) is None,
        )  # fmt: skip
        return keep(draft, shown)

    def _sent(draft: Draft) -> tuple[Draft, Response]:
        """The request is made. What is kept from now on is its number, and no answer."""
        asked, sent, choice = public(), said.request_of(draft.answers), draft.answers["choice"]
        if choice == "contact":
            which = draft.answers["request"]
            known = requests.change_contact(services, asked, which["reference"], which["born"], sent)
            if not known:
                text = "no open request has this reference number and date of birth; expected those of one that is open"
                raise Fault("unprocessable", text, "reference")
            receipt: dict[str, Any] = {"reference": which["reference"]}
        else:
            wants = draft.answers.get("identity", {}).get("identity") == "sign-in" and not sent.on_behalf
            proven = _patient(visitor()) if wants else None
            made = requests.submit(services, asked, sent, submission=draft.held["submission"], proven=proven)
            receipt = {
                "reference": made.reference, "received": made.received, "acknowledge_by": made.acknowledge_by,
                "decide_by": made.decide_by, "in_force": made.in_force, "name": f"{sent.given} {sent.family}",
                "contact": sent.contact,
            }  # fmt: skip
        done = Draft(draft.id, {"answers": {"choice": choice}, "receipt": receipt})
        return done, go(done, "done")

    @pages.get("/<id>/done")
    def done(id: str) -> Response:
        draft = find(id)
        if "receipt" not in draft.held:
            return onward(draft)
        return show("done", receipt=draft.held["receipt"], choice=draft.answers["choice"], id=id)

    @pages.get("/<id>/letter")
    def letter(id: str) -> Response:
        """The acknowledgement, to be printed and kept."""
        draft = find(id)
        if "received" not in draft.held.get("receipt", {}):
            return onward(draft)
        return show("letter", receipt=draft.held["receipt"], choice=draft.answers["choice"], id=id)

    looking.add(pages, services, visitor)
    return pages


def _patient(here: Visitor | None) -> str | None:
    return here.subject.patient if here is not None and here.subject.role == "patient" else None


def _offer(form: Question, offered: dict[str, str]) -> None:
    """The hospitals that can be named; where there are none or too many, that answer is not offered."""
    if "trusts" not in form:
        return
    if 0 < len(offered) <= MOST_OFFERED:
        form["trusts"].choices = list(offered.items())
    else:
        form["extent"].choices = [one for one in form["extent"].choices if one[0] != "trusts"]
        form["extent"].under = {}


def _placed(fault: Fault, id: str) -> list[tuple[str, str]]:
    """What was refused, each with the question at which it can be put right."""
    found = []
    for issue in fault.issues:
        slug, field = said.PLACES.get(
            issue.expression or "", ("request" if issue.expression == "reference" else "", "")
        )
        place = url_for("choices.question", id=id, slug=slug) + (f"#{field}" if field else "") if slug else ""
        found.append((f"{issue.text[:1].upper()}{issue.text[1:]}.", place))
    return found
