# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=busybox
# cli.sh SESSION: what a person types, and every byte that comes back, compared with the file SESSION.
#
# A line "$ COMMAND" is run. Below it stand its standard output, its standard error with "! " in front of each line, and "= " with
# its exit status. A line "filter: COMMAND-OF-SED" says what differs from run to run, for all output below it. Other lines are
# comments.
. /usr/lib/fwctl-vm/lib.sh

session=/usr/lib/fwctl-vm/$1
mkdir -p /tmp/cli
cd /tmp/cli || fail "there is no /tmp/cli"
: >../filter

# le32 NUMBER...: as 32-bit integers in the machine's byte order
le32() {
	for le32_number; do
		le32_bytes=
		for le32_shift in 0 8 16 24; do
			le32_bytes=$le32_bytes$(printf '\\%03o' $((le32_number >> le32_shift & 255)))
		done
		# shellcheck disable=SC2059 # the bytes are the format
		printf "$le32_bytes"
	done
}

# loopback OP ARG: a request to the loopback sample, as drivers/fwctl/loopback/loopback.h has it
loopback() {
	case $1 in
	echo) le32 0x70306c66 0 "$2" 0 ;;
	sleep) le32 0x70306c66 2 "$2" 0 ;;
	errno) le32 0x70306c66 3 "$2" 0 ;;
	fill) le32 0x70306c66 5 "$2" 0 ;;
	state) le32 0x70306c66 6 0 0 ;;
	*) fail "no such operation of the loopback: $1" ;;
	esac
}

# taint: the flag of fwctl in the kernel's taint, bit 19
taint() { echo $(($(cat /proc/sys/kernel/tainted) >> 19 & 1)); }

# is_open NODE: by anyone
is_open() {
	for is_open_fd in /proc/[0-9]*/fd/*; do
		[ "$(readlink "$is_open_fd")" != "$1" ] || return 0
	done
	return 1
}

# is_watching: the trace events of fwctl are on in an instance of tracefs
is_watching() { grep -q 1 /sys/kernel/tracing/instances/fwctl-*/events/fwctl/fwctl_rpc_done/enable 2>/dev/null; }

# as_user COMMAND...: without root's rights
as_user() { su user -s /bin/sh -c "$*"; }

# start NAME COMMAND: in the background; finish NAME: waits for it, shows what it said, and ends as it did
start() {
	start_name=$1
	shift
	rm -f "/tmp/$start_name.status"
	(
		eval "$*" >"/tmp/$start_name.out" 2>"/tmp/$start_name.err"
		echo $? >"/tmp/$start_name.status"
	) &
}
finish() {
	wait_for "the end of $1" test -s "/tmp/$1.status"
	cat "/tmp/$1.out"
	cat "/tmp/$1.err" >&2
	return "$(cat "/tmp/$1.status")"
}

transcript() {
	is_output=
	while IFS= read -r line <&3; do
		case $line in
		"= "*)
			is_output=
			continue
			;;
		esac
		[ -z "$is_output" ] || continue
		printf '%s\n' "$line"
		case $line in
		"filter: "*) printf '%s\n' "${line#filter: }" >>../filter ;;
		"$ "*)
			is_output=yes
			eval "${line#"$ "}" >../out 2>../err </dev/null 3<&-
			status=$?
			sed -f ../filter ../out
			sed -f ../filter ../err | sed 's/^/! /'
			echo "= $status"
			;;
		esac
	done
}

grep -q '^user:' /etc/passwd 2>/dev/null || echo 'user:x:1000:1000::/:/bin/sh' >>/etc/passwd
transcript 3<"$session" >/tmp/transcript
if ! diff -u "$session" /tmp/transcript; then
	echo "The whole of it:"
	cat /tmp/transcript
	fail "what the commands printed is not what $1 has (above: - expected, + printed)"
fi
