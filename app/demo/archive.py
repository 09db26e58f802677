"""The demo region's image archive: the real DICOM files of its studies by DICOMweb, for who has no Orthanc.

It asks nobody and decides nothing. It stands behind the proxy of the registry, on this machine, and answers whoever has
its password. As much of DICOM PS3.18 as a viewer needs: search, metadata, frames, rendered images, files.

`python -m app.demo.archive PORT PASSWORD-FILE`
"""

from __future__ import annotations

import hmac
import io
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from flask import Flask, Response, abort, request
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.filewriter import dcmwrite
from werkzeug.serving import WSGIRequestHandler, make_server

from app.demo.organisations import TRUSTS
from app.demo.people import BY_ID
from app.demo.rendering import FORMATS, NoPicture, frame, picture
from app.demo.reports import document
from app.demo.studies import FILES, STUDIES, Study, given_to

USER = "registry"
JSON = "application/dicom+json"
BOUNDARY = "demo-archive-part"
LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
BULK = 1024  # bytes from which a value is left out of metadata
STUDY_TAGS = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "PatientName",
    "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
)  # fmt: skip
SERIES_TAGS = ("Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesTime")
INSTANCE_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "InstanceNumber",
    "Rows",
    "Columns",
    "BitsAllocated",
    "NumberOfFrames",
)


class Instance(NamedTuple):
    """Where one instance lies, and whose it is."""

    path: Path
    study: Study
    study_uid: str
    series_uid: str
    uid: str
    number: int

    @property
    def dataset(self) -> Dataset:
        """The file with its pixels, as the demo patient's."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = dcmread(self.path, force=True)
            made = given_to(BY_ID[self.study.patient], self.study.trust, read)
        made.file_meta = read.file_meta
        return made


@lru_cache(maxsize=1)
def instances() -> tuple[Instance, ...]:
    """Every instance of the demo, by series and number."""
    found = []
    for study in STUDIES:
        for path in sorted(one for pattern in study.files for one in FILES.glob(pattern) if one.is_file()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read = dcmread(
                    path,
                    force=True,
                    stop_before_pixels=True,
                    specific_tags=["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber"],
                )
            number = int(read.get("InstanceNumber") or 0)
            found.append(
                Instance(path, study, read.StudyInstanceUID, read.SeriesInstanceUID, read.SOPInstanceUID, number)
            )
    return tuple(sorted(found, key=lambda one: (one.study_uid, one.series_uid, one.number, one.uid)))


def archive(password: str) -> Flask:
    """The archives of all trusts, each below the id of its Endpoint: `/birchwater-archive/studies/…`."""
    app = Flask(__name__, static_folder=None)
    trusts = {f"{trust.id}-archive": trust for trust in TRUSTS}
    study, series = "/<endpoint>/studies/<study>", "/<endpoint>/studies/<study>/series/<series>"
    instance = f"{series}/instances/<instance>"

    @app.before_request
    def known() -> None:
        given = request.authorization
        if given is None or given.username != USER or not hmac.compare_digest(given.password or "", password):
            abort(401)

    def held(endpoint: str, **uids: str) -> list[Instance]:
        names = {"study": "study_uid", "series": "series_uid", "instance": "uid"}
        found = [
            one
            for one in instances()
            if one.study.trust is trusts.get(endpoint)
            and all(getattr(one, names[name]) == uid for name, uid in uids.items())
        ]
        return found or abort(404)

    def one_of(uids: dict[str, str]) -> Instance:
        return held(uids.pop("endpoint"), **uids)[0]

    # Search ------------------------------------------------------------------------------------------------------

    @app.get("/<endpoint>/studies")
    def studies(endpoint: str) -> Response:
        named = [value for key in ("StudyInstanceUID", "0020000D") for value in request.args.getlist(key)]
        mine = [one for one in instances() if one.study.trust is trusts.get(endpoint) and one.study_uid in named]
        return _json(_searched(mine, "study_uid", STUDY_TAGS))

    @app.get(f"{study}/series")
    def series_of(**uids: str) -> Response:
        return _json(_searched(held(**uids), "series_uid", (*STUDY_TAGS, *SERIES_TAGS)))

    @app.get(f"{study}/instances")
    @app.get(f"{series}/instances")
    def instances_of(**uids: str) -> Response:
        return _json(_searched(held(**uids), "uid", (*STUDY_TAGS, *SERIES_TAGS, *INSTANCE_TAGS)))

    # Retrieve ----------------------------------------------------------------------------------------------------

    @app.get(f"{study}/metadata")
    @app.get(f"{series}/metadata")
    @app.get(f"{instance}/metadata")
    def metadata(**uids: str) -> Response:
        return _json([_described(one) for one in held(**uids)])

    @app.get(study)
    @app.get(series)
    @app.get(instance)
    def files(**uids: str) -> Response:
        return _multipart("application/dicom", (("application/dicom", _file(one)) for one in held(**uids)))

    @app.get(f"{instance}/frames/<numbers>")
    def frames(numbers: str, **uids: str) -> Response:
        one = one_of(uids)
        dataset, kind = one.dataset, "application/octet-stream"
        found = [frame(one.path, dataset, int(number)).tobytes() for number in numbers.split(",")]
        return _multipart(kind, ((f"{kind}; transfer-syntax={LITTLE_ENDIAN}", data) for data in found))

    @app.get(f"{study}/rendered")
    @app.get(f"{series}/rendered")
    @app.get(f"{instance}/rendered")
    @app.get(f"{instance}/frames/<int:number>/rendered")
    def rendered(number: int = 1, **uids: str) -> Response:
        kind = request.args.get("accept") or request.accept_mimetypes.best_match(list(FORMATS), "")
        one = one_of(uids)
        if kind not in FORMATS:
            abort(406)
        return Response(picture(one.path, one.dataset, number, kind, request.args.to_dict()), content_type=kind)

    @app.get("/<endpoint>/reports/<id>")
    def report(endpoint: str, id: str) -> Response:
        found = document(id, trusts.get(endpoint))
        return Response(found[1], content_type=found[0]) if found else abort(404)

    @app.errorhandler(NoPicture)
    def no_picture(_error: NoPicture) -> tuple[str, int]:
        return "no picture", 404

    return app


def _searched(found: Iterable[Instance], by: str, keywords: tuple[str, ...]) -> list[dict[str, Any]]:
    """One object for each study, series or instance, as QIDO-RS answers."""
    groups: dict[str, list[Instance]] = {}
    for one in found:
        groups.setdefault(getattr(one, by), []).append(one)
    answer = []
    for members in groups.values():
        dataset, said = members[0].dataset, Dataset()
        for element in filter(None, (dataset.data_element(name) for name in keywords if name in dataset)):
            said.add(element)
        if by == "study_uid":
            said.ModalitiesInStudy = sorted({one.dataset.Modality for one in members})
            said.NumberOfStudyRelatedSeries = len({one.series_uid for one in members})
            said.NumberOfStudyRelatedInstances = len(members)
        elif by == "series_uid":
            said.NumberOfSeriesRelatedInstances = len(members)
        answer.append(_as_json(said))
    return answer


def _described(one: Instance) -> dict[str, Any]:
    """Everything but pixels and other large values. Pixels come uncompressed, whatever the file's syntax."""
    dataset = one.dataset
    if dataset.get("PhotometricInterpretation", "").startswith("YBR"):
        dataset.PhotometricInterpretation = "RGB"
        dataset.PlanarConfiguration = 0
    said = _as_json(dataset)
    said["00083002"] = {"vr": "UI", "Value": [LITTLE_ENDIAN]}  # AvailableTransferSyntaxUID
    return said


