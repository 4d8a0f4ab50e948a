# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# commands-cxl.sh: fails each command of the emulated CXL memory device, in a probe of cxl_pci and in an RPC.
. /usr/lib/fwctl-vm/commands.sh

load_cxl
device=$(the_device) || fail "$device"
memdev=$(memdev_of "$device")
drives cxl_pci "$(pci_of "$memdev")"

# A Feature that takes several commands to read and to write: large-at-reset.
feature=66776374-6c00-4000-8000-000000000015
fwctl cxl get "$device" $feature -o raw >/tmp/value || fail "cannot get $feature"

# get, put: an operation of a program
get() { fwctl cxl get "$device" $feature -o raw; }
put() { fwctl cxl set "$device" $feature -i /tmp/value --scope debug-write-full; }

# is_well: fails unless the Feature has its value, can be set, and no transfer is left open
is_well() {
	emu release >/dev/null || fail "the device keeps its answer"
	device=$(the_device) || fail "after '$spec': $device"
	get >/tmp/answer 2>/tmp/error || fail "after '$spec': $(cat /tmp/error)"
	cmp -s /tmp/answer /tmp/value || fail "after '$spec', the Feature has another value"
	put >/tmp/answer 2>&1 || fail "after '$spec': $(cat /tmp/answer)"
	no_transfer
}

no_transfer() {
	local transfers
	transfers=$(counter /transfers)
	case $transfers in
	*'"open":null'*) ;;
	*) fail "after '$spec', a transfer is left: $transfers" ;;
	esac
}

# unbound: fails unless each fwctl device answers and unbinding the driver removes it
unbound() {
	local one
	emu release >/dev/null || fail "the device keeps its answer"
	for one in $(devices); do fwctl info "$one" >/tmp/answer 2>&1 || fail "after '$spec': $(cat /tmp/answer)"; done
	unbind
}

is_well
# A background operation is still running when the driver aborts the transfer.
for way in status=4:refused status=0xffff:refused late=20:passed garble:passed truncate=1:short claim=0:short \
	claim=0x1fffff:passed background,late=5000:refused $(! is_whole || echo never:ETIMEDOUT); do
	sweep get "${way%:*}" "${way#*:}" op=0x501 is_well get
	case ${way#*:} in
	# Set Feature has no output that could be short.
	short) sweep set "${way%:*}" passed op=0x502 is_well put ;;
	*) sweep set "${way%:*}" "${way#*:}" op=0x502 is_well put ;;
	esac
done

spec=none
unbound
# cxl_pci requires only the commands that a device without Features has.
sweep probe status=4 'passed ENXIO' '' unbound probe
if is_whole; then
	sweep probe late=20 passed '' unbound probe
	sweep probe never 'passed ETIMEDOUT' '' unbound probe
	sweep probe garble 'passed ENOENT' '' unbound probe
	sweep probe truncate=1 'passed EIO' '' unbound probe
	sweep probe claim=0 'passed EIO' '' unbound probe
	sweep probe claim=0x1fffff passed '' unbound probe
	sweep probe background 'passed ETIMEDOUT' '' unbound probe
fi
probe_again
is_well
