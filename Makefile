# Everything a newcomer runs. Each target does its own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
SYSTEM_PACKAGES := prometheus chromium
CLUSTER_PACKAGES := containerd runc containernetworking-plugins iproute2 iptables nftables conntrack

# Every step is a process of its own: without bytecode each compiles TensorFlow anew, for 5 seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install system demo down test test-crash test-e2e test-operations test-kubernetes test-environments lint format bench generate screenshots kubernetes-schemas tensorrt-signatures requirements clean

help: ## Show this list
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(INSTALLED) system ## Install everything into .venv, and Prometheus and Chromium from the system's packages

$(INSTALLED): requirements.txt requirements-dev.txt pyproject.toml
	@command -v python3.11 >/dev/null || { echo "Slipway needs Python 3.11: install python3.11"; exit 1; }
	@echo "== Installing Python packages into $(VENV)"
	@[ -x $(PYTHON) ] || python3.11 -m venv $(VENV)
	@[ -x $(VENV)/bin/uv ] || $(PYTHON) -m pip install --quiet uv
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) -r requirements.txt -r requirements-dev.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps --editable .
	@touch $@

system:
	@.ci/system-packages $(SYSTEM_PACKAGES)

demo: install ## Train, optimise, publish, serve and roll out the digits model on this machine
	@$(PYTHON) -m slipway.local.demo up

down: ## End every process that the demo started
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m slipway.local.demo down; else echo "nothing is installed, so nothing runs"; fi

test: install ## Unit, contract, DAG and integration tests
	@$(PYTHON) -m pytest -m "not crash and not e2e and not gpu and not kubernetes and not operations and not environments" -n 2 --dist loadscope

test-crash: install ## Processes killed at every step of their work, under the eyes of a reader; shows its progress
	@$(PYTHON) -m pytest -m "crash" tests/crash

test-e2e: install ## The whole way through a real Airflow
	@$(PYTHON) -m pytest -m "e2e" tests/e2e

screenshots: install ## Take the pictures in docs/img again, of a real Airflow in a real browser
	@SLIPWAY_SCREENSHOTS=docs/img $(PYTHON) -m pytest -m "operations" tests/e2e/test_operator.py

test-operations: install ## Events, an operator's day, every task killed and cleared, in a real Airflow; shows its progress
	@$(PYTHON) -m pytest -v -m "operations" tests/e2e

test-kubernetes: TESTS ?= tests/kubernetes
test-kubernetes: install ## Rollouts on a real Kubernetes: one of its own, or the one of $$KUBECONFIG; TESTS="..." chooses files; shows its progress
	@[ -n "$$KUBECONFIG" ] || .ci/system-packages $(CLUSTER_PACKAGES)
	@PYTHONPATH=tests $(PYTHON) -m support.kubernetes.prepare
	@$(PYTHON) -m pytest -v -m "kubernetes" $(TESTS)

test-environments: install ## What runs in other releases of TensorFlow only; makes an environment of 2 GB
	@$(PYTHON) -m pytest -v -m "environments" tests/environments

lint: install ## What CI checks without running anything
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@PYTHONPATH=plugins $(VENV)/bin/lint-imports --no-cache
	@$(PYTHON) -m slipway.local.generate --check

format: install ## Mend what can be mended by itself
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format

bench: install ## Measure against peers and limits, in pairs
	@$(PYTHON) bench/run.py

generate: install ## Write the generated files again: JSON Schema and spec reference
	@$(PYTHON) -m slipway.local.generate

tensorrt-signatures: install ## Record again what TensorRT's and TF-TRT's packages can be called with; needs a C compiler
	@$(PYTHON) tests/support/tensorrt_signatures/record.py

kubernetes-schemas: install ## Take the manifests' schemas out of Kubernetes' newest patch releases again; needs go
	@PYTHONPATH=tests $(PYTHON) -m support.kubernetes_schemas.reduce

requirements: $(INSTALLED) ## Compile the pinned requirements again
	@$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --no-header --annotation-style line requirements.in -o requirements.txt
	@$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --no-header --annotation-style line requirements-dev.in -o requirements-dev.txt

clean: down ## Remove what the demo and the builds left
	@rm -rf .slipway
