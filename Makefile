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

.PHONY: run test quick test-sqlite test-postgresql check lint types contracts migrations slow faults peers start-peers bench screenshots clean

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(READY): requirements.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) -r requirements.txt
	touch $@

$(CHECKS): $(READY) requirements-dev.txt
	$(INSTALL) -r requirements.txt -r requirements-dev.txt
	touch $@

.env: | $(READY)
	$(BIN)/python -m integration_hub.devtools.make_env

run: $(READY) .env  ## the hub, its worker and both stand-in services; ONCE=1 ends after one change; EMPTY=1 without them
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py seed_sandbox $(if $(EMPTY),--only-logins)
	MALLOC_ARENA_MAX=2 PATH="$(CURDIR)/$(BIN):$$PATH" LOG_FORMAT=$${LOG_FORMAT:-text} $(BIN)/honcho start $(if $(EMPTY),web worker)

test: $(CHECKS) test-sqlite test-postgresql  ## the whole suite, on SQLite and on PostgreSQL

test-sqlite: $(CHECKS)
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m "not slow and not faults and not peers" $(ARGS)

# Tests of what goes through the ORM and the write batch, of which other tests run on PostgreSQL too.
ORM_TESTS := tests/audit/retention tests/devtools tests/exports tests/logins $(addprefix tests/sync/, \
	erasure housekeeping limits mappings monitoring operations rechecks references replays search statistics) \
	tests/webhooks/sources

test-postgresql: $(CHECKS)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m "not slow and not faults and not peers and not pure" \
		--ignore tests/console $(foreach path,$(ORM_TESTS),--ignore $(path)) $(ARGS) \
		|| { status=$$?; [ $$status = 77 ] && [ -z "$(CI)" ] && echo "PostgreSQL half skipped: see above."; }

quick: $(CHECKS)  ## within a minute: the pure rules, and the path of a webhook on SQLite
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m "(pure or flow) and not slow and not faults and not peers" \
		--ignore tests/project --ignore tests/sandbox $(ARGS)

# The files that mark a test so, if ARGS names no folder: collecting all tests costs each process 10 s of CPU.
marked = $(if $(filter tests/%,$(ARGS)),,$(shell grep -rl --include 'test_*.py' -e 'mark\.$(1)\b' tests | sort))

# The pages of the console that write SQL of their own, or filter, search and count.
PAGES_ON_POSTGRESQL := tests/console/test_every_page.py $(addprefix tests/console/,audit_log entities events failures overview replays)

slow: $(CHECKS)  ## browser tests, processes, crash loops and load, on both databases; on PostgreSQL also what `make test` omits
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 2 --dist worksteal -m slow $(call marked,slow) $(ARGS)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not pure" $(call marked,slow) $(ARGS)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 --dist worksteal $(PAGES_ON_POSTGRESQL) $(ORM_TESTS) \
		-m "not slow and not faults and not peers and not pure" $(ARGS)

# tests/faults/load/groups.py names the groups: load tests begin first and never two at once; meanwhile the other
# process runs what mostly waits.
faults: $(CHECKS)  ## the fault suite, on both databases and with Celery; HUB_FAULTS=long for the longer tier
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 2 --dist loadgroup -m faults -rfEP $(call marked,faults) $(ARGS)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 --dist loadgroup -m "faults and not pure" -rfEP $(call marked,faults) $(ARGS)
	HUB_TEST_DATABASE=postgresql HUB_TEST_ENGINE=celery $(BIN)/python -m pytest -n 2 --dist loadgroup \
		-m "faults and worker_processes and not one_engine and not pure" -rfEP $(call marked,faults) $(ARGS)

peers: $(CHECKS)  ## real systems at both ends, from package registries: Directus, Canaille, Tryton and Vendure
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest tests/peers -m peers -p no:xdist $(ARGS)

start-peers: $(CHECKS)  ## real systems to connect manually, as docs/connect.md describes; PEERS="tryton" for one alone
	$(BIN)/python -m tests.peers.start $(or $(PEERS),directus tryton)

bench: $(CHECKS)  ## what a webhook costs, compared with plain views; ARGS="--quick" for a first look
	$(BIN)/python -m tests.bench $(ARGS)

screenshots: $(CHECKS)  ## docs/screens: a picture of every screen; ARGS="events replay" for these only
	$(BIN)/python -m tests.browser $(ARGS)

check: $(CHECKS)  ## everything that CI runs first
	$(MAKE) --jobs 2 --output-sync=target lint types contracts migrations
	$(MAKE) test

lint: $(CHECKS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(CHECKS)
	$(HUB_ENV) $(BIN)/mypy config_schema database audit webhooks logins sync exports console integration_hub sandbox

contracts: $(CHECKS)
	$(BIN)/lint-imports

migrations: $(CHECKS)
	$(HUB_ENV) $(BIN)/python manage.py makemigrations --check --dry-run

clean:
	rm -rf .venv var .env
