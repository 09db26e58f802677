"""The demo region: three fictional trusts, their archives, clinicians, patients and studies from real DICOM files.

Nothing here is a real organisation or person: organisations are named after trees, clinicians after birds with the
family name Example, patients after trees and herbs with the family name Demo, NHS numbers are of the 999 test range.
"""
