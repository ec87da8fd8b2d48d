# Everything a person or a build machine does with this repository. `make help` lists it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# As Flink, Maven and the stack choose it.
JAVA := $(if $(JAVA_HOME),$(JAVA_HOME)/bin/java,java)
# Without the option it prints escapes, quiet or not and terminal or not.
MAVEN := MAVEN_OPTS="$$MAVEN_OPTS -Djansi.noreset=true" mvn --quiet --batch-mode

.PHONY: help setup run stop status test tests-of-kills tests-of-the-stack tests-without archives check bench soak lock need-python need-java need-maven
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: ## make .venv from the lock file and fetch the jars; quick when nothing changed
	@$(MAKE) --no-print-directory --jobs 2 $(VENV)/.stamp .jars/.stamp

need-python:
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON); apt-get install python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "missing: the venv module of $(PYTHON); apt-get install python3.11-venv" >&2; exit 1; }

need-java:
	@command -v "$(JAVA)" >/dev/null || \
		{ echo "missing: $(JAVA), Java 17; apt-get install openjdk-17-jre-headless, or set JAVA_HOME" >&2; exit 1; }
	@"$(JAVA)" -version 2>&1 | grep -q 'version "17' || \
		{ echo "wrong java: $(JAVA) is $$("$(JAVA)" -version 2>&1 | head -n 1), 17 is needed;" \
		"apt-get install openjdk-17-jre-headless, or set JAVA_HOME" >&2; exit 1; }

need-maven:
	@command -v mvn >/dev/null || { echo "missing: mvn; apt-get install maven" >&2; exit 1; }

# Order-only: a check is made when there is something to do, and makes nothing out of date.
$(VENV)/.stamp: requirements.lock pyproject.toml | need-python
	@# Python is there before pip is: one that was interrupted in between is made anew.
	@$(BIN)/python -m pip install --help >/dev/null 2>&1 || \
		{ echo "setup: making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "setup: installing the packages of requirements.lock"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "setup: installing tidegauge"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.jars/.stamp: pom.xml | need-java need-maven
	@rm -rf .jars
	@echo "setup: fetching Kafka's jars"
	@$(MAVEN) -P kafka package
	@echo "setup: fetching the jars for Flink"
	@$(MAVEN) -P flink package
	@touch $@

run: setup ## start everything, feed it with this machine's metrics, show three queries with their answers
	@$(BIN)/tidegauge run

stop: ## stop everything
	@$(BIN)/tidegauge down

status: ## show what runs
	@$(BIN)/tidegauge status

check: setup ## formatting, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

test: setup ## check, and every test, on two real stacks of its own
	@$(MAKE) --no-print-directory --jobs 2 check archives
	@$(MAKE) --no-print-directory --jobs 2 tests-of-kills tests-of-the-stack tests-without

archives: setup ## keep what JVMs load of their classes, so that each start takes a third less; a minute, once
	@$(BIN)/python -m stack.classes

# Two at a time: those of a stack mostly wait for it. Where processes are killed, nothing else is under test. What needs
# no stack comes last, on both cores.
tests-of-kills:
	$(BIN)/pytest -m "kills" --durations=12

tests-of-the-stack:
	$(BIN)/pytest -m "(stack or docker) and not kills" --durations=12

tests-without:
	$(BIN)/pytest -m "not stack and not docker" --numprocesses 2 --durations=12

bench: setup ## samples per second and per CPU second of the whole path, checked exactly
	$(BIN)/python -m bench.pipeline

soak: setup ## five minutes without ClickHouse, then twenty of watching a stack that it starts if none runs: nothing lost, no growth
	$(BIN)/python -m bench.outage
	$(BIN)/tidegauge run
	$(BIN)/python -m stack.soak

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "missing: uv; $(BIN)/python -m pip install uv" >&2; exit 1; }
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 --extra dev pyproject.toml -o requirements.lock
