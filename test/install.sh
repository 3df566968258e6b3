#!/usr/bin/env bash
# Installs the Debian packages that the tests and the demo use and that are missing. Says nothing when
# there is nothing to do. The VM's own needs are met by test/vm.
set -eu

missing=()
want() { # program, package
	PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
want iptables iptables
want ipvsadm ipvsadm
want ipset ipset
want nft nftables # kube-proxy's newest mode, for the benchmark
want ip iproute2
want conntrack conntrack
want nft nftables # kube-proxy's, in make conformance
want ping iputils-ping
want modprobe kmod
want setpriv util-linux
want curl curl
want chromium chromium # looks at the status page
want systemd-analyze systemd # reads the unit in deploy/systemd
want gcc gcc # the race detector
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)

[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing ${missing[*]}"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "these packages are needed; install them, or run this as root on Debian: ${missing[*]}" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 || {
	{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
		cat "$log" >&2
		exit 1
	}
}
