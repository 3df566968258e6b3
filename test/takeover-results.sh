#!/usr/bin/env bash
# Puts the figures of the takeovers, one line of JSON in a file each, into one list.
#
# usage: takeover-results.sh FOLDER
set -eu
shopt -s nullglob
files=("$1"/takeover-*.json)
[ ${#files[@]} -gt 0 ] || { echo "no results in $1" >&2; exit 1; }
echo "["
for i in "${!files[@]}"; do
	printf '%s%s\n' "$(cat "${files[i]}")" "$([ "$i" = $((${#files[@]} - 1)) ] || echo ,)"
done
echo "]"
