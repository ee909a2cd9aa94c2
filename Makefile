# The commands of this project. Each sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.ansible/collections
PYTHON ?= python3
LOCK = requirements/controller-$(shell $(PYTHON) -c 'import sys; print("py311" if sys.version_info < (3, 12) else "py312")').txt
SCENARIOS = default release edge collection secrets sessions logs alarms baseline access edge-depth certs
LINK = .ansible/collections/ansible_collections/bulwark/flask

.PHONY: help
help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: system
system:
	@tools/install-system

.venv/.made: $(wildcard requirements/*.txt) | system
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@touch $@

$(LINK):
	@mkdir -p $(@D) && ln -sfn ../../../.. $@

.PHONY: setup
setup: system .venv/.made $(LINK)  ## Install what the other commands need

.PHONY: demo
demo: setup  ## A hardened Flask application at https://demo.localhost:8443 (DISTRO=bookworm: on Debian 12)
	@tools/testhosts.py up demo
	@tools/demo.py inventory
	@ansible-playbook -i build/demo/inventory.yml playbooks/site.yml
	@tools/demo.py summary

.PHONY: demo-down
demo-down:  ## Remove the demo
	@tools/testhosts.py down demo

.PHONY: lint
lint: setup  ## ansible-lint in the production profile, ruff
	@ansible-lint --offline --profile production
	@ruff check

.PHONY: unit
unit: setup  ## Unit tests: seconds, no host
	@pytest tests/unit

.PHONY: molecule
molecule: setup  ## Every Molecule scenario, on Debian 13 and 12: more than an hour
	@for scenario in $(SCENARIOS); do tools/scenario $$scenario; done

.PHONY: grades
grades: setup  ## What other people's scanners say of a host, and real applications behind its defaults: build/grades.md
	@tools/scenario grades

.PHONY: sample
sample: setup  ## What `make test` runs of them: the main ones whole, of the others some, on one host each
	@tools/scenario default
	@tools/scenario release debian13
	@tools/scenario edge
	@tools/scenario baseline debian12

.PHONY: bench
bench: setup  ## Wall time and tasks of a first and of a no-op run; releases under load, for ten minutes
	@tools/bench.py
	@tools/bench_release.py

.PHONY: test
test: lint unit sample  ## Lint, unit tests and the sample

.PHONY: clean
clean: demo-down  ## Remove everything that was made
	@tools/testhosts.py down molecule
	@rm -rf .venv .ansible build
