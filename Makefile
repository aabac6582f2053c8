# The commands of README.md and .ci/run. Each sets up what it needs in .venv; plain ansible-playbook and raftctl work
# too once .venv is active.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ANSIBLE_PLAYBOOK := $(BIN)/ansible-playbook
export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
comma := ,
.SUFFIXES:

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

# --- set-up -----------------------------------------------------------------------------------------------------------

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) -V); try make PYTHON=python3.13"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) can't make virtual environments; on Debian: apt-get install python3-venv"; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: requirements.txt pyproject.toml $(VENV)/.python
	@echo "== installing requirements.txt and raft_pkg into $(VENV) (about a minute)"
	@$(BIN)/pip install --quiet -r requirements.txt
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "== installing requirements-dev.txt into $(VENV)"
	@$(BIN)/pip install --quiet -r requirements-dev.txt
	@touch $@

.PHONY: setup
setup: $(VENV)/.run ## create .venv with everything that the testbed needs

define go_on
@echo; echo "By hand: . $(BIN)/activate, then $(1)"
endef

# --- the main job -----------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.run ## deploy and verify: kind, or local processes without a container engine
	@$(ANSIBLE_PLAYBOOK) site.yml $(DEMO_OPTIONS)
	@$(ANSIBLE_PLAYBOOK) verify.yml
	$(call go_on,ansible-playbook site.yml | ansible-playbook verify.yml | raftctl --help)

.PHONY: chaos
chaos: $(VENV)/.run ## inject faults, judge, draw artifacts/report.html (CHAOS_OPTIONS)
	@$(ANSIBLE_PLAYBOOK) playbooks/chaos.yml $(CHAOS_OPTIONS)
	$(call go_on,ansible-playbook playbooks/chaos.yml -e chaos_scenario=tour)

.PHONY: mutants-e2e
mutants-e2e: $(VENV)/.dev ## five mutants in real clusters, and what detects each (MUTANTS_OPTIONS="--platform kind")
	@$(BIN)/python -m tests.ansible.mutants $(MUTANTS_OPTIONS)
	$(call go_on,ansible-playbook site.yml -e raft_mutant=NAME | ansible-playbook playbooks/chaos.yml)

.PHONY: offline
offline: $(VENV)/.run ## install engine, kind, kubectl and every image from a Debian mirror alone (root)
	@$(ANSIBLE_PLAYBOOK) playbooks/offline.yml
	$(call go_on,ansible-playbook site.yml -e testbed_platform=kind)

.PHONY: clean
clean: $(VENV)/.run ## remove the testbed: cluster, registry, local nodes, data
	@$(ANSIBLE_PLAYBOOK) playbooks/teardown.yml
	$(call go_on,ansible-playbook site.yml)

# --- checks -----------------------------------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/.dev ## every test that needs no cluster, except the slow ones
	@mkdir -p artifacts
	@$(BIN)/pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered --junit-xml artifacts/junit-test.xml
	$(call go_on,pytest tests/unit -k NAME)

.PHONY: test-slow
test-slow: $(VENV)/.dev ## the slow tests
	@mkdir -p artifacts
	@$(BIN)/pytest -m slow --junit-xml artifacts/junit-slow.xml
	$(call go_on,pytest -m slow -k NAME)

.PHONY: simulate
simulate: $(VENV)/.run ## run the simulator over SEEDS (0:1000)
	@$(BIN)/raftctl simulate --seeds $(or $(SEEDS),0:1000) --nodes 5
	$(call go_on,raftctl simulate --seeds A:B --nodes N)

.PHONY: mutants
mutants: $(VENV)/.run ## every mutant against the simulator: which invariant catches it, and when
	@$(BIN)/python -m tests.mutants
	$(call go_on,raftctl simulate --seeds A:B --mutant tests/mutants/NAME.py)

