#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs into an empty prefix and builds a user's program with what pkg-config and find_package say,
# shared and static.
#
# not-under: asan tsan
set -euo pipefail

build=${BH_BIN%/bin}
prefix=$TMPDIR/prefix
work=$TMPDIR/work
trap 'rm -rf -- "$prefix" "$work"' EXIT
mkdir "$work"

cmake --install "$build" --prefix "$prefix" >/dev/null
libdir=$(dirname -- "$(find "$prefix" -name libbulkhead.a)")
for file in bin/bulkhead bin/bulkhead-host libexec/bulkhead/bulkhead-launcher \
    include/bulkhead/bulkhead.h; do
    [[ -e $prefix/$file ]] || {
        printf 'not installed: %s\n' "$file"
        exit 1
    }
done

cat >"$work/user.c" <<'EOF'
#include <bulkhead/bulkhead.h>
#include <stdio.h>

int main(void)
{
    struct bh_pool_options options;
    bh_pool_options_init(&options);
    puts(bh_version());
    return options.max_workers == 0;
}
EOF
cat >"$work/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C)
find_package(bulkhead REQUIRED)
foreach(kind shared static)
    add_executable(user-${kind} user.c)
    target_link_libraries(user-${kind} PRIVATE bulkhead::${kind})
endforeach()
EOF

with_pkg_config() {
    PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --define-variable=prefix="$prefix" "$@" bulkhead
}

cd "$work"
version=$("$prefix/bin/bulkhead" --version)
# shellcheck disable=SC2046 # pkg-config says words
cc user.c -o by-pkg-config $(with_pkg_config --cflags --libs) -Wl,-rpath,"$libdir"
# shellcheck disable=SC2046
cc -static user.c -o by-pkg-config-static $(with_pkg_config --static --cflags --libs)
cmake -S . -B by-cmake -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build by-cmake >/dev/null

for program in by-pkg-config by-pkg-config-static by-cmake/user-shared by-cmake/user-static; do
    said=$("./$program")
    [[ $version == *"$said"* ]] || {
        printf '%s says version %s, bulkhead says %s\n' "$program" "$said" "$version"
        exit 1
    }
done
