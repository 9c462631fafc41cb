# Everything sets itself up: a fresh clone needs Python 3.11+, make and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORTURE := $(addprefix tests/test_,$(addsuffix .py,faults formats_xlsx guard hostile_loading powercut \
    protect_encryption protect_pseudonyms))

.PHONY: demo lab web test test-mariadb torture notebooks check bench bench-scale bench-widgets clean help

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(READY)  ## export sample runs to exports/ and say what was written
	@$(BIN)/python sample_data/demo.py

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks/01_load_and_inspect.ipynb

web: $(READY)  ## open the workbench on the sample runs as a web page
	$(BIN)/auditkit web --source sample_data/runs

test: check  ## run every test, the notebooks and the static checks
	SOURCE_DATE_EPOCH=1705312800 $(BIN)/python -m pytest --nbval

test-mariadb: $(READY)  ## run the tests that need a MariaDB server, which they start themselves
	SOURCE_DATE_EPOCH=1705312800 $(BIN)/python -m pytest -m mariadb tests/test_sources_contract.py \
	    tests/test_sources_sql.py

torture: $(READY)  ## run the trials of the tests in their large numbers (hours; power cuts need root and loop devices)
	AUDITKIT_TORTURE=1 SOURCE_DATE_EPOCH=1705312800 $(BIN)/python -m pytest -m '' $(TORTURE)

notebooks: $(READY)  ## run the notebooks again and keep what does not differ between machines
	cd notebooks && ../$(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --inplace \
	    --ClearMetadataPreprocessor.enabled=True \
	    --ClearMetadataPreprocessor.preserve_nb_metadata_mask="{'kernelspec'}" *.ipynb
	cd notebooks && ../$(BIN)/jupyter nbconvert --log-level WARN --coalesce-streams --inplace *.ipynb

check: $(READY)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(READY)  ## measure against the peers (minutes; makes 2.6 GB below build/)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks

bench-scale: $(READY)  ## measure databases, Parquet, processes and kills (an hour; makes 9 GB below build/; needs PostgreSQL)
	$(BIN)/python -m benchmarks --scale
	$(BIN)/python -m benchmarks.scale_listing
	$(BIN)/python -m benchmarks.scale_kills

bench-widgets: $(READY)  ## measure the widgets in a real browser beside two other tables (minutes; needs Chromium)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.widgets

clean:  ## remove what was made
	rm -rf $(VENV) build exports

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
