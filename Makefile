# SPDX-License-Identifier: GPL-2.0-only
# The front door. Every target is one script of scripts/, which says more about itself.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export KDIR T KERNEL PREFIX DESTDIR
# The scripts call make in kernel trees, which must not get our options and variables.
unexport MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES

help: ## this text
	@scripts/help $(MAKEFILE_LIST)

run: ## build, boot a VM with emulated devices, show them; then a shell if on a terminal
	@scripts/run run

test: ## everything testable; T=PATTERN for some (see list); KERNEL=debug: in the VM, on a kernel that checks each access
	@scripts/test

faults: ## allocations, accesses to user space, and commands of the emulated devices fail, in the VM; a table of them
	@scripts/faults

storm: ## everything at once, in the VM; SECONDS=120 SEED=1
	@STORM_SECONDS=$(or $(SECONDS),120) STORM_SEED=$(or $(SEED),1) scripts/test storm/

fuzz: ## calls that no program would make, guided by coverage; SECONDS=60 SEED=1; CORPUS=write: keep what was found
	@FUZZ_SECONDS=$(or $(SECONDS),60) FUZZ_SEED=$(or $(SEED),1) CORPUS=$(CORPUS) scripts/fuzz

list: ## names of the tests; T=PATTERN for some
	@scripts/list

conformance: ## the selftests on mainline's core in C and on ours: one table, every difference explained
	@scripts/conformance

bench: ## what the ioctls cost on mainline's core in C and on ours, in instructions
	@scripts/bench

shell: ## only the VM's shell
	@scripts/run shell

kernel: ## the kernels with our files in them, and their modules, into out/kernel
	@scripts/kernel kernel

modules: ## only the modules, into out/modules; KDIR=TREE: for that tree, which is only read
	@scripts/kernel modules

install-into: ## put our files and patches into KDIR=TREE
	@scripts/install-into "$(KDIR)"

series: ## write a series for git am into out/series; KDIR=TREE: against that tree
	@scripts/make-series

doc: ## documentation of the Rust code, into out/doc
	@scripts/doc

install-tool: ## install the command fwctl below PREFIX=/usr/local, with man pages and completions
	@scripts/install-tool

deb: ## the Debian packages, into out/deb
	@scripts/deb

check: ## style only: rustfmt, clippy, shellcheck, checkpatch, licences
	@scripts/test style tools/clippy

clean: ## remove what was built; the build root and the kernel source stay
	@scripts/clean

distclean: ## remove the whole cache; the next run starts from nothing
	@scripts/clean all

.PHONY: help run test faults storm fuzz list bench conformance shell kernel modules install-into series doc install-tool deb check clean distclean
