"""A patient's choice from the form to the letter: QuestionnaireResponse → Task → Consent → Communication.

`form.py` is what the pages ask; `requests.py` what the public does with it (submit, status, contact); `desk.py` what the
privacy desk does (receive, accept, confirm, reject, letters sent); `clocks.py` by when.
"""
