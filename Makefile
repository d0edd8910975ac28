# Two commands matter: `make run` and `make test`. Both start from nothing but Python 3.11 and pip.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
CHECKS := .venv/ready-to-check
export ONCE SHOP_FAULT
# Without its bytecode, each hub that a test starts would compile all of its modules anew.
export PYTHONDONTWRITEBYTECODE :=
HUB_ENV := HUB_ENV_FILE=/dev/null SECRET_KEY=only-for-checks-0123456789abcdefghijklmnopqrstuvwxyz- \
	SEALING_KEYS=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY= ALLOWED_HOSTS=localhost

# Tests wait for processes, browsers and deadlines for about a quarter of their time.
TEST_PROCESSES = $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")

.PHONY: run start test quick test-sqlite test-postgresql check lint types contracts migrations submission nightly \
	gate-stress promises faults peers start-peers bench screenshots docs upgrade-database lock sbom newest clean

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
INSTALL := $(BIN)/python $(PIP_INSTALL) --require-hashes

$(READY): requirements-run.lock
	@echo "Installing Python packages into .venv, once: this takes about half a minute."
	$(PYTHON) -m venv .venv
	$(INSTALL) -r requirements-run.lock
	touch $@

$(CHECKS): $(READY) requirements-dev.lock
	$(INSTALL) -r requirements-dev.lock
	touch $@

LOCK := var/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --no-strip-extras \
	--generate-hashes --custom-compile-command "make lock"

# The widest lock is made first; the others have its versions. A version that still fits stays.
lock:  ## what requirements*.txt need, with hashes, into *.lock; ARGS="--upgrade" or "--upgrade-package requests" for newer versions
	$(PYTHON) -m venv var/lock
	var/lock/bin/python $(PIP_INSTALL) uv==0.13.8
	$(LOCK) $(ARGS) requirements-dev.txt -o requirements-dev.lock
	for name in requirements requirements-celery requirements-run; do \
		$(LOCK) --constraint requirements-dev.lock $$name.txt -o $$name.lock || exit; \
	done

.env: | $(READY)
	$(BIN)/python -m devtools.make_env

run:  ## the hub, its worker and both stand-in services; ONCE=1 ends after one change; EMPTY=1 without them
	@$(PYTHON) devtools/start.py $(MAKE) --no-print-directory start

start: $(READY) .env
	$(BIN)/python manage.py migrate --verbosity 0
	LOG_LEVEL=WARNING $(BIN)/python -m devtools seed_sandbox $(if $(EMPTY),--only-logins,$(if $(filter-out 0,$(ONCE)),,--stories))
	DJANGO_SETTINGS_MODULE=devtools.console_settings MALLOC_ARENA_MAX=2 PATH="$(CURDIR)/$(BIN):$$PATH" LOG_FORMAT=$${LOG_FORMAT:-text} $(BIN)/honcho start $(if $(EMPTY),web worker)

# tests/tiers/parts.py has the same expression.
GATE := not submission and not nightly and not faults and not peers
PYTEST := $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

test: $(CHECKS) test-sqlite test-postgresql  ## each promise once, on SQLite, and on PostgreSQL where that differs

test-sqlite: $(CHECKS)
	HUB_TEST_DATABASE=sqlite $(PYTEST) -m "$(GATE)" $(ARGS)

# Tests of what goes through the ORM and the write batch, of which other tests run on PostgreSQL too.
ORM_TESTS := $(addprefix tests/audit/,export format retention verification) tests/connectors tests/devtools tests/exports \
	tests/logins $(addprefix tests/sync/,comparisons erasure housekeeping limits mappings monitoring operations planning rechecks \
	references replays search statistics) \
	$(patsubst %,tests/sync/attempts/test_%.py,absence answer_language bound_credentials conditional_writes event_outcome \
	first_values matching_policy over_budget refused_access relayed replica_lag unkept_fields unread_fields) \
	$(patsubst %,tests/webhooks/receiving/test_%.py,answers_over_http bad_bodies bad_requests request_verification) \
	tests/webhooks/sources

test-postgresql: $(CHECKS)
	HUB_TEST_DATABASE=postgresql $(PYTEST) -m "$(GATE) and not pure" \
		--ignore tests/console $(foreach path,$(ORM_TESTS),--ignore $(path)) $(ARGS) \
		|| { status=$$?; [ $$status = 77 ] && [ -z "$(CI)" ] && echo "PostgreSQL half skipped: see above."; }

quick: $(CHECKS)  ## within a minute: the pure rules, and the path of a webhook on SQLite
	HUB_TEST_DATABASE=sqlite $(PYTEST) -m "(pure or flow) and $(GATE)" --ignore tests/project --ignore tests/sandbox $(ARGS)

