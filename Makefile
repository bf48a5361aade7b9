PY ?= python3
V := .venv
RUN := $(V)/bin

.PHONY: demo test test-all test-app test-wheel lint format clean docs/figures/app

$(V)/.ok: pyproject.toml constraints.txt
	$(PY) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "DEFT needs Python 3.11 or newer; call make PY=python3.11 ...")'
	$(PY) -m venv $(V)
	$(RUN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(V)/.ok
	$(RUN)/deft demo

test: $(V)/.ok
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -q -n 2 --dist loadfile

# deepinv brings torchvision, whose compiled operators do not fit a CPU build of torch, and whose presence then breaks diffusers:
# an environment inside the first one, which sees its packages and holds what deepinv adds.
$(V)/deepinv/.ok: $(V)/.ok
	$(PY) -m venv $(V)/deepinv
	$(RUN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(V)/deepinv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/parent.pth"
	$(V)/deepinv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[deepinv]'
	touch $@

test-all: $(V)/.ok $(V)/deepinv/.ok
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -q -n 2 --dist loadfile -m 'not deepinv and not browser and not wheel' --timeout 1800
	OMP_NUM_THREADS=1 $(V)/deepinv/bin/python -m pytest -q -m deepinv tests/test_deepinv.py --timeout 1800

# The page of deft app in headless Chromium, Debian's package; Playwright drives it and brings none of its own.
$(V)/.browser: $(V)/.ok
	@for name in "$$DEFT_CHROMIUM" chromium chromium-browser google-chrome; do command -v "$$name" > /dev/null && exit 0; done; \
	test "$$(id -u)" = 0 && apt-get update -q && apt-get install -q -y --no-install-recommends chromium && exit 0; \
	echo 'no Chromium; install it: sudo apt-get install chromium, or say where it is: DEFT_CHROMIUM=PATH' >&2; exit 1
	$(RUN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,browser]'
	touch $@

test-app: $(V)/.browser
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -q -m browser tests/app --timeout 1800

# The pictures of docs/app.md, by the same test.
docs/figures/app: $(V)/.browser
	mkdir -p $@
	OMP_NUM_THREADS=1 DEFT_SCREENSHOTS=$@ $(RUN)/python -m pytest -q -m browser tests/app --timeout 1800

# The wheel in a new environment: five lines of Python restore a picture.
test-wheel: $(V)/.ok
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -q -s -m wheel tests/test_wheel.py --timeout 3600

# Everything behind a table of docs/results.md that is not fresh: make table-digits DATA=FOLDER.
table-%: $(V)/.ok
	$(RUN)/python benchmarks/table.py $* --data '$(DATA)'

lint: $(V)/.ok
	$(RUN)/ruff check src tests benchmarks recipes examples
	$(RUN)/ruff format --check src tests benchmarks recipes examples
	$(RUN)/mypy

format: $(V)/.ok
	$(RUN)/ruff check --fix src tests benchmarks recipes examples
	$(RUN)/ruff format src tests benchmarks recipes examples

clean:
	rm -rf $(V) .pytest_cache .mypy_cache .ruff_cache
