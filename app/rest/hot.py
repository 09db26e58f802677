"""The three hottest interactions, from the request to the whole answer, without a web framework between: read, search by GET
and create. The routes of Flask answer them by the same functions, for whoever comes with a cookie, from another origin, or
by HEAD."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import request

from app import observability, tracing
from app.access.presenting import presenting
from app.access.subject import Subject
from app.fhir.outcome import Fault
from app.fhir.registry import TYPES
from app.interactions import Answer, Asked, Services, create, read, search
from app.rest import errors, negotiate
from app.rest.authenticate import authenticate
from app.rest.call import Call, Reply
from app.rest.negotiate import Received
from app.rest.rehearsal import Rehearsal
from app.storage.engine import Tx

Verify = Callable[[str], Subject | None]
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# An address below a type whose second part names an instance and nothing else.
ADDRESS = re.compile(rf"/fhir/({'|'.join(TYPES)})(?:/([A-Za-z0-9.-]{{1,64}}))?\Z")
OF_TYPE, OF_INSTANCE = "/fhir/<type_name>", "/fhir/<type_name>/<id>"
ELSEWHERE = frozenset({"HTTP_COOKIE", "HTTP_ORIGIN"})


def asking(services: Services, request: Received, verify: Verify) -> Asked:
    """Who asks, and what the headers say. Raises Fault."""
    id = (request.view_args or {}).get("id", "")
    if "\0" in id:  # which a database may not even be asked for
        raise Fault("not-found", "no resource with this id; expected the id of one")
    if id.startswith("$"):
        raise Fault("not-supported", "no such operation here; see /fhir/metadata for those that there are")
    subject = authenticate(verify, request.headers)
    if presented := request.headers.get("Emergency-Grant"):
        subject = presenting(services.enforcement.switches, subject, presented)
    return negotiate.asked(request, subject)


def held(type_name: str) -> str:
    """Raises Fault not-found for a type that the table does not have."""
    if type_name not in TYPES:
        raise Fault("not-found", "no such resource type here; see /fhir/metadata for those that are held")
    return type_name


class Hot:
    """Whether a token is good is asked in the first round trip of what is asked for, or at the end where there was none."""

    def __init__(self, services: Services, claimed: Verify) -> None:
        self.services = services
        self.claimed = claimed
        self.most = services.settings.max_bytes
        self.rehearsal = Rehearsal(services.settings.slow_source, lambda: services.store.clock())

    def read(self, call: Call) -> Answer:
        options = dict(call.pairs)
        elements = tuple(filter(None, options.get("_elements", "").split(",")))
        type_name, id = held(call.view_args["type_name"]), call.view_args["id"]
        return read.read(
            self.services, self._asked(call), type_name, id, summary=options.get("_summary"), elements=elements
        )

    def search(self, call: Call) -> Answer:
        return self.found(self._asked(call), call.view_args["type_name"], call.pairs, call)

    def found(self, who: Asked, type_name: str, pairs: list[tuple[str, str]], request: Received) -> Answer:
        """A search of a type, by GET or POST."""
        self.rehearsal.slow(type_name, request.headers.get("Authorization", ""), repr(pairs))
        return search.search(self.services, who, held(type_name), pairs)

    def create(self, call: Call) -> Answer:
        who = negotiate.conditional(self._asked(call), call.pairs, call.criteria)
        return create.create(self.services, who, held(call.view_args["type_name"]), negotiate.resource(call, self.most))

    def _asked(self, call: Call) -> Asked:
        call.asked = asking(self.services, call, self.claimed)
        return call.asked

    def answer(self, call: Call, work: Callable[[Call], Answer]) -> Reply:
        """The whole answer, whatever comes of the work."""
        try:
            done = work(call)
            self._prove(call)
            reply = negotiate.rendered(call, done)
        except Exception as error:
            reply = errors.rendered(call, self._recorded(call, error))
        negotiate.finish(call, reply.headers)
        return reply

    def _recorded(self, call: Call, error: Exception) -> Exception:
        try:
            self._prove(call)
        except Exception as second:
            error = second
        return errors.recorded(self.services, call, error, call.asked)

    def _prove(self, call: Call) -> None:
        """Ask now about a token of which nothing has been asked. Raises Fault "login"; the request is then nobody's."""
        who = call.asked
        standing = who.subject.standing if who is not None else None
        if standing is not None and standing.number is None:
            call.asked = None

            def ask(tx: Tx) -> None:
                standing.ask(tx)
                tx.settle()

            self.services.store.retry(ask)
            call.asked = who

    def view(self, work: Callable[[Call], Answer]) -> Callable[..., Any]:
        """The same as a view of Flask's."""

        def answered(**parts: str) -> Any:
            rule = request.url_rule.rule if request.url_rule else ""
            call = Call(request.environ, request.endpoint or "", rule, parts)
            return negotiate.as_response(self.answer(call, work))

        return answered


class Front:
    """WSGI before Flask: answers what is hot, and hands on everything else."""

    def __init__(self, hot: Hot, after: Wsgi) -> None:
        self.after = after
        self.hot = hot
        self.before: list[Callable[[], None]] = []  # what is done at every request
        self._table = {
            ("GET", False): (hot.search, "fhir.search-type", OF_TYPE),
            ("POST", False): (hot.create, "fhir.create", OF_TYPE),
            ("GET", True): (hot.read, "fhir.read", OF_INSTANCE),
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = ADDRESS.match(environ["PATH_INFO"])
        if found is None or not ELSEWHERE.isdisjoint(environ) or environ.get("SCRIPT_NAME"):
            return self.after(environ, start_response)
        method, id = environ["REQUEST_METHOD"], found[2]
        route = self._table.get((method, id is not None))
        if route is None:
            return self.after(environ, start_response)
        work, endpoint, rule = route
        parts = {"type_name": found[1]} if id is None else {"type_name": found[1], "id": id}
        reply = self._measured(Call(environ, endpoint, rule, parts), work)
        start_response(*reply.wsgi())
        return [reply.body]

    def _measured(self, call: Call, work: Callable[[Call], Answer]) -> Reply:
        """Counted, timed and logged by its route, as what Flask answers is."""
        began = time.perf_counter()
        tracing.begin(call.headers.get(tracing.HEADER))
        try:
            for one in self.before:
                one()
            reply = self.hot.answer(call, work)
            seconds = time.perf_counter() - began
            method, request_id = call.environ["REQUEST_METHOD"], reply.headers["X-Request-Id"]
            observability.answered(method, call.url_rule, reply.status, seconds, request_id)
            return reply
        finally:
            tracing.end()
