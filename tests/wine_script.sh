#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# wine_script.sh SCRIPT [ARGUMENT...]: runs a shell script whose programs are for Windows, in the
# prefix that WINEPREFIX names. The script finds in BH_RUN what runs such a program, and in BH_EXE
# how its name ends. The exit status is the script's, or 1 when it left a process or a file behind.
set -uo pipefail

: "${WINEPREFIX:?is not set: where Wine keeps its Windows}"
if (($# == 0)); then
    echo "usage: wine_script.sh SCRIPT [ARGUMENT...]" >&2
    exit 2
fi
export WINEDEBUG=${WINEDEBUG:--all}
export WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="
export LC_ALL=C.UTF-8 # Wine's word for how command lines and file names are written
if [[ -t 0 || -t 1 || -t 2 ]]; then # Wine would take the terminal over
    exec </dev/null > >(cat) 2>&1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mark=BH_SCRIPT=$$.${work##*.} # in the environment of everything that the script starts

# Wine's services, which the first program starts, would hold on to that program's output. And several
# workers that are the first to use COM in a new prefix can wait ten seconds for its service.
wine net start rpcss >/dev/null 2>&1 </dev/null

# A program that waits for its input keeps them all from ending before the script does.
mkfifo "$work/hold"
wine 'C:\windows\system32\cmd.exe' <"$work/hold" >/dev/null 2>&1 &
holder=$!
exec {hold}>"$work/hold"

# The script's processes that run, but for those of Windows itself. (What has ended has no command.)
running() {
    local environment process command
    while read -r environment; do
        process=${environment%/environ}
        command=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)
        [[ -z $command || ${command,,} == c:\\windows\\* || $command == *wineserver* ]] ||
            printf '%s %s\n' "${process#/proc/}" "$command"
    done < <(grep -lFz -- "$mark" /proc/[0-9]*/environ 2>/dev/null)
}

# What has been ended may still be on its way out.
left_behind() {
    local until=$((SECONDS + 5)) left
    while left=$(running) && [[ -n $left ]] && ((SECONDS < until)); do :; done
    [[ -z $left ]] || printf '%s\n' "$left"
    find "$work/tmp" -mindepth 1
}

# Only the script has a folder of its own for what is temporary: Wine finds its server there.
mkdir "$work/tmp"
wine="env --unset=TMPDIR wine"
[[ -z ${TMPDIR:-} ]] || wine="env TMPDIR=$TMPDIR wine"
env "$mark" TMPDIR="$work/tmp" BH_RUN="$wine" BH_EXE=.exe bash "$@" {hold}>&-
status=$?
exec {hold}>&-
wait "$holder"

left=$(left_behind)
if [[ -n $left ]]; then
    printf 'wine_script.sh: left behind:\n%s\n' "$left"
    ((status != 0)) || status=1
fi
exit "$status"
