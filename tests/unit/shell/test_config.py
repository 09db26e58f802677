"""The settings: Production refuses what is not safe, and says everything at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import DEMO_MARK, VARIABLES, Settings, SettingsError

SAFE = {
    "REGISTRY_MODE": "production",
    "REGISTRY_BASE_URL": "https://registry.example/fhir",
    "REGISTRY_DATABASE_URL": "postgresql+psycopg://registry@db.example/registry",
    "REGISTRY_NOTIFY_ALLOW": "https://epr.example, https://ris.example:8443",
}


@pytest.fixture
def safe(tmp_path: Path) -> dict[str, str]:
    return SAFE | {"REGISTRY_KEYS_DIR": str(tmp_path / "keys")}


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    return caught.value.faults


def test_an_empty_environment_is_good_for_trying_out() -> None:
    settings = Settings.from_environ({})
    assert settings == Settings()
    assert settings.demo and settings.demo_region and settings.references == "strict"
    assert settings.base_url == "http://127.0.0.1:8080/fhir" and settings.origin == "http://127.0.0.1:8080"


def test_a_variable_that_is_empty_counts_as_not_set() -> None:
    assert Settings.from_environ(dict.fromkeys(VARIABLES.values(), " ")) == Settings()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PORT": "9000"}, "http://127.0.0.1:9000/fhir"),
        ({"HOST": "0.0.0.0"}, "http://127.0.0.1:8080/fhir"),
        ({"HOST": "::1", "PORT": "81"}, "http://[::1]:81/fhir"),
        ({"HOST": "::"}, "http://[::1]:8080/fhir"),
        ({"HOST": "0.0.0.0", "REGISTRY_BASE_URL": "https://a.example/fhir/"}, "https://a.example/fhir"),
    ],
)
def test_the_base_url_follows_host_and_port_unless_it_is_set(environ: dict[str, str], expected: str) -> None:
    assert Settings.from_environ(environ).base_url == expected


def test_a_safe_production_set_is_taken(safe: dict[str, str]) -> None:
    settings = Settings.from_environ(safe)
    assert not settings.demo and not settings.demo_region
    assert settings.notify_origins == ("https://epr.example", "https://ris.example:8443")


@pytest.mark.requirement("interface: production refuses an unsafe set")
def test_production_names_every_fault_of_the_defaults_at_once() -> None:
    assert faults({"REGISTRY_MODE": "production"}) == (
        "REGISTRY_BASE_URL is not https; production expects https",
        "REGISTRY_KEYS_DIR is the demo's; production expects a directory of its own",
        "REGISTRY_DATABASE_URL is the demo's; production expects a database of its own",
        "REGISTRY_NOTIFY_ALLOW is empty; production expects origins, or REGISTRY_NOTIFY=off",
    )


def test_production_refuses_keys_that_the_demo_has_used(safe: dict[str, str]) -> None:
    Settings(keys_dir=safe["REGISTRY_KEYS_DIR"]).mark_keys()
    assert (Path(safe["REGISTRY_KEYS_DIR"]) / DEMO_MARK).exists()
    assert faults(safe) == ("REGISTRY_KEYS_DIR is the demo's; production expects a directory of its own",)


def test_production_leaves_no_mark_on_its_keys(safe: dict[str, str]) -> None:
    Settings.from_environ(safe).mark_keys()
    assert not Path(safe["REGISTRY_KEYS_DIR"]).exists()


def test_production_notifies_nobody_in_clear(safe: dict[str, str]) -> None:
    found = faults(safe | {"REGISTRY_NOTIFY_ALLOW": "https://a.example http://b.example"})
    assert found == ("REGISTRY_NOTIFY_ALLOW names an origin that is not https; production expects https alone",)


def test_production_needs_no_origins_where_nothing_is_delivered(safe: dict[str, str]) -> None:
    settings = Settings.from_environ(safe | {"REGISTRY_NOTIFY": "off", "REGISTRY_NOTIFY_ALLOW": ""})
    assert settings.notify_origins == () and not settings.may_notify("https://epr.example/hook")


def test_production_refuses_a_variable_that_nothing_reads(safe: dict[str, str]) -> None:
    found = faults(safe | {"REGISTRY_POLCY_FILE": "region.toml"})
    assert found == ("REGISTRY_POLCY_FILE is no setting; expected REGISTRY_POLICY_FILE",)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("REGISTRY_MODE", "prod", "REGISTRY_MODE is not known; expected one of demo, production"),
        ("PORT", "http", "PORT is not a whole number; expected one: port that the web server listens on"),
        ("PORT", "70000", "PORT is out of range; expected a whole number from 1 to 65535"),
        ("REGISTRY_THREADS", "0", "REGISTRY_THREADS is out of range; expected a whole number from 1 to 256"),
        ("REGISTRY_POLICY_FILE", "/no/such.toml", "REGISTRY_POLICY_FILE names no file; expected a TOML file"),
        ("REGISTRY_LOG_LEVEL", "loud", "REGISTRY_LOG_LEVEL is not known; expected one of debug, info, warning, error"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_was_expected(variable: str, value: str, expected: str) -> None:
    assert expected in faults({variable: value})


@pytest.mark.parametrize(
    "address",
    [
        "registry.example/fhir",
        "https://registry.example",
        "https://registry.example/fhir?x=1",
        "https://user@registry.example/fhir",
        "ftp://registry.example/fhir",
        "https://registry.example:port/fhir",
        "https://registry.example/other/fhir",
    ],
)
def test_a_base_url_is_an_address_that_ends_in_fhir_and_nothing_else(address: str) -> None:
    expected = "REGISTRY_BASE_URL is not usable; expected an address like https://registry.example/fhir"
    assert faults({"REGISTRY_BASE_URL": address}) == (expected,)


def test_no_fault_repeats_what_may_be_a_secret() -> None:
    said = " ".join(faults({"REGISTRY_DATABASE_URL": "mysql://registry:pa55word@db.example/registry"}))
    assert "REGISTRY_DATABASE_URL" in said and "pa55word" not in said and "db.example" not in said


def test_the_web_server_of_production_wants_somebody_to_trust_and_nobody_of_the_demo(safe: dict[str, str]) -> None:
    settings = Settings.from_environ(safe)
    assert settings.unsafe_to_serve(["epr"], ["demo-steward"]) == []
    (nobody,) = settings.unsafe_to_serve([], ["demo-steward"])
    assert nobody.startswith("nobody could get in")
    (demo,) = settings.unsafe_to_serve(["epr", "demo-steward"], ["demo-steward"])
    assert demo.startswith("the database holds clients of the demo region")
    assert Settings().unsafe_to_serve([], []) == []


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://epr.example/hook", True),
        ("https://epr.example:443/hook", True),
        ("https://EPR.example/hook", True),
        ("https://epr.example:8443/hook", False),
        ("https://ris.example:8443/hook", True),
        ("http://epr.example/hook", False),
        ("https://epr.example.evil.example/hook", False),
        ("https://epr.example@evil.example/hook", False),
        ("https://user:word@epr.example/hook", False),
        ("https://epr.example\\@evil.example/", False),
        ("https://epr.example /hook", False),
        ("https://epr.example/\r\nHost: evil.example", False),
        ("//epr.example/hook", False),
        ("https://[::1/hook", False),
        ("file:///etc/passwd", False),
    ],
)
def test_notifications_go_to_allowed_origins_alone(safe: dict[str, str], address: str, allowed: bool) -> None:
    assert Settings.from_environ(safe).may_notify(address) is allowed


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("http://127.0.0.1:9999/hook", True), ("http://[::1]:1/", True), ("http://127.0.0.2/", False)],
)
def test_the_demo_notifies_loopback_on_any_port(address: str, allowed: bool) -> None:
    assert Settings().may_notify(address) is allowed
