# Everything a person runs here. Bare `make` prints this menu; every target does the set-up it needs.

PY := .venv/bin/python
# Test processes at a time. Most of a test is waiting for a process or a deadline, so more than there are cores.
JOBS ?= 4
# A board is written with dashes or without: one document.
SBOM = build/sbom/$(subst -,_,$(or $(BOARD),qemu_x86_64)).json
# A file's tests stay in one process; in the order of the folders, the slow ones first.
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
export JOBS
# Each test starts a box of several Python processes: without compiled modules on the disk each of them compiles everything anew.
export PYTHONDONTWRITEBYTECODE :=
export O BUILDROOT_DIR KERNEL_DIR BR2_DL_DIR BR2_PRIMARY_SITE TOOLCHAIN EXTRA JOBS UNPINNED STATE_ANCHORS UBOOT_DIR
export WARDGATE_VERSION WARDGATE_KEYRING WARDGATE_BOOT_KEY WARDGATE_BOOT_CERTIFICATE WARDGATE_FIT_KEY WARDGATE_FIT_CERTIFICATE WARDGATE_STUB

.PHONY: menu
menu: ## print this menu
	@echo "Wardgate - make TARGET:"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## packages and .venv (done by every target that needs it)
	@tools/setup.sh

.PHONY: venv
venv: ## .venv alone, without packages of the system (done by every target that needs no more)
	@tools/setup.sh venv

.PHONY: provider
provider: ## build/provider/wardkeys.so: the OpenSSL module for keys in a token
	@$(MAKE) -s -C hsm/provider

.PHONY: demo
demo: setup ## a test PKI, a DCMTK PACS with mutual TLS, real files through the box, the custody log verified
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m demo.run

.PHONY: demo-card
demo-card: setup ## the main job with its keys on a virtual card, pulled and returned in mid-study
	@$(MAKE) -s -C hsm/provider
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m demo.card

.PHONY: demo-iscl
demo-iscl: setup ## two boxes joined by the legacy ISCL-style channel, keys on two (virtual) cards, DCMTK at both ends
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m demo.iscl

.PHONY: demo-cable
demo-cable: setup ## the box in the cable, in network namespaces: captured on either side, a diagram of what was seen
	@PYTHONPATH=firmware:tools:tests $(PY) -m demo.cable

.PHONY: test
test: lint types test-py313 ## lint, types, every test group (those that cannot run here are named with the reason); JOBS=4
	$(PY) -m pytest -rs $(PARALLEL) -m "not alone" tests
	$(PY) -m pytest -rs -m alone tests

.PHONY: test-fast
test-fast: setup ## what needs no machine and no peer: unit, vectors, pair, and of the image what starts nothing
	$(PY) -m pytest -rs -x $(PARALLEL) tests/unit tests/vectors tests/pair
	$(PY) -m pytest -rs -x $(PARALLEL) -m "not slow" tests/image

.PHONY: test-py313
test-py313: setup ## unit, vectors and pair under Python 3.13, where it is present (development has 3.11 on, the pinned release 3.14)
	@tools/py313.sh

.PHONY: lint
lint: setup ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

.PHONY: format
format: setup ## let ruff write the format
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

.PHONY: types
types: setup ## mypy --strict over the firmware
	$(PY) -m mypy

.PHONY: soak
soak: setup ## 10,000 handshakes with the key in a SoftHSM token; 1,000 pulls of a token (a quarter of an hour)
	WARDGATE_SOAK=1 $(PY) -m pytest -rs -s tests/hardware/test_soak_token.py
	WARD_PULLS=334 $(PY) -m pytest -rs -s tests/fault/test_card_pulled_often.py

.PHONY: bench
bench: bench-hold ## ratios against stunnel and HAProxy on this machine, and hold against storescp
	@tools/bench/run

.PHONY: bench-cable
bench-cable: setup ## the box in the cable: added latency and throughput against a bare bridge and stunnel; a study under a SYN flood
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m bench.cable
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m bench.flood

.PHONY: bench-hold
bench-hold: setup ## intake of a link that holds, against storescp that syncs each file
	@PYTHONPATH=firmware:hsm:tools $(PY) -m bench.hold

.PHONY: bench-tokens
bench-tokens: setup ## handshakes with a key in a token over the same in a file, and what a slow card stalls
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m bench.tokens
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m bench.tokenbox

.PHONY: bench-iscl
bench-iscl: setup ## figures of the legacy ISCL-style channel, in ratios
	@tools/bench/iscl

