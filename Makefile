# The project's commands. `make help` lists them.
VENV := .venv
DEBIAN := postgresql pgbouncer orthanc orthanc-dicomweb orthanc-python dcmtk chromium npm maven

.PHONY: help run test lint bench validate clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /	/' | expand -t 12

$(VENV)/.runtime: requirements.txt
	@.ci/environment requirements.txt
	@touch $@

$(VENV)/.develop: requirements.txt requirements-dev.txt
	@.ci/environment requirements-dev.txt
	@touch $@ $(VENV)/.runtime

run: $(VENV)/.runtime ## start the registry with its demo region on http://127.0.0.1:8080 (HOST=… PORT=… OHIF=1)
	@$(if $(OHIF),$(VENV)/bin/python -c 'from app.assets import main; main("ohif")')
	@exec $(VENV)/bin/python -m app.server

test: $(VENV)/.develop ## everything the tests need, and the whole suite
	@.ci/system-packages $(DEBIAN)
	$(VENV)/bin/pytest

lint: $(VENV)/.develop ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy app wsgi.py

bench: $(VENV)/.develop ## the benchmarks, as in STUDIES=1000000 GROWTH=1 or PEER=hapi (benchmarks/README.md)
	@$(VENV)/bin/python -m benchmarks $(if $(STUDIES),--studies $(STUDIES)) $(if $(PATIENTS),--patients $(PATIENTS)) \
	$(if $(SECONDS),--seconds $(SECONDS)) $(if $(DBURL),--dburl $(DBURL)) $(if $(ONLY),--only "$(ONLY)") \
	$(if $(GROWTH),--growth) $(if $(PEER),--peer $(PEER)) $(if $(JSON),--json $(JSON)) $(if $(README),--readme)

validate: $(VENV)/.develop ## HL7's own Java validator on the profiles and on what the server gives out
	$(VENV)/bin/python -m tests.support.official

clean: ## remove what was installed and made here
	rm -rf $(VENV) var
