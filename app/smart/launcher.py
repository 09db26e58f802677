"""/auth/launch: what a record system does when somebody opens an app from a patient's record. For trying out alone.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

import re

from authlib.common.urls import add_params_to_uri
from flask import Blueprint, Response, g, request, url_for

from app.pages import check_form
from app.smart import choices, launches, session
from app.smart.flow import Flow, go, origin_of
from app.smart.pages import page, prepare
from app.smart.person import Person, may_use
from app.storage import oauth
from app.storage.oauth import Client

_ID = re.compile(r"[A-Za-z0-9\-.]{0,64}\Z")


def blueprint(flow: Flow) -> Blueprint:
    """The demonstration's launcher, for whoever is signed in and works somewhere."""
    launcher = Blueprint("launcher", __name__, url_prefix="/auth")
    services = flow.services
    store = services.store
    prepare(launcher)

    def apps(person: Person) -> list[Client]:
        """Those that can be launched by this person."""
        with store.begin(reads=True) as tx:
            known = [one for one in oauth.every(tx) if one.launch_url and not one.disabled]
            return [one for one in known if may_use(tx, person, one)]

    @launcher.route("/launch", methods=["GET", "POST"])
    def launch() -> Response:
        """Choose a patient, then what to open and for what."""
        here = session.current(store)
        if here is None or here[1].organisation is None:
            return go(url_for("pages.sign_in", next=url_for("launcher.launch")))
        person = here[1]
        known = apps(person)
        record = _record_system(person)
        named = request.values.get("patient", "")
        patient = choices.patient(services, person, record, named) if named else None
        if patient is None:
            wrong = "Choose a patient." if named or request.method == "POST" else ""
            found = choices.patients(
                services, person, record, request.args.get("name", ""), request.args.get("page", "")
            )
            return page("launch-patient", "", "", wrong, person=person, found=found)
        g.allowed_form = " ".join({origin_of(one.launch_url or "") for one in known})
        wrong = ""
        studies = choices.studies(services, person, record, patient.id)
        if request.method == "POST":
            check_form()
            chosen = next((one for one in known if one.id == request.form.get("app")), None)
            study, encounter = request.form.get("study", ""), request.form.get("encounter", "")
            if chosen is None or (study and all(one.id != study for one in studies)) or not _ID.match(encounter):
                wrong = "Choose an app. An encounter is letters, digits, hyphens and dots."
            else:
                context = {"patient": patient.id, "imagingstudy": study, "encounter": encounter}
                handle = store.retry(lambda tx: launches.make(tx, chosen, person, context))
                said = [("iss", services.settings.base_url), ("launch", handle)]
                return go(add_params_to_uri(chosen.launch_url, said))
        return page("launch", "", "", wrong, person=person, patient=patient, studies=studies, apps=known)

    return launcher


def _record_system(person: Person) -> Client:
    """What the pages of the launcher look up, they look up as the person's own record system."""
    organisation = person.organisation or ""
    return Client("demo-launcher", "Record system", "app", organisation, "user/*.rs", person.role, "TREAT")
