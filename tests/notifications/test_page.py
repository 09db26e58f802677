"""What the operator is shown of subscriptions, without a browser: states, problems, and no patient."""

from __future__ import annotations

import json
import re

from flask import Flask

from app.interactions.subscription_health import health
from app.notifications.worker import Worker
from tests.notifications.conftest import put, subscribe, subscribed, until
from tests.support.receiver import Receiver
from tests.support.region import STUDY_UID, Caller, study


def seen_at_the_desk(app: Flask, path: str) -> str:
    """The page at `path`, as a privacy officer sees it who signs in on the way."""
    asked = ["user", "add", "wren", "--role", "privacy", "--org", "TA", "--practitioner", "wren", "--json"]
    password = json.loads(app.test_cli_runner().invoke(args=asked).stdout)["password"]
    http = app.test_client()
    form = http.get("/auth/sign-in", query_string={"next": path}).text.split("<form")[-1]
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
    answer = http.post("/auth/sign-in", data=hidden | {"username": "wren", "password": password}, follow_redirects=True)
    assert (answer.status_code, answer.request.path) == (200, path)
    return answer.text


def test_states_and_problems_are_shown_those_in_need_first_and_nobody_is_named(
    app: Flask, steward: Caller, engine: Caller, receiver: Receiver, working: Worker
) -> None:
    good = subscribe(engine, receiver, "imaging-study-available")
    closed = Receiver(lambda got: 404)
    bad = engine.post("/Subscription", subscribed("episode-changed", closed.url)).json["id"]
    until(lambda: engine.get(f"/Subscription/{bad}").json["status"] == "error")
    closed.close()
    put(steward, study("s2", f"{STUDY_UID}.2"))
    receiver.wait(2)
    services = app.extensions["services"]

    def found() -> list[tuple[str, str, int]]:
        with services.store.begin(reads=True) as tx:
            return [(one.id, one.state, one.sent) for one in health(services, tx)]

    until(lambda: found() == [(bad, "error", 0), (good, "active", 1)])
    page = seen_at_the_desk(app, "/desk/subscriptions")
    assert "the receiver answered 404; expected a status of success" in page
    for canary in ("9990000018", "Willow", "Demo", STUDY_UID):
        assert canary not in page


def test_nobody_and_other_roles_see_nothing(app: Flask) -> None:
    answer = app.test_client().get("/desk/subscriptions")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/auth/sign-in?next=/desk/subscriptions")