.PHONY: mutants-quick
mutants-quick: $(VENV)/.run ## the mutants that the simulator catches within seconds
	@$(BIN)/python -m tests.mutants --quick
	$(call go_on,python -m tests.mutants NAME ... --seeds A:B)

$(VENV)/.bench: requirements-bench.txt $(VENV)/.run
	@echo "== installing requirements-bench.txt into $(VENV)"
	@$(BIN)/pip install --quiet -r requirements-bench.txt
	@touch $@

.PHONY: bench
bench: $(VENV)/.bench ## compare raft_pkg with etcd and PySyncObj (half an hour; BENCH=writes,failover; QUICK=1)
	@$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(subst $(comma), ,$(BENCH))
	$(call go_on,python -m tests.benchmarks --help | raftctl bench --endpoints HOST:PORT)

.PHONY: e2e
e2e: $(VENV)/.dev ## kind: deploy, verify, deploy again (changed=0), --check, infra tests, expected failures
	@mkdir -p artifacts
	@$(ANSIBLE_PLAYBOOK) site.yml -e testbed_platform=kind
	@$(ANSIBLE_PLAYBOOK) verify.yml
	@$(ANSIBLE_PLAYBOOK) site.yml -e testbed_platform=kind | tee artifacts/second-run.log
	@grep -q 'changed=0 .*failed=0' artifacts/second-run.log || { echo "the second run changed something"; exit 1; }
	@$(ANSIBLE_PLAYBOOK) site.yml -e testbed_platform=kind --check | tee artifacts/check-mode.log
	@grep -q 'changed=0 .*failed=0' artifacts/check-mode.log || { echo "check mode reports a change"; exit 1; }
	@$(BIN)/pytest -m infra tests/infra --junit-xml artifacts/junit-infra.xml
	@$(BIN)/pytest -m e2e --junit-xml artifacts/junit-e2e.xml
	$(call go_on,kubectl logs client | kubectl logs raft-0 | ansible-playbook verify.yml)

.PHONY: e2e-five
e2e-five: $(VENV)/.run ## kind, recreated: five replicas on three workers
	@$(ANSIBLE_PLAYBOOK) site.yml -e testbed_platform=kind -e raft_replicas=5 -e kind_cluster_workers=3 \
	  -e kind_cluster_recreate=true
	@$(ANSIBLE_PLAYBOOK) verify.yml
	$(call go_on,kubectl get pods -o wide)

.PHONY: e2e-etcd
e2e-etcd: $(VENV)/.run ## kind: etcd instead of raft_pkg, verified, with faults
	@$(ANSIBLE_PLAYBOOK) playbooks/teardown.yml -e teardown_cluster=false
	@$(ANSIBLE_PLAYBOOK) site.yml -e testbed_platform=kind -e raft_system=etcd
	@$(ANSIBLE_PLAYBOOK) verify.yml
	@$(ANSIBLE_PLAYBOOK) playbooks/chaos.yml
	$(call go_on,ansible-playbook playbooks/teardown.yml -e teardown_cluster=false | ansible-playbook site.yml)

$(VENV)/.docs: requirements-docs.txt $(VENV)/.run
	@echo "== installing requirements-docs.txt into $(VENV)"
	@$(BIN)/pip install --quiet -r requirements-docs.txt
	@touch $@

.PHONY: docs
docs: $(VENV)/.docs ## the documentation as a site, in site/; fails on a broken link or anchor
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(call go_on,mkdocs serve; or open site/index.html)

.PHONY: lint
lint: $(VENV)/.dev ## ruff, mypy, import-linter, tidy, yamllint, ansible-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.tidy
	$(BIN)/yamllint --strict .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/ansible-lint --offline
	$(call go_on,ruff check --fix . | ruff format .)

.PHONY: proto
proto: $(VENV)/.dev ## regenerate the code of all .proto files
	@PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. \
	  --mypy_out=quiet:. --mypy_grpc_out=quiet:. raft_pkg/rpc/raft.proto raft_pkg/kv/kv.proto systems/etcd/etcd.proto
