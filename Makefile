# SPDX-License-Identifier: GPL-2.0-only
# Every target is a script in scripts/, whose head documents it.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export KDIR T ARCH KERNEL MINUTES PREFIX DESTDIR
# Only test-all sets it.
unexport ALL
# The scripts call make in kernel trees, which must not inherit our options and variables.
unexport MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES

help: ## print this text
	@scripts/help $(MAKEFILE_LIST)

run: ## build, boot a VM with emulated devices, list them; then a shell, on a terminal
	@scripts/run run

test: ## run the tests, but not the slow ones; T=PATTERN: all that match; KERNEL=NAME: those in the VM, on another kernel
	@scripts/test

test-all: ## run all tests
	@ALL=yes scripts/test

faults: ## inject allocation, usercopy and firmware failures in the VM and summarise them
	@scripts/faults

storm: ## stress the devices while drivers and devices come and go, in the VM; SECONDS=120 SEED=1
	@STORM_SECONDS=$(or $(SECONDS),120) STORM_SEED=$(or $(SEED),1) scripts/test storm/

fuzz: ## fuzz the ioctls and the decoders, guided by coverage; SECONDS=60 SEED=1; CORPUS=write: update the corpus
	@FUZZ_SECONDS=$(or $(SECONDS),60) FUZZ_SEED=$(or $(SEED),1) CORPUS=$(CORPUS) scripts/fuzz

list: ## list the tests; T=PATTERN: some of them
	@scripts/list

conformance: ## run the selftests on the C core and on this one; every difference must be explained
	@scripts/conformance

bench: ## count the instructions of each ioctl on the C core and on this one
	@scripts/bench

shell: ## boot the VM into a shell
	@scripts/run shell

kernel: ## build kernels with our files in them, and their modules, into out/kernel
	@scripts/kernel kernel

modules: ## build the modules only, into out/modules; KDIR=TREE: for that tree, which is only read
	@scripts/kernel modules

install-into: ## add our files and patches to the kernel tree KDIR=TREE
	@scripts/install-into "$(KDIR)"

series: ## write a series for git am into out/series; KDIR=TREE: against that tree
	@scripts/series/make

doc: ## build the documentation of the Rust code, into out/doc
	@scripts/doc

install-tool: ## install the command fwctl below PREFIX=/usr/local, with man pages and completions
	@scripts/install-tool

deb: ## build the Debian packages of the command and of the modules (DKMS), into out/deb
	@scripts/deb

check: ## check the style only: rustfmt, clippy, shellcheck, checkpatch, licences, SAFETY comments, wording
	@scripts/test style tools/clippy

clean: ## remove all build results; keep the build root and the kernel source
	@scripts/clean

distclean: ## remove the whole cache
	@scripts/clean all

.PHONY: help run test test-all faults storm fuzz list bench conformance shell kernel modules install-into series doc \
	install-tool deb check clean distclean
