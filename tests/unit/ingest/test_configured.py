"""The sources file: what it says, and what is wrong with it, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.ingest import configured
from app.ingest.source import Issuer, of_organisation

LEAST = """
[[source]]
name = "b"
kind = "orthanc"
url = "https://pacs.example/"
endpoint = "Endpoint/b"
"""


def test_a_source_needs_only_a_name_a_kind_an_address_and_an_endpoint() -> None:
    (found,) = configured.parse(LEAST)
    assert (found.name, found.url, found.zone, found.credentials) == (
        "b",
        "https://pacs.example",
        "Europe/London",
        None,
    )


def test_what_the_file_says_goes_before_what_the_registry_has() -> None:
    (found,) = configured.parse(
        LEAST
        + 'zone = "Europe/Paris"\npatient_system = "urn:x:p"\n[source.issuers.OLD]\nsystem = "urn:x:old"\nods = "ZB1"\n'
        + '[source.coding_schemes]\n99L = "urn:x:codes"\n'
    )
    source = found.over(of_organisation("Endpoint/b", "Organization/b", "ZB1"))
    assert (source.zone, source.patient_system) == ("Europe/Paris", "urn:x:p")
    assert source.accession_system.endswith("/zb1/accession")
    assert source.issuers == {"OLD": Issuer("urn:x:old", "ZB1")}
    assert source.coding_schemes == {"99L": "urn:x:codes"}


def test_a_password_is_read_from_its_file_when_it_is_needed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (found,) = configured.parse(LEAST + f'username = "u"\npassword_file = "{secret}"\n')
    secret.write_text("p\n")
    assert found.credentials == ("u", "p")


def test_no_file_means_no_sources() -> None:
    assert configured.load(None) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source = 1", "two brackets"),
        ("[[source]]\nname = 'b'", "has no kind"),
        ("nonsense", "is not TOML"),
        (LEAST + LEAST, "one name"),
        (LEAST + "color = 'red'", "has color"),
        (LEAST.replace("orthanc", "fax"), "unknown kind"),
        (LEAST.replace("https", "ftp"), "https:// was expected"),
        (LEAST + "zone = 'Nowhere/Land'", "does not exist"),
        (LEAST + "zone = 1", "not text"),
        (LEAST + "from_day = 'soon'", "does not exist"),
        (LEAST + "days = 0", "at least 1"),
        (LEAST + "[source.issuers.X]\nods = 'ZB1'", "has no system"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(configured.Wrong, match=said):
        configured.parse(text)
