"""The imaging registry: `create_app` joins the parts, and nothing else does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from app import cli, observability, tracing
from app import pages as chrome
from app.access.enforcement import Enforcement
from app.access.subject import Subject
from app.archives import blueprint as archives
from app.archives import configured, gates, proxy, reports
from app.config import Settings
from app.demo import story
from app.fhir.constraints import Options
from app.interactions import Services
from app.policy.switches import Switches, load
from app.published import forms, published, validator, value_sets
from app.rest import health, openapi, routes
from app.rest.admission import Admission, Turnstile
from app.rest.hot import Front, Hot
from app.smart import blueprint as smart
from app.smart import cors, demo, elsewhere, known, launcher, pages, session, trust
from app.smart.discovery import smart_configuration
from app.smart.flow import Flow
from app.smart.issuers import Issuers
from app.smart.keys import KeyStore
from app.smart.pages import Login
from app.smart.proofs import Proofs
from app.smart.server import Server
from app.smart.session import Cookies
from app.smart.tokens import Tokens
from app.smart.trust import Issuer
from app.storage.engine import Store
from app.web import documents, landing, ohif, sample, viewer
from app.web.choices import pages as choices
from app.web.desk import pages as desk

__version__ = "0.1.0"


@dataclass(frozen=True)
class Parts:
    """What every application of ours is made of."""

    app: Flask
    services: Services
    keys: KeyStore
    tokens: Tokens
    issuers: Issuers

    def verify(self, token: str) -> Subject | None:
        return self.tokens.subject(token) or self.issuers.subject(token)

    def claimed(self, token: str) -> Subject | None:
        """As `verify`, but whether a token of ours is good still is left to be asked."""
        return self.tokens.claimed(token) or self.issuers.subject(token)


def _parts(settings: Settings) -> Parts:
    observability.configure(settings.log_level, settings.log_format)
    app = Flask(__name__, static_folder=None)
    switches = load(Path(settings.policy_file).read_text()) if settings.policy_file else Switches()
    store = Store(settings.database_url, settings.replica_url or None, zone=switches.zone, base_url=settings.base_url)
    keys = KeyStore(settings.keys_dir)
    tokens = Tokens(store, keys, settings)
    enforcement = Enforcement(switches, reads_all=settings.demo)
    checked = validator(Options(settings.nhs_numbers == "strict", settings.demo))
    services = Services(
        store,
        enforcement,
        settings,
        keys.seal,
        keys.open_seal,
        checked,
        keys.secret("notify"),
        published(),
        value_sets(),
        forms(),
    )
    issuers = Issuers(_trusted(settings), store)
    app.extensions |= {"services": services, "tokens": tokens, "issuers": issuers, "anew": services_of}
    return Parts(app, services, keys, tokens, issuers)


def create_app(settings: Settings) -> Flask:
    """The WSGI application for a set of settings. Raises SwitchError or SettingsError where a file that
    they name cannot be used."""
    parts = _parts(settings)
    app, services, tokens, issuers, verify = parts.app, parts.services, parts.tokens, parts.issuers, parts.verify
    store = services.store
    _sessions(app, settings, parts.keys)
    chrome.prepare(app)
    server = Server(app, store, tokens, f"{settings.origin}/auth/token")
    hot = Hot(services, parts.claimed)
    app.register_blueprint(routes.blueprint(services, verify, hot, smart_configuration, chrome.nowhere))
    app.register_blueprint(smart.blueprint(services, server, tokens))
    flow = Flow(services)
    app.register_blueprint(pages.blueprint(flow, [Login(one.name, one.title) for one in issuers.trusted if one.login]))
    app.register_blueprint(elsewhere.blueprint(flow, issuers))
    app.register_blueprint(known.blueprint(services))
    app.register_blueprint(archives.blueprint(services, verify))
    app.register_blueprint(gates.blueprint(services, verify, parts.claimed, Proofs(store)))
    held = configured.load(settings.archives_file)
    app.register_blueprint(proxy.blueprint(services, parts.claimed, held))
    app.register_blueprint(reports.blueprint(services, verify, held))
    app.register_blueprint(health.blueprint(services))
    app.register_blueprint(landing.blueprint(services))
    app.register_blueprint(documents.blueprint())
    app.register_blueprint(viewer.blueprint(services))
    app.register_blueprint(ohif.blueprint(services))
    app.register_blueprint(choices.blueprint(services, lambda: session.visitor(store)))
    for part in desk.blueprints(services, lambda: session.visitor(store)):
        app.register_blueprint(part)
    if settings.demo_region:
        app.register_blueprint(launcher.blueprint(flow))
        app.register_blueprint(demo.blueprint(flow, {one.username: one.password for one in story.SHOWN_LOGINS}))
        app.register_blueprint(sample.blueprint(services))
    app.register_blueprint(openapi.blueprint(settings))
    cors.register(app, store)
    cli.register(app)
    _measure(app)
    front = Front(hot, app.wsgi_app)
    app.extensions["front"] = front
    admission = Admission(front, Turnstile(settings.threads, settings.waiting), tokens.known)
    app.wsgi_app = _told_of(admission, settings)  # type: ignore[method-assign]
    return app


def _told_of(wsgi: Any, settings: Settings) -> Any:
    """Whose address a request is from, as the proxies in front say, and nothing else that they might."""
    return ProxyFix(wsgi, x_for=settings.proxies, x_proto=0) if settings.proxies else wsgi


def services_of(settings: Settings) -> Services:
    """The parts alone, for another process that works beside this one."""
    return _parts(settings).services


def create_proxy(settings: Settings) -> Flask:
    """The proxy in front of archives alone, for processes of its own. Raises as `create_app` does."""
    parts = _parts(settings)
    held = configured.load(settings.archives_file)
    parts.app.register_blueprint(proxy.blueprint(parts.services, parts.claimed, held))
    parts.app.register_blueprint(health.blueprint(parts.services))
    cors.register(parts.app, parts.services.store)
    _measure(parts.app)
    parts.app.wsgi_app = _told_of(parts.app.wsgi_app, settings)  # type: ignore[method-assign]
    return parts.app


def _trusted(settings: Settings) -> tuple[Issuer, ...]:
    if not settings.issuers_file:
        return ()
    path = Path(settings.issuers_file)
    return trust.load(path.read_text(), path.parent, plain_http=settings.demo)


def _sessions(app: Flask, settings: Settings, keys: KeyStore) -> None:
    """How a browser's cookie is: signed, out of reach of scripts, of this server alone, and over TLS where that is used."""
    secure = settings.base_url.startswith("https://")
    app.config |= {
        "SECRET_KEY": keys.secret("web"),
        "SESSION_COOKIE_NAME": "__Host-registry" if secure else "registry",
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "WTF_CSRF_TIME_LIMIT": None,
    }
    app.session_interface = Cookies()


def _measure(app: Flask) -> None:
    """Count, time and log every request by its route, never by its address."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        tracing.begin(request.headers.get(tracing.HEADER))

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds = time.perf_counter() - g.get("began", time.perf_counter())
        request_id = response.headers.get("X-Request-Id", "")
        observability.answered(request.method, route, response.status_code, seconds, request_id)
        return response

    @app.teardown_request
    def over(error: BaseException | None) -> None:
        tracing.end()
