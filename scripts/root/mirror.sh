# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The source of Debian's packages: the mirror that this machine already uses, if it has our suite.

# find_mirror: sets MIRROR; stops if none answers.
find_mirror() {
	local uri
	for uri in ${FWCTL_MIRROR:-$(host_mirrors)}; do
		if mirror_answers "$uri"; then
			# shellcheck disable=SC2034 # for the caller
			MIRROR=$uri
			return
		fi
	done
	die "no network: no Debian mirror answers for $SUITE-backports (tried ${FWCTL_MIRROR:-$(host_mirrors | xargs)});" \
		"check the connection or proxy, or set FWCTL_MIRROR=http://.../debian"
}

host_mirrors() {
	apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '^https?://.*/debian/?$' | sed 's,/$,,' |
		sort -u || :
}

# mirror_answers URI: uses apt's downloader, which heeds its proxy and certificate settings.
mirror_answers() {
	local file status=0
	file=$(mktemp)
	/usr/lib/apt/apt-helper -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 \
		download-file "$1/dists/$SUITE-backports/InRelease" "$file" >/dev/null 2>&1 || status=$?
	rm -f "$file"
	return "$status"
}

# mirror_options: prints this machine's download settings (proxy, certificates, checks) as options for mmdebstrap.
mirror_options() {
	apt-config dump | grep -E '^Acquire::(https?|Check-Valid-Until|Check-Date|ForceIPv[46])\b.*".+";$' |
		sed 's/^/--aptopt=/' || :
}
