# Two commands matter: `make run` and `make test`. Both start from nothing but Python 3.11 and pip.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
export ONCE SHOP_FAULT
export PYTHONDONTWRITEBYTECODE := 1
HUB_ENV := HUB_ENV_FILE=/dev/null SECRET_KEY=only-for-checks-0123456789abcdefghijklmnopqrstuvwxyz- \
	SEALING_KEYS=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY= ALLOWED_HOSTS=localhost

.PHONY: run test test-sqlite test-postgresql check lint types contracts migrations slow faults bench screenshots clean

$(READY): requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.env: | $(READY)
	$(BIN)/python -m integration_hub.laptop

run: $(READY) .env  ## the hub, its worker and both stand-in services; ONCE=1 ends after one change
	$(BIN)/python manage.py migrate --verbosity 0
	$(BIN)/python manage.py seed_sandbox
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start

test: $(READY) test-sqlite test-postgresql  ## the whole suite, on SQLite and on PostgreSQL

test-sqlite: $(READY)
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not faults" $(ARGS)

test-postgresql: $(READY)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not faults and not pure" $(ARGS) \
		|| { status=$$?; [ $$status = 77 ] && [ -z "$(CI)" ] && echo "PostgreSQL half skipped: see above."; }

slow: $(READY)  ## crash loops and load, on both databases
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -m slow $(ARGS)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -m slow $(ARGS)

faults: $(READY)  ## the fault suite, on both databases; HUB_FAULTS=long for the longer tier
	HUB_TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 2 --dist loadscope -m faults -rfEP $(ARGS)
	HUB_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 2 --dist loadscope -m "faults and not pure" -rfEP $(ARGS)

bench: $(READY)  ## what a webhook costs, beside a naive view; ARGS="--quick" for a first look
	$(BIN)/python -m tests.bench $(ARGS)

screenshots: $(READY)  ## docs/screens: a picture of every screen; ARGS="events replay" for those alone
	$(BIN)/python -m tests.browser $(ARGS)

check: lint types contracts migrations test  ## everything that CI asks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(HUB_ENV) $(BIN)/mypy audit webhooks sync integration_hub sandbox

contracts: $(READY)
	$(BIN)/lint-imports

migrations: $(READY)
	$(HUB_ENV) $(BIN)/python manage.py makemigrations --check --dry-run

clean:
	rm -rf .venv var .env
