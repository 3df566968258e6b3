#!/usr/bin/env bash
# Runs, inside the test VM, the conformance tests on one proxy after the other and leaves each one's
# output in /results. What fails there is a result, so this script does not fail with it.
#
# usage: conformance.sh TEST-BINARY PATTERN PROXY...
set -u
binary=$1 pattern=$2
shift 2
cd "$(dirname "$0")/e2e" || exit 1
export FAIRLEAD_TEST_KERNEL=1
for proxy in "$@"; do
	echo "=== $proxy"
	# The limit is for a peer that hangs: the tests under way then count as failed by time.
	FAIRLEAD_TEST_PROXY=$proxy "$binary" -test.run "$pattern" -test.v -test.timeout "${FAIRLEAD_TEST_LIMIT:-40m}" 2>&1 |
		tee "/results/conformance-$proxy.log" | grep -E '^ *(--- |panic: test timed out)'
done
exit 0
