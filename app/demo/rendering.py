"""Pictures of DICOM frames for the demo archive, as a viewer without any library shows them: JPEG or PNG.

DICOM PS3.18, 8.7.4 (rendered media types) and 8.3.5.1 (window, viewport); PS3.3, C.11 (modality and VOI transformations)
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.pixels.utils import pixel_array

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
LARGEST = 4096


class NoPicture(ValueError):
    """The instance has no such frame, or none that can be shown."""


def frame(path: Path, dataset: Dataset, number: int) -> Any:
    """The samples of one frame (numbered from 1) as they are stored, decompressed. Raises NoPicture."""
    if "PixelData" not in dataset or not 1 <= number <= int(dataset.get("NumberOfFrames") or 1):
        raise NoPicture("no such frame")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pixel_array(path, index=number - 1)
    except Exception as error:  # what a decoder raises for a file that is broken is its own
        raise NoPicture("the frame cannot be decoded") from error


def picture(path: Path, dataset: Dataset, number: int, kind: str, query: dict[str, str]) -> bytes:
    """One frame as an image of the media type `kind`, windowed and scaled as the query says. Raises NoPicture."""
    samples = frame(path, dataset, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.fromarray(_shown(samples, dataset, query.get("window", "")))
    if viewport := _numbers(query.get("viewport", ""), 2):
        image.thumbnail((min(int(viewport[0]), LARGEST), min(int(viewport[1]), LARGEST)))
    out = io.BytesIO()
    image.save(out, FORMATS[kind], **({"quality": 90} if kind == "image/jpeg" else {}))
    return out.getvalue()


def _shown(samples: Any, dataset: Dataset, window: str) -> Any:
    """Eight bits a sample: grey, or red, green and blue."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        samples = apply_color_lut(samples, dataset)
    if samples.ndim == 3:
        return _eight(samples, dataset.PhotometricInterpretation == "PALETTE COLOR")
    if samples.ndim != 2:
        raise NoPicture("not a picture")
    values = apply_modality_lut(samples, dataset)
    asked = _numbers(window, 3)
    if asked:
        wanted = Dataset()
        wanted.update({one.tag: one for one in dataset if one.keyword.startswith(("Bits", "Pixel", "Rescale"))})
        wanted.PhotometricInterpretation = dataset.PhotometricInterpretation
        wanted.WindowCenter, wanted.WindowWidth = asked[0], max(asked[1], 1.0)
        values = apply_windowing(values, wanted)
    else:
        values = apply_voi_lut(values, dataset)
    grey = values.astype("float64")
    low, high = float(grey.min()), float(grey.max())
    grey = (grey - low) * (255.0 / (high - low)) if high > low else grey * 0
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 255.0 - grey
    return grey.astype("uint8")


def _eight(samples: Any, scaled: bool) -> Any:
    if samples.dtype == np.uint8:
        return samples
    return (samples >> 8).astype("uint8") if scaled else np.clip(samples, 0, 255).astype("uint8")


def _numbers(text: str, least: int) -> list[float]:
    """The numbers of `window=centre,width,function` or `viewport=width,height`; none where they cannot be read."""
    found = []
    for part in text.split(",")[:2]:
        try:
            found.append(float(part))
        except ValueError:
            return []
    good = len(text.split(",")) >= least and len(found) == 2 and all(np.isfinite(found)) and found[1] >= 1
    return found if good and (least == 3 or found[0] >= 1) else []
