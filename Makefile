# make demo: set everything up and train on real data.  make test: set everything up and run all tests.
# A file with LibTorch takes 1.3 GB to compile: as many jobs as cores, but one per 2 GB of memory.
JOBS ?= $(shell m=$$(awk '/MemTotal/ {print int($$2/2000000)}' /proc/meminfo); c=$$(nproc); [ $$m -lt $$c ] && echo $$m || echo $$c)
SOURCES = $(shell git ls-files -co --exclude-standard 'src/*.h' 'src/*.cpp' 'tests/*.h' 'tests/*.cpp' 'bench/*.cpp' 'examples/*.cpp')

.PHONY: configure build demo test package wheel sanitize soak studies bench format format-check lint structure clean help

# What tests, peers and the wheel need beside the program: set up by those who ask for them.
test wheel bench soak: SETUP = tests

configure:
	@scripts/setup $(SETUP)
	@cmake --preset release $(CMAKE_ARGS) >build-configure.log 2>&1 || { cat build-configure.log; exit 1; }
	@rm -f build-configure.log

build: configure ## set up and build build/release/loraxs, the program alone
	@cmake --build --preset release --parallel $(JOBS) --target loraxs loraxs_shared
	@ln -sfn release/loraxs build/loraxs

demo: build ## train LoRA-XS on QNLI with MiniLM-L6 and show what came out
	@scripts/demo

test: build ## build and run all tests
	@cmake --build --preset release --parallel $(JOBS)
	@ctest --test-dir build/release --output-on-failure --no-tests=error --parallel $(JOBS)

package: build ## dist/loraxs-*.tar.gz: program, library and headers
	@scripts/package

wheel: build ## dist/loraxs-*.whl: Python module and program; needs torch 2.13 alone
	@scripts/wheel

sanitize: configure ## what reads from outside, under the address and undefined behaviour sanitizers
	@scripts/sanitize $(JOBS)

soak: build ## hours of faults, fuzzing and kills: counts above what the suite runs
	@scripts/soak

studies: build ## every study, for hours (continues where it stopped), and docs/results.md; data beside QNLI through LORAXS_DATA
	@build/loraxs study all --folder runs/studies; python3 scripts/results.py --take runs/studies --machine "$$(nproc) cores, $$(uname -m)"

bench: build ## side by side with the peers
	@.venv/bin/python bench/peers/compare.py

format: ## format all sources
	@.venv/bin/clang-format -i $(SOURCES)
	@.venv/bin/ruff format -q .

format-check: ## fail if a source is not formatted
	@.venv/bin/clang-format --dry-run --Werror $(SOURCES)
	@.venv/bin/ruff format -q --check .

lint: ## clang-tidy and ruff; unchanged files are skipped
	@scripts/lint $(JOBS)
	@.venv/bin/ruff check -q .

structure: ## which folder includes which
	@python3 scripts/check_structure.py

clean: ## remove what was built, not .venv and models
	@rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
