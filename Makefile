# Needs Python 3.11 to 3.13, make and a network the first time; everything else goes to .tools/ and .venv/.
PYTHON ?= python3
PROFILE ?= laptop
NB ?=

UV_VERSION := 0.13.8
UV := .tools/bin/uv
export UV_PYTHON_DOWNLOADS := never
# The stamp holds the versions that it stands for: another uv or another lock sets up anew.
UV_READY := .tools/uv-$(UV_VERSION)
READY := .venv/.ready
INSTRUCTOR_READY := .venv-instructor/.ready

.PHONY: help course test test-instructor lab setup exercises lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18
	@echo 'Options: NB=06 (one notebook), PROFILE=smoke|laptop|gpu, PYTHON=python3.12'

course: $(READY)  ## write the data set, execute the notebooks; NB=06 only one, PROFILE=laptop
	@.venv/bin/python -m vtonlib.course run --profile $(PROFILE) $(if $(NB),--nb $(NB))

test: $(READY)  ## lint, unit tests, all notebooks in smoke, proof of the exercises, coverage
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/python -m pytest --cov=vtonlib --cov=data_download --cov-report=term:skip-covered

test-instructor: $(INSTRUCTOR_READY)  ## compares our blanking and grading with nbgrader's own
	@.venv-instructor/bin/python -m pytest tests/test_exercises.py

lab: $(READY)  ## open the notebooks in JupyterLab
	@.venv/bin/jupyter lab --notebook-dir notebooks

exercises: $(READY)  ## regenerate notebooks/exercises from notebooks/src
	@.venv/bin/python -m vtonlib.course build

setup: $(READY)  ## only install

$(UV_READY):
	@$(PYTHON) tools/bootstrap.py $(UV_VERSION)
	@touch $@

$(READY): requirements.lock pyproject.toml $(UV_READY)
	@$(UV) venv --quiet --python $(PYTHON) --allow-existing .venv
	@$(UV) pip sync --quiet --python .venv --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation -e .
	@touch $@

$(INSTRUCTOR_READY): requirements-instructor.lock pyproject.toml $(UV_READY)
	@$(UV) venv --quiet --python $(PYTHON) --allow-existing .venv-instructor
	@$(UV) pip sync --quiet --python .venv-instructor --require-hashes requirements-instructor.lock
	@$(UV) pip install --quiet --python .venv-instructor --no-deps --no-build-isolation -e .
	@touch $@

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' pyproject.toml --extra dev
lock: $(UV_READY)  ## recompile requirements.lock and requirements-instructor.lock
	@$(LOCK) -o requirements.lock
	@$(LOCK) --extra instructor -c requirements.lock -o requirements-instructor.lock

clean:  ## remove what was built (data sets and environments stay)
	rm -rf build .pytest_cache .ruff_cache .hypothesis .coverage