def _as_json(dataset: Dataset) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = Dataset()
        kept.update({element.tag: element for element in dataset if not element.tag.is_private and not _large(element)})
        said: dict[str, Any] = kept.to_json_dict(suppress_invalid_tags=True)
    return said


def _large(element: Any) -> bool:
    return element.keyword == "PixelData" or (isinstance(element.value, bytes) and len(element.value) > BULK)


def _file(one: Instance) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(out, one.dataset)
    return out.getvalue()


def _json(said: list[dict[str, Any]]) -> Response:
    return Response(orjson.dumps(said), content_type=JSON)


def _multipart(kind: str, parts: Iterable[tuple[str, bytes]]) -> Response:
    def pieces() -> Iterator[bytes]:
        for content_type, data in parts:
            yield f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n".encode() + data + b"\r\n"
        yield f"--{BOUNDARY}--\r\n".encode()

    return Response(pieces(), content_type=f'multipart/related; type="{kind}"; boundary={BOUNDARY}')


class Quiet(WSGIRequestHandler):
    """Its requests are the proxy's, which counts them."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main(port: str, password_file: str) -> None:
    """Serve on this machine alone, until stopped."""
    password = Path(password_file).read_text().strip()
    make_server("127.0.0.1", int(port), archive(password), threaded=True, request_handler=Quiet).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:3])