.PHONY: fuzz-iscl
fuzz-iscl: setup ## fuzz the ISCL engine and capture reader; SECONDS=60
	@PYTHONPATH=firmware:hsm:tools:tests $(PY) -m fuzz.iscl $(or $(SECONDS),60)

.PHONY: image-check
image-check: setup ## our Buildroot tree against the pinned one and a kernel's, without a build; BUILDROOT_DIR= KERNEL_DIR=
	@PYTHONPATH=tools $(PY) -m imagecheck "$(BUILDROOT_DIR)"

.PHONY: image-configs
image-configs: venv ## write image/buildroot/configs from their parts
	@PYTHONPATH=tools $(PY) -m imagecheck.assemble

.PHONY: setup-image
setup-image: ## packages and .venv, and what Buildroot builds with (done by `make image`)
	@tools/setup.sh image

.PHONY: image
image: setup-image ## build the image; BOARD= (about an hour); O=folder BUILDROOT_DIR= BR2_DL_DIR= BR2_PRIMARY_SITE= TOOLCHAIN=fragment EXTRA=fragment JOBS= UNPINNED=yes; a release: STATE_ANCHORS= WARDGATE_KEYRING= WARDGATE_VERSION= WARDGATE_BOOT_KEY= WARDGATE_BOOT_CERTIFICATE= or WARDGATE_FIT_KEY= (docs/image.md)
	@tools/image.sh "$(BOARD)"

.PHONY: image-kernel
image-kernel: setup ## compile the kernel of a board by our configuration, without Buildroot; BOARD= KERNEL_DIR=
	@PYTHONPATH=tools $(PY) -m imagecheck.compile "$(BOARD)"

.PHONY: image-uboot
image-uboot: setup ## compile the U-Boot of a board by our configuration, without Buildroot; BOARD= UBOOT_DIR= WARDGATE_FIT_CERTIFICATE=
	@PYTHONPATH=tools $(PY) -m imagecheck.uboot "$(BOARD)"

.PHONY: image-test
image-test: setup ## every image test: also arm64, hawkBit, the vault, the stick, power cuts (two hours); `make test` has smoke, trust, update, offline, signed state, card, cable; IMAGE= or KERNEL=, UBOOT=
	WARDGATE_IMAGE_TEST=1 IMAGE="$(IMAGE)" KERNEL="$(KERNEL)" UBOOT="$(UBOOT)" $(PY) -m pytest -rs tests/image

.PHONY: supervisor
supervisor: venv ## build/supervisor/BOARD: what is copied to the board's microcontroller (MicroPython); BOARD=
	@$(PY) tools/mcu.py "$(BOARD)" "build/supervisor/$(BOARD)"

.PHONY: flash
flash: venv ## write an image to a disk, with questions and read-back; IMAGE= DEVICE=/dev/disk/by-id/... LARGEST=GiB
	@PYTHONPATH=tools $(PY) -m flash "$(IMAGE)" "$(DEVICE)" $(if $(LARGEST),--largest $(LARGEST)) $(if $(UNSAFE_ALLOW_INTERNAL),--unsafe-allow-internal)

.PHONY: sbom
sbom: setup ## bill of materials (CycloneDX, validated) in build/sbom; BOARD= with BUILDROOT_DIR=, or DEBIAN_ROOT=
	@PYTHONPATH=tools $(PY) -m sbom "$(SBOM)" --board "$(or $(BOARD),qemu_x86_64)" $(if $(DEBIAN_ROOT),--debian-root "$(DEBIAN_ROOT)") $(if $(BUILDROOT_DIR),--buildroot "$(BUILDROOT_DIR)")

.PHONY: cve-report
cve-report: venv ## known vulnerabilities of that bill of materials, without network; FEED=files or folders (NVD JSON 2.0, OSV) LEAST=7
	@PYTHONPATH=tools $(PY) -m cvereport "$(SBOM)" $(FEED) --least $(or $(LEAST),0)

.PHONY: codes
codes: venv ## write docs/codes.md from the table of failure codes
	@PYTHONPATH=firmware $(PY) -m wardgate.codes_page >docs/codes.md

.PHONY: configuration
configuration: venv ## write docs/configuration.md from the schema
	@PYTHONPATH=firmware $(PY) tools/configuration.py docs/configuration.md

.PHONY: clean
clean: ## remove what the targets made
	rm -rf --one-file-system .venv .venv313 build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
