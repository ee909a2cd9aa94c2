# The commands of this project. Each sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# Compiled modules are kept: every run of Ansible and of pytest would compile them again.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.ansible/collections
PYTHON ?= python3
LOCK = requirements/controller-$(shell $(PYTHON) -c 'import sys; print("py311" if sys.version_info < (3, 12) else "py312")').txt
SCENARIOS = default release failures repair removal readme applications collection secrets sessions logs alarms baseline access nginx_site certs attack
SAMPLE = release/debian13 failures default baseline/debian12
CHECKS = build/checks$(CORE)
# One more than there are cores: scenarios and tests also wait.
JOBS ?= $(shell echo $$(($$(nproc) + 1)))
PARALLEL = -n $(JOBS) --dist worksteal
LINK = .ansible/collections/ansible_collections/bulwark/flask

.PHONY: help
help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.made: $(LOCK)
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv module is missing; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@touch $@

$(LINK):
	@mkdir -p $(@D) && ln -sfn ../../../.. $@

.PHONY: setup
setup: .venv/.made $(LINK)  ## Install Ansible and the tools of the tests in .venv

.PHONY: hosts
hosts: setup  ## Install what runs test hosts: podman and what it needs, with apt where something is missing
	@tools/install-system

.PHONY: locks
locks: setup  ## Remake every lock file from its .in file (UPGRADE=1: with the newest versions)
	@tools/locks $(if $(UPGRADE),--upgrade)

.PHONY: demo
demo:  ## A hardened Flask application at https://demo.localhost:8443 (DISTRO=bookworm: on Debian 12)
	@$(MAKE) --no-print-directory --jobs=2 setup demo-host
	@tools/demo.py inventory
	@ansible-playbook -i build/demo/inventory.yml playbooks/site.yml
	@tools/demo.py summary

# Needs no Ansible, so the host is made while that is installed.
.PHONY: demo-host
demo-host: $(LINK)
	@tools/install-system
	@tools/testhosts.py up demo

.PHONY: demo-down
demo-down:  ## Remove the demo
	@tools/testhosts.py down demo

.PHONY: unit
unit: setup  ## Unit tests, side by side: a minute, no host
	@pytest tests/unit $(PARALLEL)

.PHONY: test-role
test-role: setup  ## Unit tests and contracts of one role: ROLE=nginx_site, half a minute
	@pytest tests/unit $(PARALLEL) -k "$(ROLE)"

.PHONY: scenario
scenario: hosts  ## One Molecule scenario: NAME=secrets, on both hosts or on HOST=debian12; 3 to 15 minutes
	@$(MAKE) --no-print-directory scenario/$(NAME)$(HOST:%=/%)

# Jobs run side by side. The longest is named first. It has no prerequisite here: make would put it off until the others
# have started.
SIDE_BY_SIDE = $(MAKE) --no-print-directory --jobs=$(JOBS) --keep-going --output-sync=line
scenario/%:  # scenario/NAME, or scenario/NAME/HOST
	@echo "scenario $(subst /, on ,$*): started, its whole output goes to build/logs/$(firstword $(subst /, ,$*)).log"
	@tools/scenario $(subst /, ,$*)

.PHONY: molecule
molecule: hosts  ## Every Molecule scenario, on Debian 13 and 12: more than an hour
	@$(SIDE_BY_SIDE) $(SCENARIOS:%=scenario/%)

.PHONY: scanners
scanners: hosts  ## Ratings of a host by scanners, and third-party applications behind the defaults: build/scanners.md
	@tools/scenario scanners

.PHONY: upgrade
upgrade: hosts  ## A Debian 12 host with an application is upgraded to Debian 13 in place
	@tools/scenario upgrade debian12

.PHONY: settings
settings: hosts  ## Every documented variable is set to another value and taken back, on Debian 13
	@tools/scenario settings debian13

.PHONY: quota
quota: hosts  ## Limits of disk space on a real kernel with project quotas, in a virtual machine
	@tools/install-system qemu-system-x86:qemu-system-x86_64
	@tools/quota.py

