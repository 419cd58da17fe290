#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a Windows program: quiet, without a display, in the prefix that WINEPREFIX names. The output
# goes through a file, because the services that the first program starts would hold a pipe open.
export WINEDEBUG="${WINEDEBUG:--all}"
export WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="

output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT
wine "$@" >"$output" 2>&1 </dev/null
status=$?
cat "$output"
exit "$status"
