"""What archives hold, put into the registry: DICOM files, an Orthanc change feed or QIDO-RS to ImagingStudy.

`mapping` and what it imports are pure: a dataset in, FHIR out, no file, clock or network.
"""

import logging

# pydicom logs what it finds wrong with the value quoted, and the value may be a person's name or number.
logging.getLogger("pydicom").disabled = True
