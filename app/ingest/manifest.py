"""Key object selections that speak of other instances: rejection notes and study manifests.

IHE IOCM (RAD TF-3 4.66) for rejection; IHE XDS-I.b and MADO for manifests, both of SOP class
1.2.840.10008.5.1.4.1.1.88.59 and told apart by the document title.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from app.fhir.study import DCM
from app.ingest import codes, identity
from app.ingest.mapping import Instance, Unusable, instance_elements, study_elements
from app.ingest.reading import Reader
from app.ingest.source import Source

KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
# What was rejected was either never this patient's or order's, or is right and no longer to be used.
REJECTED = {"113001": "cancelled", "113037": "entered-in-error", "113038": "entered-in-error", "113039": "cancelled"}
MANIFESTS = frozenset({"113030", "113031", "121333"})


@dataclass(frozen=True, slots=True)
class Rejection:
    """Instances to be taken away, by study UID, and the status of a study of which none is left."""

    status: str
    studies: dict[str, tuple[str, ...]]


def rejection(dataset: Dataset) -> Rejection | None:
    """The rejection that a dataset is, if it is one."""
    reader = Reader(dataset)
    title = _title(reader)
    if title not in REJECTED:
        return None
    studies: dict[str, tuple[str, ...]] = {}
    for study_uid, _series, _modality, _sop_class, sop_uid in _evidence(reader):
        studies[study_uid] = (*studies.get(study_uid, ()), sop_uid)
    return Rejection(REJECTED[title], studies)


def listed(dataset: Dataset, source: Source) -> Iterator[Instance]:
    """The instances of a manifest's own study; none when the dataset is no manifest."""
    reader = Reader(dataset)
    if _title(reader) not in MANIFESTS:
        return
    own = reader.uid("StudyInstanceUID")
    person = identity.person(reader, source)
    study = study_elements(reader, source)
    for study_uid, series_uid, modality, sop_class, sop_uid in _evidence(reader):
        if study_uid == own:
            coding = {"system": DCM, "code": modality} if modality in codes.MODALITIES else dict(codes.UNKNOWN)
            made = instance_elements(Reader(Dataset()), sop_uid, sop_class)
            yield Instance(study_uid, series_uid, sop_uid, person, study, {"modality": coding}, made)


def _title(reader: Reader) -> str | None:
    if reader.text("SOPClassUID") != KEY_OBJECTS:
        return None
    for item in reader.items("ConceptNameCodeSequence"):
        if item.text("CodingSchemeDesignator") == "DCM":
            return item.text("CodeValue")
    return None


def _evidence(reader: Reader) -> Iterator[tuple[str, str, str | None, str, str]]:
    for study in reader.items("CurrentRequestedProcedureEvidenceSequence"):
        for series in study.items("ReferencedSeriesSequence"):
            for found in series.items("ReferencedSOPSequence"):
                try:
                    uids = [
                        study.uid("StudyInstanceUID"),
                        series.uid("SeriesInstanceUID"),
                        found.uid("ReferencedSOPClassUID"),
                        found.uid("ReferencedSOPInstanceUID"),
                    ]
                except ValueError as error:
                    raise Unusable(f"names an instance wrongly: {error}") from None
                study_uid, series_uid, sop_class, sop_uid = uids
                if not (study_uid and series_uid and sop_class and sop_uid):
                    raise Unusable("names an instance without all of its uids")
                yield study_uid, series_uid, series.text("Modality"), sop_class, sop_uid
