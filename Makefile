# einsim: `make demo` shows it, `make test` proves it. Both make .venv themselves.
# A folder of another kind is never touched: everything lands in .venv and out/.

VENV := .venv
PY := $(VENV)/bin/python
# A small search compiles all that any search needs, into the user's cache folder: half a minute, once. A run with
# timed DRAM, beside it, compiles the DRAM.
COMPILE := set -e; for more in "map softmax" "run softmax --set accel.dram.timing=ddr4-3200 accel.dram.bandwidth=25GB/s"; do \
	$(VENV)/bin/einsim $$more --set p=64 d=64 --accel tpu-v4i --json >/dev/null & all="$$all $$!"; done; \
	for one in $$all; do wait $$one; done
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint docs format slow fuzz gpu rtl pictures clean lock sbom audit matrix

help:
	@echo "make demo    BERT-base attention at 4096 tokens on two machines, side by side; writes out/demo.html"
	@echo "make test    every fast test       make slow   the long ones       make lint   ruff and mypy"
	@echo "make fuzz    20,000 drawn inputs of every kind: SEED=7 CASES=20000"
	@echo "make rtl     the full grid of RTL runs on every simulator that is here, and synthesis"
	@echo "make docs    the documentation as a site, out/site/index.html"
	@echo "make matrix  short runs with each Python, oldest and newest packages   make lock, sbom, audit  what is installed"
	@echo "make pictures  the README's pictures, from real results            make clean  removes .venv and out"

demo: $(VENV)/.demo
	@$(PY) examples/demo.py

test: $(VENV)/.dev .ci/tools
	@$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

slow: $(VENV)/.dev .ci/tools
	@$(PY) -m pytest -q -n 2 --dist loadfile -m slow

SEED := 0
CASES := 20000
fuzz: $(VENV)/.dev
	@$(PY) -m tests.fuzz --seed $(SEED) --cases $(CASES)

rtl: $(VENV)/.dev .ci/tools
	@$(VENV)/bin/einsim validate rtl --full
	@$(VENV)/bin/einsim validate fpga

gpu: $(VENV)/.dev
	@$(PY) -m pip install --quiet -e '.[gpu]'
	@$(PY) -m pytest -q -m gpu

lint: $(VENV)/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

docs: $(VENV)/.dev
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "out/site/index.html"

format: $(VENV)/.dev
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

# What make demo and make test install, to the file: locked anew from pyproject.toml, listed, looked up.
LOCK := out/supply/bin/uv pip compile pyproject.toml .ci/locks/build.in --universal --python-version 3.11 \
	--generate-hashes --no-header --quiet --upgrade
lock: out/supply/.done
	@$(LOCK) -o .ci/locks/demo.txt
	@$(LOCK) --extra dev --extra docs --extra rtl --extra fpga --extra onnx -o .ci/locks/test.txt

sbom: out/supply/.done
	@out/supply/bin/cyclonedx-py requirements .ci/locks/demo.txt --pyproject pyproject.toml --output-reproducible \
	  --of JSON -o out/sbom.json && echo out/sbom.json

audit: out/supply/.done
	@out/supply/bin/pip-audit --disable-pip --require-hashes -r .ci/locks/test.txt

out/supply/.done: pyproject.toml
	@bash .ci/venv out/supply '.[supply]'
	@touch $@

# Each Python that is here, with the oldest and with the newest versions that pyproject.toml allows: `make matrix`.
matrix: out/supply/.done
	@bash .ci/matrix

pictures: $(VENV)/.demo
	@$(PY) examples/readme_picture.py docs/img/demo.svg

clean:
	rm -rf $(VENV) out

# A stamp is newer than pyproject.toml when what it asks for is installed.
$(VENV)/.demo: pyproject.toml .ci/locks/demo.txt
	@bash .ci/venv $(VENV) .ci/locks/demo.txt
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: pyproject.toml .ci/locks/test.txt
	@bash .ci/tools
	@bash .ci/venv $(VENV) .ci/locks/test.txt
	@$(COMPILE)
	@touch $(VENV)/.demo $@

# Not a file that is made: running it says whether the programs that the RTL tests call are there.
.PHONY: .ci/tools
.ci/tools:
	@bash .ci/tools