# Leaves out tests that take long where another one of their kind stays.
test sample: export BULWARK_SAMPLE = 1

.PHONY: sample
sample: hosts  ## The scenarios of `make test`: default and failures on both hosts, release and baseline on one each
	@$(SIDE_BY_SIDE) $(SAMPLE:%=scenario/%)

.PHONY: applications
applications: hosts  ## Own and public applications, deployed with few lines and used in a browser, on Debian 13: two tables (LIST=FILE: others)
	@tools/scenario applications debian13
	@molecule/applications/tools/public.py $(or $(LIST),molecule/applications/tools/public.yml)
	@tools/testhosts.py down public
	@cat build/applications.md build/public/$(basename $(notdir $(or $(LIST),public.yml))).md

.PHONY: bench
bench: hosts  ## What a host serves beside a common stack; runs beside a yardstick and their round trips; releases under load
	@tools/bench_serving.py
	@tools/bench.py
	@PYTHONPATH=tests:molecule/release/tests tools/bench_release.py

.PHONY: faults
faults: hosts  ## Break a host, one fault at a time, and run the playbook: a table of what is served and repaired (FAULT='disabled|masked': some)
	@PYTHONPATH=tests:molecule/repair/tests tools/faults.py '$(FAULT)'

.PHONY: kills
kills: hosts  ## Kill a first run and deploys at every task, in four ways: a table of what the next runs leave (KILL=module: one way)
	@PYTHONPATH=tests:molecule/repair/tests tools/kills.py $(KILL)

.PHONY: bench-quick
bench-quick: hosts  ## What a host serves beside a common stack, measured for a minute; it keeps its hosts
	@tools/bench_serving.py --quick --keep

.PHONY: test
test: hosts $(CHECKS)/.made  ## Lint, ansible-test sanity, unit tests and the sample, side by side
	@$(SIDE_BY_SIDE) SANITY=sanity $(firstword $(SAMPLE:%=scenario/%)) lint unit sanity $(wordlist 2,9,$(SAMPLE:%=scenario/%))

# ---- The checks. Their tools have a lock and an environment of their own. CORE=2.20: with another ansible-core.
CHECK = PATH="$(CURDIR)/$(CHECKS)/bin:$$PATH"

$(CHECKS)/.made: requirements/lint.txt $(wildcard requirements/core-$(CORE).txt)
	@$(PYTHON) -m venv --clear $(CHECKS)
	@for lock in $^; do $(CHECKS)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes -r $$lock; done
	@touch $@

.PHONY: lint
lint: $(CHECKS)/.made  ## Linters of YAML, Python, shell, workflows, words and documentation; what a build packs
	@$(CHECK) tools/lint

.PHONY: sanity
sanity: $(CHECKS)/.made  ## ansible-test sanity and units, and galaxy-importer, on the collection as it is built: 2 minutes
	@$(CHECK) python tools/run_ansible_test.py $(or $(SANITY),sanity units galaxy)

# For the workflow: every scenario but those of the nightly run, as JSON.
.PHONY: scenario-names
scenario-names:
	@$(PYTHON) -c 'import json, pathlib; print(json.dumps(sorted({p.parent.name for p in pathlib.Path("molecule").glob("*/molecule.yml")} - {"scanners", "settings", "upgrade"})))'

build/docs/.made: requirements/docs.txt
	@$(PYTHON) -m venv --clear build/docs
	@build/docs/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

.PHONY: docs
docs:  ## The reference of the inventory, its schema and the tables of the READMEs, from the specifications
	@$(PYTHON) tools/reference.py

.PHONY: docs-html
docs-html: build/docs/.made  ## HTML pages of all documentation, in build/docs/html
	@PATH="$(CURDIR)/build/docs/bin:$$PATH" tools/docs-html

.PHONY: clean
clean: demo-down  ## Remove everything that was made
	@tools/testhosts.py down molecule
	@tools/quota.py down
	@rm -rf .venv build
	@find .ansible -mindepth 1 -maxdepth 1 ! -name collections -exec rm -rf {} +
