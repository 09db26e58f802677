"""What ingest decides for each study: created, updated, unchanged, held, refused; nothing lost, nothing invented."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from app.ingest import files, sync
from app.ingest.files import Read
from app.ingest.identity import Identifier, Known
from app.ingest.registry import Conflict, Rejected
from app.ingest.report import Report
from app.ingest.source import Source, of_organisation
from tests.unit.ingest.ingest_memory import Memory

Image = Callable[..., Dataset]


def patient(source: Source, *numbers: str, id: str = "1") -> Known:
    return Known(f"Patient/{id}", frozenset(Identifier(str(source.patient_system), number) for number in numbers))


def run(registry: Any, source: Source, datasets: Iterable[Dataset], **options: bool) -> Report:
    return sync.ingest((Read(f"{n}.dcm", one) for n, one in enumerate(datasets)), source, registry, **options)


def test_the_dicomdir_test_files_are_three_patients_and_a_second_run_changes_nothing(
    source: Source, dicomdirtests: Path
) -> None:
    registry = Memory([patient(source, number, id=number) for number in ("77654033", "98890234", "12345678")])
    for created in (7, 0):
        report = sync.ingest(files.read_all([dicomdirtests]), source, registry)
        assert (report.patients, report.studies, report.series, report.instances) == (3, 7, 14, 81)
        assert (len(report.created), len(report.unchanged), report.held, report.alarms) == (
            created,
            7 - created,
            [],
            [],
        )
    assert registry.writes == 7
    patients = {s["subject"]["reference"] for s, _ in registry.studies.values() if _accession(s) == "2"}
    assert patients == {"Patient/77654033", "Patient/98890234"}


def _accession(study: dict[str, Any]) -> str | None:
    return next((one["value"] for one in study["identifier"] if "type" in one), None)


@pytest.mark.parametrize("length", [133, 140, 200, 300, 400, 500, 600])
def test_a_file_cut_off_anywhere_never_loses_its_neighbours(
    source: Source, dicomdirtests: Path, tmp_path: Path, length: int
) -> None:
    folder = dicomdirtests / "77654033" / "CT2"
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "17136").write_bytes((folder / "17136").read_bytes()[:length])
    report = sync.ingest(files.read_all([tmp_path]), source, Memory([patient(source, "77654033")]))
    assert (report.instances, len(report.skipped)) == (3, 1)


def test_a_dry_run_says_what_it_would_do_and_does_nothing(source: Source, dicomdirtests: Path) -> None:
    registry = Memory([patient(source, "77654033")])
    report = sync.ingest(files.read_all([dicomdirtests]), source, registry, dry_run=True)
    assert (len(report.created), len(report.held)) == (2, 5)
    assert (registry.writes, registry.studies, registry.held) == (0, {}, {})
    assert "nothing was written" in report.as_text()


def test_a_study_of_an_unknown_patient_waits_and_is_written_once_the_patient_is_known(
    source: Source, image: Image
) -> None:
    registry = Memory()
    report = run(registry, source, [image()])
    assert [one["code"] for one in report.held] == ["unknown-patient"]
    assert registry.studies == {} and len(registry.held) == 1
    registry.patients.append(patient(source, "M1"))
    assert len(run(registry, source, [image()]).created) == 1
    assert registry.held == {}


def test_what_waited_for_its_patient_is_taken_in_by_itself_and_the_rest_waits_on(source: Source, image: Image) -> None:
    registry, report = Memory(), Report()
    run(registry, source, [image(), image(PatientID="M2", StudyInstanceUID="1.2.4", SOPInstanceUID="1.2.4.1")])
    registry.patients.append(patient(source, "M1"))
    sync.try_again(source, registry, report)
    assert (report.created, report.held) == (["1.2.3"], [])
    assert [uid for uid, _endpoint in registry.held] == ["1.2.4"]


def test_a_study_held_for_a_mismatch_keeps_what_a_person_needs_to_decide(source: Source, image: Image) -> None:
    registry = Memory([Known("Patient/1", patient(source, "M1").identifiers, "1970-01-01", "male")])
    run(registry, source, [image(PatientBirthDate="19700102", PatientName="Demo^Hazel")])
    (held,) = registry.held.values()
    assert (held.code, held.person.born, held.person.name) == ("birth-date-mismatch", "1970-01-02", ("Demo^Hazel",))
    assert "subject" not in held.resource


def test_a_study_uid_used_for_two_patients_raises_an_alarm(source: Source, image: Image) -> None:
    registry = Memory([patient(source, "M1"), patient(source, "M2", id="2")])
    report = run(registry, source, [image(), image(PatientID="M2", SOPInstanceUID="1.2.3.1.2")])
    assert len(report.alarms) == 1 and not report.ok
    assert registry.studies["1.2.3"][0]["numberOfInstances"] == 1


def test_a_study_uid_known_under_another_patient_raises_an_alarm_and_changes_nothing(
    source: Source, image: Image
) -> None:
    registry = Memory([patient(source, "M1"), patient(source, "M2", id="2")])
    run(registry, source, [image()])
    report = run(registry, source, [image(PatientID="M2", SOPInstanceUID="1.2.3.1.2")])
    assert "another patient" in report.alarms[0]["reason"]
    assert registry.studies["1.2.3"][1] == 1


def test_a_sop_uid_in_two_series_raises_an_alarm(source: Source, image: Image) -> None:
    registry = Memory([patient(source, "M1")])
    report = run(registry, source, [image(), image(SeriesInstanceUID="1.2.3.2")])
    assert "two series" in report.alarms[0]["reason"]
    assert registry.studies["1.2.3"][0]["numberOfSeries"] == 1


def test_a_sop_uid_known_in_another_study_raises_an_alarm(source: Source, image: Image) -> None:
    registry = Memory([patient(source, "M1")])
    run(registry, source, [image()])
    report = run(registry, source, [image(StudyInstanceUID="1.2.4")])
    assert "another study" in report.alarms[0]["reason"]
    assert "1.2.4" not in registry.studies


def test_a_refused_study_leaves_its_neighbours_alone(source: Source, image: Image) -> None:
    class Refusing(Memory):
        def put_study(self, resource: dict[str, Any], version: int | None) -> None:
            if resource["identifier"][0]["value"] == "urn:oid:1.2.3":
                raise Rejected("not acceptable; expected better")
            super().put_study(resource, version)

    registry = Refusing([patient(source, "M1")])
    report = run(registry, source, [image(), image(StudyInstanceUID="1.2.4", SOPInstanceUID="1.2.4.1")])
    assert [one["study"] for one in report.failed] == ["1.2.3"]
    assert list(registry.studies) == ["1.2.4"]


def test_a_study_that_changes_meanwhile_is_read_again(source: Source, image: Image) -> None:
    class Racing(Memory):
        races = 2

        def put_study(self, resource: dict[str, Any], version: int | None) -> None:
            if self.races:
                self.races -= 1
                raise Conflict
            super().put_study(resource, version)

    registry = Racing([patient(source, "M1")])
    assert len(run(registry, source, [image()]).created) == 1


def test_a_study_entered_in_error_is_not_brought_back_by_its_images(source: Source, image: Image) -> None:
    registry = Memory([patient(source, "M1")])
    run(registry, source, [image()])
    study, version = registry.studies["1.2.3"]
    registry.studies["1.2.3"] = (study | {"status": "entered-in-error"}, version)
    report = run(registry, source, [image()])
    assert [one["code"] for one in report.held] == ["entered-in-error"]


def key_objects(title: str, *references: tuple[str, str, str]) -> Dataset:
    """A key object selection with this title that names (study, series, instance) UIDs."""
    dataset, concept = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = title, "DCM", "title"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.59", f"1.9.{title}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "1.2.3.99", "KO"
    dataset.PatientID = "M1"
    dataset.ConceptNameCodeSequence = [concept]
    studies = []
    for study_uid, series_uid, sop_uid in references:
        sop, series, study = Dataset(), Dataset(), Dataset()
        sop.ReferencedSOPClassUID, sop.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", sop_uid
        series.SeriesInstanceUID, series.ReferencedSOPSequence = series_uid, [sop]
        study.StudyInstanceUID, study.ReferencedSeriesSequence = study_uid, [series]
        studies.append(study)
    dataset.CurrentRequestedProcedureEvidenceSequence = studies
    return dataset


@pytest.mark.parametrize(
    ("title", "status"),
    [("113001", "cancelled"), ("113037", "entered-in-error"), ("113038", "entered-in-error"), ("113039", "cancelled")],
)
def test_a_rejection_note_withdraws_what_it_names(source: Source, image: Image, title: str, status: str) -> None:
    registry = Memory([patient(source, "M1")])
    run(registry, source, [image()])
    report = run(registry, source, [key_objects(title, ("1.2.3", "1.2.3.1", "1.2.3.1.1"))])
    assert report.withdrawn == ["1.2.3"]
    study = registry.studies["1.2.3"][0]
    assert study["status"] == status and "endpoint" not in study


def test_a_rejection_note_from_another_archive_changes_nothing(source: Source, image: Image) -> None:
    registry = Memory([patient(source, "M1")])
    run(registry, source, [image()])
    other = of_organisation("Endpoint/other", "Organization/other", "ZB1")
    report = run(registry, other, [key_objects("113001", ("1.2.3", "1.2.3.1", "1.2.3.1.1"))])
    assert (report.withdrawn, report.unchanged) == ([], ["1.2.3"])


def test_a_manifest_announces_the_images_that_it_lists(source: Source) -> None:
    registry = Memory([patient(source, "M1")])
    manifest = key_objects("113030", ("1.2.3", "1.2.3.1", "1.2.3.1.1"), ("1.2.3", "1.2.3.2", "1.2.3.2.1"))
    assert len(run(registry, source, [manifest]).created) == 1
    study = registry.studies["1.2.3"][0]
    assert [one["uid"] for one in study["series"]] == ["1.2.3.1", "1.2.3.2", "1.2.3.99"]


def test_a_report_has_reasons_and_no_patient(source: Source, image: Image) -> None:
    registry = Memory()
    report = run(
        registry, source, [image(PatientID="M-CANARY", PatientName="Canary^Name", PatientBirthDate="19010101")]
    )
    printed = report.as_text() + str(report.as_json())
    assert "CANARY" not in printed and "Canary" not in printed and "1901" not in printed
    assert report.as_json()["held"][0]["reason"]
