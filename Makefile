# The steps that CI runs too live in .ci/run, so that there is one of each.

FUZZTIME ?= 30s
SEEDS ?= 100000

.DEFAULT_GOAL := help
.PHONY: help test race lint sim fuzz bench update demo up check

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Run all tests
	go test ./...

race: ## Run the tests of concurrent packages under the race detector
	.ci/run race

lint: ## Check format, go vet, staticcheck
	.ci/run format vet staticcheck

sim: ## Hold SEEDS (100000) small worlds against the promises of the rooms
	ROOMTRAIL_SEEDS=$(SEEDS) go test ./sim -run Seeds -v

fuzz: ## Fuzz each target of events, credentials and intake for FUZZTIME (30s)
	FUZZTIME=$(FUZZTIME) .ci/run fuzz

bench: ## Measure what is promised
	go run ./bench

update: ## Write generated files anew: dashboards, the table of transitions
	go test ./dashboards -update
	go test ./room -update

demo: ## Run everything in one process, on its own servers
	go run ./cmd/demo

up: ## Run everything in containers, with Grafana (needs .env)
	docker compose up -d --build --wait

check: ## Run what CI runs
	.ci/run
