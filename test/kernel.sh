#!/usr/bin/env bash
# Runs, inside the test VM, the compiled tests of the packages given as arguments, and the demo. An argument may
# be PACKAGE=PATTERN: only the tests whose names match are run then, and there must be some. Nothing may be
# skipped there: a test that skips is a failure. On a host of yours, what would change the host itself is
# skipped. Ends with a line that counts.
set -u
cd "$(dirname "$0")/.." || exit 1
export FAIRLEAD_TEST_KERNEL=1 # kernel tests are required: they fail where they would skip

log=$(mktemp)
trap 'rm -f "$log"' EXIT
broken=()

# reasons shows, for each test that has failed, where it said something last: the output of what it ran is above.
reasons() {
	awk '/^=== (RUN|CONT|NAME) / { name = $3 }
		/^ +[a-z0-9_]+\.go:[0-9]+: / { said[name, ++many[name]] = substr($0, 1, 300) }
		/^ *--- FAIL/ { print; for (i = many[$3] - 19; i <= many[$3]; i++) if (i > 0) print said[$3, i] }'
}

for package in "$@"; do
	name=${package%%=*} pattern=
	[ "$name" = "$package" ] || pattern=${package#*=}
	name=${name#./}
	echo "=== $name"
	before=$(wc -l <"$log")
	(cd "$name" && "$FAIRLEAD_CACHE/test/$name.test" -test.v -test.run "$pattern" -test.timeout 60m) 2>&1 | tee -a "$log" | grep --line-buffered -v '^=== \(RUN\|PAUSE\|CONT\|NAME\)'
	{ [ "${PIPESTATUS[0]}" = 0 ] && ! tail -n +$((before + 1)) "$log" | grep -q '^testing: warning: no tests to run'; } || broken+=("$name")
done

echo "=== the demo"
if "$FAIRLEAD_CACHE/bin/fairlead-demo" -fairlead "$FAIRLEAD_CACHE/bin/fairlead"; then
	echo "--- PASS: the demo" >>"$log"
else
	echo "--- FAIL: the demo" >>"$log"
	broken+=(demo)
fi

passed=$(grep -c '^ *--- PASS' "$log")
failed=$(grep -c '^ *--- FAIL' "$log")
skipped=$(grep -c '^ *--- SKIP' "$log")
[ "$failed" = 0 ] || { echo "failed, with the last of what each has said itself:"; reasons <"$log"; }
[ "$skipped" = 0 ] || { echo "skipped${FAIRLEAD_VM:+, which nothing may be here}:"; grep '^ *--- SKIP' "$log"; }
[ ${#broken[@]} = 0 ] || echo "not passed: ${broken[*]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && { [ "$skipped" = 0 ] || [ -z "${FAIRLEAD_VM:-}" ]; } && [ ${#broken[@]} = 0 ]