# The files that mark a test so, or rows of a table: collecting all tests costs each process 10 s of CPU.
marked = $(shell grep -rlE --include 'test_*.py' 'mark\.$(1)|\bin_$(1)' tests | sort)

# The pages of the console that write SQL of their own, or filter, search and count; and databases of earlier releases.
PAGES_ON_POSTGRESQL := tests/console/test_every_page.py $(addprefix tests/console/,audit_log comparisons entities events failures overview replays) tests/upgrade

# tests/faults/load/groups.py names the groups: load tests begin first and never two at once; meanwhile the other
# process runs what mostly waits.
SUBMISSION := $(BIN)/python -m pytest -n 2 --dist loadgroup -rfE $(call marked,submission)

submission: $(CHECKS)  ## what .ci/run adds: all pages in a browser, kills at every operation, real systems, what changed
	HUB_TEST_DATABASE=sqlite $(SUBMISSION) -m "submission and not nightly and not peers"
	HUB_TEST_DATABASE=postgresql $(SUBMISSION) -m "submission and faults and not nightly and not pure"
	HUB_TEST_DATABASE=postgresql $(PYTEST) $(PAGES_ON_POSTGRESQL) $(ORM_TESTS) \
		-m "not nightly and not faults and not peers and not pure"
	HUB_TEST_DATABASE=postgresql HUB_TEST_ENGINE=celery $(SUBMISSION) \
		-m "submission and faults and worker_processes and not nightly and not one_engine"
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest tests/peers -m "submission and peers" -p no:xdist
	$(BIN)/python -m tests.tiers changed

nightly: $(CHECKS)  ## everything else, part by part; run again, it goes on where it was stopped
	$(BIN)/python -m tests.support.database $(BIN)/python -m tests.tiers nightly

gate-stress: $(CHECKS)  ## 20 times the tests of `make test` that start threads, processes or servers, beside busy loops
	$(BIN)/python -m tests.tiers stress

newest: $(CHECKS)  ## starts, migrates and runs `quick` on the newest Django with a newer Python, if there is one
	$(BIN)/python -m tests.tiers newest

promises: $(CHECKS)  ## prints which test holds which promise
	$(BIN)/python -m tests.promises

faults: $(CHECKS)  ## the fault suite, on both databases and with Celery
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 2 --dist loadgroup -m faults -rfE $(call marked,faults) $(ARGS)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 --dist loadgroup -m "faults and not pure" -rfE $(call marked,faults) $(ARGS)
	HUB_TEST_DATABASE=postgresql HUB_TEST_ENGINE=celery $(BIN)/python -m pytest -n 2 --dist loadgroup \
		-m "faults and worker_processes and not one_engine and not pure" -rfE $(call marked,faults) $(ARGS)

peers: $(CHECKS)  ## real systems at both ends, from package registries, named in CONTRIBUTING.md
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest tests/peers -m peers -p no:xdist $(ARGS)

start-peers: $(CHECKS)  ## real systems to connect manually, as docs/connect.md describes; PEERS="tryton" for one alone
	$(BIN)/python -m tests.peers.start $(or $(PEERS),directus tryton)

bench: $(CHECKS)  ## what a webhook costs, compared with plain views; ARGS="--quick" for a first look
	$(BIN)/python -m tests.bench $(ARGS)

docs: $(READY)  ## the reference of all settings, into docs/reference, and tables of two pages that code declares
	$(HUB_ENV) $(BIN)/python -m devtools write_reference
	$(HUB_ENV) $(BIN)/python -m devtools write_format_tables
	$(HUB_ENV) $(BIN)/python -m devtools write_format_tables docs/operations/metrics.md

sbom: $(CHECKS)  ## the packages of the production locks with their licences, as CycloneDX, into var
	$(BIN)/python -m devtools.sbom

upgrade-database: $(CHECKS)  ## the databases of this release, for tests/upgrade: once, in the commit of the release
	$(BIN)/python -m tests.upgrade.make

screenshots: $(CHECKS)  ## a picture of every screen, into var/screens; ARGS="events replay" for these only
	$(BIN)/python -m tests.browser $(ARGS)

check: $(CHECKS)  ## everything that CI runs first
	$(MAKE) --jobs 2 --output-sync=target lint types contracts migrations
	$(MAKE) test

lint: $(CHECKS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --check templates sandbox/templates devtools/templates
	$(BIN)/hadolint Dockerfile
	! grep -rnE --include='*.html' '^.{161}' templates sandbox/templates devtools/templates

types: $(CHECKS)
	$(HUB_ENV) $(BIN)/mypy config_schema database audit webhooks logins connectors sync exports console integration_hub devtools sandbox

contracts: $(CHECKS)
	$(BIN)/lint-imports

migrations: $(CHECKS)
	$(HUB_ENV) $(BIN)/python manage.py makemigrations --check --dry-run

clean:
	rm -rf .venv var .env
