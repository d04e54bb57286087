# SPDX-License-Identifier: MIT
# The front door. `make help` says what there is; the work is in tools/frontdoor.

TARGETS := help demo check check-full kunit igt coverage lint shell record clean
.PHONY: $(TARGETS)
.DEFAULT_GOAL := help

export T RIG KSRC UPSTREAM SEED

$(TARGETS):
	@tools/bootstrap $@
