#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Makes input for regex-search from what every Debian has: licences, package descriptions, words.
#
#     input.sh DIRECTORY [LINES]     writes DIRECTORY/patterns and DIRECTORY/subjects
#
# LINES (2000) ordinary subjects are taken evenly from all there is, so that two runs on one machine
# make the same files. Among them are KILLERS subjects of 10,000 times "a": with the patterns that
# repeat a group they overflow PCRE 1's stack.
set -euo pipefail

if (($# < 1 || $# > 2)); then
    echo "usage: input.sh DIRECTORY [LINES]" >&2
    exit 2
fi
directory=$1
lines=${2:-2000}
readonly KILLERS=4

mkdir -p "$directory"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources=()
for file in /usr/share/common-licenses/* /usr/share/dict/words /var/lib/dpkg/status; do
    if [[ -f $file && ! -L $file && -r $file ]]; then
        sources+=("$file")
    fi
done
if ((${#sources[@]} == 0)); then
    echo "input.sh: found no text on this system" >&2
    exit 1
fi

cat -- "${sources[@]}" | grep -av '^[[:space:]]*$' >"$work/all"
available=$(wc -l <"$work/all")
step=$((available > lines ? available / lines : 1))
awk -v step="$step" -v most="$lines" 'NR % step == 0 && n++ < most' "$work/all" >"$work/subjects"

# The killers stand evenly among the others.
count=$(wc -l <"$work/subjects")
killer=$(printf '%10000s' '' | tr ' ' a)
awk -v every=$((count / KILLERS + 1)) -v killer="$killer" '
    NR % every == 1 { print killer }
    { print }
' "$work/subjects" >"$directory/subjects"

cat >"$directory/patterns" <<'END'
\b[Ff]ree\b
\b(?i:licen[cs]e)s?\b
^\s*\d+(\.\d+)*\.?\s
\(c\)|Copyright|©
(\w+) \1\b
^[A-Z][A-Za-z-]*: .+$
[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}
https?://[^\s<>"]+
(?<!\d)\d{4}(?!\d)
\b(?:[a-z]*[aeiou]{3}[a-z]*)\b
^(?=.*\bnot\b)(?=.*\bany\b).*$
"[^"]*"
(>=|<<|=) ?([0-9][^)]*)
(a|b)*c
(?:[a-m]|[n-z])+!
END
printf '%s\n' "$(wc -l <"$directory/patterns") patterns, $(wc -l <"$directory/subjects") subjects"
