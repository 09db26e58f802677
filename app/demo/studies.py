"""The demo studies: real DICOM files that come with pydicom, given to demo patients in memory, mapped as any other.

What is real stays real (UIDs, dates, series, accession numbers); what says whose it is, is replaced before mapping, and
the files' own patient numbers remain as the archive's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pydicom.data
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from app.demo.naming import Resource
from app.demo.organisations import ALDERBROOK, BIRCHWATER, CEDARHOLME, Trust
from app.demo.people import BY_ID, Patient, resource
from app.fhir.identifier import NHS_NUMBER
from app.fhir.study import STUDY_ORDER, in_order
from app.ingest import identity, mapping

FILES = Path(pydicom.data.__file__).parent
SEX = {"male": "M", "female": "F", "other": "O"}


@dataclass(frozen=True, slots=True)
class Study:
    """Files (a folder, or names) at one trust that are given to one patient."""

    id: str
    patient: str
    trust: Trust
    files: tuple[str, ...]


STUDIES = (
    Study("hazel-cervical-spine", "hazel", BIRCHWATER, ("test_files/dicomdirtests/77654033/CR*/*",)),
    Study("hazel-head", "hazel", CEDARHOLME, ("test_files/J2K_pixelrep_mismatch.dcm",)),
    Study("rowan-chest", "rowan", BIRCHWATER, ("charset_files/chrFren.dcm",)),
    Study("rowan-ecg", "rowan", CEDARHOLME, ("test_files/waveform_ecg.dcm",)),
    Study("willow-ct", "willow", BIRCHWATER, ("test_files/dicomdirtests/98892001/*/*",)),
    Study("willow-carotids", "willow", CEDARHOLME, ("test_files/dicomdirtests/98892003/*/*",)),
    Study("birch-ct", "birch", CEDARHOLME, ("test_files/dicomdirtests/TINY_ALPHA/PT000000/*/*/*",)),
    Study("birch-heart", "birch", BIRCHWATER, ("test_files/examples_ybr_color.dcm",)),
    Study("aspen-ct", "aspen", CEDARHOLME, ("test_files/CT_small.dcm",)),
    Study("linden-mr", "linden", BIRCHWATER, ("test_files/MR_small.dcm",)),
    Study("maple-bone", "maple", CEDARHOLME, ("test_files/JPEG2000.dcm",)),
    Study("elder-chest", "elder", BIRCHWATER, ("charset_files/chrJapMulti.dcm",)),
    Study("holly-chest", "holly", BIRCHWATER, ("charset_files/chrKoreanMulti.dcm",)),
    Study("juniper-measurements", "juniper", CEDARHOLME, ("test_files/reportsi.dcm",)),
    Study("laurel-ultrasound", "laurel", BIRCHWATER, ("test_files/examples_jpeg2k.dcm",)),
    Study("olive-ultrasound", "olive", BIRCHWATER, ("test_files/examples_rgb_color.dcm",)),
    Study("sorrel-head", "sorrel", BIRCHWATER, ("test_files/693_J2KI.dcm",)),
    Study("poplar-abdomen", "poplar", CEDARHOLME, ("test_files/examples_overlay.dcm",)),
    Study("spruce-liver", "spruce", CEDARHOLME, ("test_files/liver_1frame.dcm",)),
    Study("yew-ultrasound", "yew", CEDARHOLME, ("test_files/examples_palette.dcm",)),
    Study("alder-captures", "alder", ALDERBROOK, ("test_files/SC_rgb_dcmtk*.dcm",)),
)


def studies() -> list[Resource]:
    """Every demo study. Where the files of one row are of several studies, each becomes one, numbered."""
    found: list[Resource] = []
    for study in STUDIES:
        patient, source = BY_ID[study.patient], study.trust.source
        known = identity.known(resource(patient))
        instances: dict[str, list[mapping.Instance]] = {}
        for dataset in datasets(study.files):
            made = mapping.instance(given_to(patient, study.trust, dataset), source)
            instances.setdefault(made.study_uid, []).append(made)
        for number, uid in enumerate(sorted(instances), start=1):
            assembled = mapping.assemble(instances[uid], source)
            verdict = identity.match(assembled.person, [known])
            if not isinstance(verdict, identity.Matched):
                raise ValueError(f"the demo study {study.id} does not match its patient: {verdict.reason}")
            id = study.id if len(instances) == 1 else f"{study.id}-{number}"
            made_resource = {**assembled.resource, "id": id, "subject": {"reference": patient.reference}}
            found.append(in_order(made_resource, STUDY_ORDER))
    return found


def datasets(patterns: tuple[str, ...]) -> Iterator[Dataset]:
    """The files that match, in the order of their names."""
    for pattern in patterns:
        for path in sorted(FILES.glob(pattern)):
            if path.is_file():
                yield _read(path)


@lru_cache(maxsize=256)
def _read(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path, stop_before_pixels=True, specific_tags=mapping.TAGS)


def given_to(patient: Patient, trust: Trust, dataset: Dataset) -> Dataset:
    """A copy of the dataset that says it is this patient's, as that trust's archive would have it."""
    copied = Dataset()
    copied.update(dataset)
    own = next((value for where, value in patient.records if where is trust), None)
    copied.PatientID = patient.number
    copied.IssuerOfPatientID = NHS_NUMBER
    other = Dataset()
    other.PatientID = own or ""
    other.IssuerOfPatientID = trust.ods
    copied.OtherPatientIDsSequence = [other] if own else []
    copied.PatientName = f"Demo^{patient.id.capitalize()}"
    copied.PatientBirthDate = patient.born.replace("-", "")
    copied.PatientSex = SEX[patient.gender]
    return copied
