#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Checks that the layers stay layers: who may include whose headers, where the operating system may
# be named, where its error numbers may be read. First it checks itself on a tree with planted
# violations.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# DIRECTORY: the directories whose headers its files may include. Anything else in the tree is
# forbidden; system headers are not looked at. The longest directory that matches counts.
readonly rules='
include/bulkhead:      include/bulkhead
src/core:              include/bulkhead src/core
src/worker:            include/bulkhead src/core src/worker
src/platform/fake:     include/bulkhead src/core src/worker src/platform/fake
src/platform/linux:    include/bulkhead src/core src/worker src/platform/linux
src/platform/windows:  include/bulkhead src/core src/worker src/platform/windows
src/launcher:          src/launcher src/platform/linux
src/host:              include/bulkhead src/host
src/cli:               include/bulkhead src/cli
src/server:            include/bulkhead src/server
tests/kit:             tests/kit
examples:              include/bulkhead examples
bench:                 include/bulkhead bench
'

# Where the names of operating systems and their error numbers may stand.
readonly system_names='^(src/platform/|tests/kit/|include/bulkhead/base\.h)'
readonly system_errors='^(src/(platform|launcher|host|cli|server)/|tests/|examples/|bench/)'

violations=0

violation() {
    printf '%s\n' "$*"
    violations=$((violations + 1))
}

# The rule's right side for a file; fails where nothing is ruled.
allowed_for() {
    local file=$1 directory rest best='' found=1
    while IFS=: read -r directory rest; do
        if [[ -n $directory && $file == "$directory"/* && ${#directory} -gt ${#best} ]]; then
            best=$directory
            allowed=$rest
            found=0
        fi
    done <<<"$rules"
    return "$found"
}

# The file in the tree that an include means, beside the including one or on the include path.
resolve() {
    local file=$1 name=$2 directory
    for directory in "${file%/*}" include src tests tests/kit; do
        if [[ -e $directory/$name ]]; then
            realpath --relative-to=. -- "$directory/$name"
            return
        fi
    done
}

check_includes() {
    local file=$1 allowed='' name target directory good
    allowed_for "$file" || return 0
    while read -r name; do
        target=$(resolve "$file" "$name")
        [[ -n $target ]] || continue
        good=''
        for directory in $allowed; do
            [[ $target != "$directory"/* ]] || good=1
        done
        [[ -n $good ]] || violation "$file: may not include $target"
    done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]([^">]+)[">].*/\1/p' "$file")
}

# The code of a file without its comments.
code() {
    "${CC:-cc}" -fpreprocessed -dD -E -P -x c "$1" 2>/dev/null
}

check_words() {
    local file=$1 where=$2 words=$3 what=$4
    [[ ! $file =~ $where ]] || return 0
    # Not grep -q, which would end before it has read all, and with it, by SIGPIPE, the compiler.
    if code "$file" | grep -wE "$words" >/dev/null; then
        violation "$file: $what"
    fi
}

check_tree() {
    local file
    violations=0
    while read -r file; do
        check_includes "$file"
        check_words "$file" "$system_names" '_WIN32|__linux__|__unix__|__MINGW32__' \
            'names an operating system'
        check_words "$file" "$system_errors" 'errno|GetLastError' 'reads a system error number'
    done < <(find include src tests examples bench -name '*.[ch]' 2>/dev/null | sort)
}

# ---- the check of the check ----------------------------------------------------------------------

plant() {
    mkdir -p -- "${1%/*}"
    printf '%s\n' "$2" >"$1"
}

check_self() {
    local tree planted found
    tree=$(mktemp -d)
    # shellcheck disable=SC2064 # the path of now
    trap "rm -rf -- '$tree'" EXIT
    pushd "$tree" >/dev/null
    plant include/bulkhead/base.h '#ifdef _WIN32'
    plant src/core/platform.h '/* errno, __linux__ */'
    plant src/platform/linux/protocol.h '#include <errno.h>'
    plant src/core/good.c '#include "platform.h"'
    plant src/launcher/good.c '#include "platform/linux/protocol.h"'
    check_tree >found
    [[ $violations -eq 0 ]] || {
        cat found
        printf 'layers: the self-check sees a violation where there is none\n'
        return 1
    }

    plant src/core/upward.c '#include "../platform/linux/protocol.h"'
    plant src/cli/inside.c '#include "core/platform.h"'
    plant src/launcher/inside.c '#  include "core/platform.h"'
    plant src/host/inside.c '#include <core/platform.h>'
    plant src/core/system.c '#if defined(__linux__)'
    plant src/worker/error.c 'int f(void) { return errno; }'
    check_tree >found
    planted=6
    [[ $violations -eq $planted ]] || {
        cat found
        printf 'layers: the self-check sees %d of %d violations\n' "$violations" "$planted"
        return 1
    }
    popd >/dev/null
}

check_self
check_tree
if ((violations)); then
    printf 'layers: %d violations\n' "$violations"
    exit 1
fi
printf 'layers: none violated\n'
