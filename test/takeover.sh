#!/usr/bin/env bash
# Runs, inside the test VM, the tests of the takeover, which leave their figures in /results.
#
# usage: takeover.sh TEST-BINARY PATTERN
set -eu -o pipefail
cd "$(dirname "$0")/e2e"
export FAIRLEAD_TEST_KERNEL=1
"$1" -test.run "$2" -test.v -test.timeout 55m 2>&1 | grep -vE 'from=client-go|warnings.go|level=DEBUG'
