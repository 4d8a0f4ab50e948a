# SPDX-License-Identifier: GPL-2.0-only
#
# Writes a static_assert for each number that the Rust code shares with the kernel's headers:
#
# - constants named MLX5_*,
# - rows of the tables COMMANDS and HOST_MEMORY, which carry the name without its prefix.
#
# Fails if one of them is not in the form expected here, so none is left unchecked.

function check(name, number) {
	printf "#line %d \"%s\"\n", FNR, FILENAME
	printf "static_assert(%s == %s);\n", name, number
}

function fail(message) {
	printf "%s:%d: %s\n", FILENAME, FNR, message > "/dev/stderr"
	failed = 1
	exit 1
}

/^ *(pub.*)?const MLX5_/ {
	if ($0 !~ /const MLX5_[A-Z0-9_]+: u(16|32) = 0x[0-9a-f]+;$/)
		fail("not a constant with a hexadecimal number")
	match($0, /MLX5_[A-Z0-9_]+/)
	name = substr($0, RSTART, RLENGTH)
	match($0, /0x[0-9a-f]+/)
	check(name, substr($0, RSTART, RLENGTH))
}

/^ +const COMMANDS:/ {
	prefix = "MLX5_CMD_OP_"
	next
}

/^ +const HOST_MEMORY:/ {
	prefix = "MLX5_REG_"
	next
}

prefix != "" && /^ +\];$/ {
	prefix = ""
}

prefix != "" && !/^ *\/\// {
	if ($0 !~ /^ +0x[0-9a-f]+ [A-Z0-9_]+ => [^=]*,$/)
		fail("not a row: NUMBER NAME => VALUE,")
	check(prefix $2, $1)
	rows[prefix]++
}

END {
	if (!failed && !(rows["MLX5_CMD_OP_"] && rows["MLX5_REG_"]))
		fail("no table COMMANDS or no table HOST_MEMORY")
}
