#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 120
#
# The command line from outside: each way to die in each phase, with its evidence; usage errors;
# arguments; output. BH_BIN is where the programs are. Needs jq.
#
# With BH_EXE=.exe they are Windows programs, and BH_RUN runs them (tests/wine_script.sh). What the
# systems do differently is in the two sections "Linux" and "Windows"; the rest holds for both.
set -uo pipefail

bin=${BH_BIN:?is not set: the directory of the programs}
exe=${BH_EXE:-}
slow=${KIT_SLOWDOWN:-1}
read -ra bulkhead <<<"${BH_RUN:-}" # the words that begin a command line
bulkhead+=("$bin/bulkhead$exe")
command -v jq >/dev/null || {
    echo "skipped: jq is not installed"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tag=cli-test-$$ # the pool's name, in every worker's command line
cd "$work" || exit 1

passed=0
failed=0
ok() {
    passed=$((passed + 1))
}
bad() {
    failed=$((failed + 1))
    printf 'FAILED %s\n' "$*"
}

# run ARGUMENTS...: bulkhead's status in $status, its output in the files out and err.
run() {
    status=0
    "${bulkhead[@]}" "$@" >out 2>err </dev/null || status=$?
}

# Shows what the last run left.
told() {
    printf 'status %s, stdout "%s", stderr "%s"' \
        "$status" "$(head -c 1500 out)" "$(head -c 500 err)"
}

# expect NAME STATUS JQ-EXPRESSION ARGUMENTS...: a call with --json that ends so. One line on
# stdout; on stderr one line when it failed, none when it did not.
expect() {
    local name=$1 wanted=$2 expression=$3 lines=1
    shift 3
    ((wanted == 0)) && lines=0
    run call --json --name "$tag" --deadline-ms $((1500 * slow)) "$@"
    if [[ $status == "$wanted" && $(wc -l <out) == 1 && $(wc -l <err) == "$lines" ]] &&
        jq -e "$expression" out >/dev/null 2>&1; then
        ok
    else
        bad "$name: wanted status $wanted, $expression; got $(told)"
    fi
}

# says NAME STATUS TEXT ARGUMENTS...: bulkhead with these arguments says that, in one line.
says() {
    local name=$1 wanted=$2 text=$3
    shift 3
    run "$@"
    if [[ $status == "$wanted" && $(wc -l <err) == 1 && ! -s out && $(cat err) == *"$text"* ]]; then
        ok
    else
        bad "$name: wanted status $wanted, \"$text\"; got $(told)"
    fi
}

# prints NAME TEXT ARGUMENTS...: bulkhead with these arguments succeeds and prints just that.
prints() {
    local name=$1 text=$2
    shift 2
    run "$@"
    printf '%s' "$text" >wanted
    if [[ $status == 0 && ! -s err ]] && cmp -s wanted out; then
        ok
    else
        bad "$name: wanted \"$text\"; got $(told)"
    fi
}

is() {
    if [[ $2 == "$3" ]]; then
        ok
    else
        bad "$1: wanted \"$3\", got \"$2\""
    fi
}

# Nothing of ours may be left when bulkhead has ended, grandchildren included. (What has ended may
# still be on its way out.)
nothing_left() {
    local left until=$((SECONDS + 2))
    while left=$(pgrep -fa -- "--bulkhead=$tag,") && ((SECONDS < until)); do :; done
    is "$1: processes left behind" "$left" ""
}

mishaps=(--worker "$bin/mishaps")

# ---- deaths --------------------------------------------------------------------------------------

# evidence: what each kind must leave, whatever the phase. stuck: the kinds that need our own kill.
# segv_line: a fault, as a line says it.
declare -A evidence

know_linux() {
    evidence=(
        [segv]='.cause == "fault" and .signal == "SIGSEGV" and .address == "0x0" and
                .stack_overflow == false'
        [bus]='.cause == "fault" and .signal == "SIGBUS" and (.address | test("^0x[0-9a-f]{4}"))'
        [fpe]='.cause == "fault" and .signal == "SIGFPE" and .address == .instruction'
        [ill]='.cause == "fault" and .signal == "SIGILL" and .address == .instruction'
        [thread]='.cause == "fault" and .signal == "SIGSEGV" and .thread_id != .pid'
        [stack]='.cause == "fault" and .signal == "SIGSEGV" and .stack_overflow == true'
        [abort]='.cause == "abort" and .signal == "SIGABRT"'
        [double-free]='.cause == "abort" and .signal == "SIGABRT" and
                       (.output | test("double.free"))'
        [exit]='.cause == "exit" and .exit_code == 3 and .exiting == true'
        [_exit]='.cause == "exit" and .exit_code == 4 and .exiting == false'
        [kill]='.cause == "killed" and .signal == "SIGKILL" and (has("address") | not)'
        [term]='.cause == "killed" and .signal == "SIGTERM" and .sender_pid == .pid'
        [fork]='.cause == "fault" and .signal == "SIGSEGV"'
    )
    # ThreadSanitizer's allocator does not mind.
    if [[ $(ldd "$bin/mishaps" 2>&1) == *libtsan* ]]; then
        unset 'evidence[double-free]'
    fi
    stuck=(hang spin stop close-fds flood)
    segv_line="fault, SIGSEGV at address 0x0"
    no_worker=(--worker /bin/true)
    process=(--env "LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}" --rlimit nofile=64 --allow-cores)
    library_suffix=.so
    interrupt_name=SIGINT
}

# Windows tells a fault by its exception. _exit() goes the way of exit() there, by ExitProcess(); a
# process that terminates itself leaves a number and nothing else. Who notices a broken heap is the
# heap's choice: Windows' ends the process, Wine's leaves it to mishaps, which aborts.
know_windows() {
    local heap='((.cause == "fault" and .exception == "0xc0000374") or
                 (.cause == "abort" and .signal == "SIGABRT" and (.output | test("heap"))))'
    evidence=(
        [segv]='.cause == "fault" and .exception == "0xc0000005" and .address == "0x0" and
                .stack_overflow == false and (.detail | test("in mishaps.exe"))'
        [fpe]='.cause == "fault" and .exception == "0xc0000094" and .address == .instruction'
        [ill]='.cause == "fault" and .exception == "0xc000001d" and .address == .instruction'
        [thread]='.cause == "fault" and .exception == "0xc0000005" and .thread_id != .pid'
        [stack]='.cause == "fault" and .exception == "0xc00000fd" and .stack_overflow == true'
        [abort]='.cause == "abort" and .signal == "SIGABRT"'
        [double-free]=$heap
        [corrupt-heap]=$heap
        [exit]='.cause == "exit" and .exit_code == 3 and .exiting == true'
        [_exit]='.cause == "exit" and .exit_code == 4 and .exiting == true'
        [kill]='.cause == "exit" and .exit_code == 9 and .exiting == false'
        [fork]='.cause == "fault" and .exception == "0xc0000005"'
        [raise]='.cause == "fault" and .exception == "0xe0424831" and (.detail | test("in kernel"))'
        [breakpoint]='.cause == "fault" and .exception == "0x80000003"'
        [fail-fast]='.cause == "fault" and .exception == "0xc0000409" and
                     (has("registers") | not)'
    )
    stuck=(hang spin stop flood)
    segv_line="fault, exception 0xc0000005 at address 0x0"
    no_worker=(--worker cmd --worker-arg /c --worker-arg exit)
    process=()
    library_suffix=.dll
    interrupt_name=Ctrl-C
}

if [[ -z $exe ]]; then
    know_linux
else
    know_windows
fi

record='(.pid > 1 and .cookie >= 1 and .uptime_ms >= 0 and (.text | length > 10))'

in_a_request() {
    local kind
    for kind in "${!evidence[@]}"; do
        expect "request, $kind" 3 \
            ".outcome == \"died\" and .delivery == \"started\" and .attempts == 1 and
             .serial == 1 and (.death | .phase == \"request\" and .serial == 1 and
             .served == 0 and $record and
             ${evidence[$kind]})" \
            "${mishaps[@]}" die "$kind"
    done
    expect "request, oom" 3 \
        '.death | .phase == "request" and .cause == "memory limit" and .limit_bytes == 268435456 and
         .peak_rss_bytes > 134217728' \
        "${mishaps[@]}" --memory-limit-mib 256 die oom
    for kind in "${stuck[@]}"; do
        expect "request, $kind" 4 \
            '.outcome == "deadline" and .delivery == "started" and .elapsed_us >= 1400000 and
             (.death | .phase == "request" and .cause == "deadline")' \
            "${mishaps[@]}" die "$kind"
    done
    expect "flood: the tail is kept" 4 \
        '.death | (.output | length) > 1000 and .output_dropped > 0' \
        "${mishaps[@]}" --deadline-ms $((500 * slow)) die flood
    nothing_left "request"
}

at_start_up() {
    local kind limits=(--crash-loop-limit 2)
    for kind in "${!evidence[@]}"; do
        expect "start-up, $kind" 5 \
            ".outcome == \"refused\" and .delivery == \"never started\" and
             .reason == \"crash loop\" and
             (.death | .phase == \"start-up\" and $record and ${evidence[$kind]}) and
             (.deaths | length) == 1" \
            "${mishaps[@]}" "${limits[@]}" --worker-arg "--die-at-start=$kind" echo 1
    done
    for kind in "${stuck[@]}"; do
        expect "start-up, $kind" 5 \
            '.reason == "crash loop" and (.death | .phase == "start-up" and .cause == "deadline")' \
            "${mishaps[@]}" "${limits[@]}" --start-timeout-ms $((200 * slow)) \
            --worker-arg "--die-at-start=$kind" echo 1
    done
    nothing_left "start-up"
}

between_requests() {
    local kind
    for kind in "${!evidence[@]}"; do
        expect "between requests, $kind" 0 \
            ".outcome == \"replied\" and .reply == 1 and (has(\"death\") | not) and
             (.deaths | length == 1 and (.[0] | .phase == \"between requests\" and .serial == 0
             and .served == 1 and $record and ${evidence[$kind]}))" \
            "${mishaps[@]}" --worker-arg "--die-idle=$kind" echo 1
    done
    for kind in "${stuck[@]}"; do
        expect "between requests, $kind" 0 \
            '.reply == 1 and (.deaths | length == 1 and
             (.[0] | .phase == "between requests" and .cause == "deadline"))' \
            "${mishaps[@]}" --drain-timeout-ms $((200 * slow)) \
            --worker-arg "--die-idle=$kind" echo 1
    done
    nothing_left "between requests"
}

# ---- the other outcomes --------------------------------------------------------------------------

outcomes() {
    expect "replied" 0 \
        '.outcome == "replied" and .delivery == "reply committed" and .reply == [1, "a"] and
         .attempts == 1 and .elapsed_us > 0 and (has("deaths") | not)' \
        "${mishaps[@]}" echo 1 a
    expect "failed" 1 '.outcome == "failed" and .error == {"code": 7, "text": "no such thing"}' \
        "${mishaps[@]}" fail 7 "no such thing"
    expect "no method" 5 '.outcome == "refused" and .reason == "no such method"' \
        "${mishaps[@]}" nothing
    expect "no program" 5 \
        '.outcome == "refused" and .death.cause == "not started" and .death.os_error == 2' \
        --worker "$work/nothing" echo
    expect "no worker" 5 '.reason == "crash loop" and .death.phase == "start-up"' \
        "${no_worker[@]}" --crash-loop-limit 2 echo
    expect "retries" 3 '.attempts == 3 and (.deaths | length == 2)' \
        "${mishaps[@]}" --retries 2 die segv
    expect "too large" 5 '.reason == "too large"' \
        "${mishaps[@]}" --max-request-mib 1 echo "@$work/big"
    expect "no progress" 4 '.death.cause == "no progress"' \
        "${mishaps[@]}" --no-progress-ms $((200 * slow)) die hang
    expect "environment, directory, limits" 0 '.reply == 5' "${mishaps[@]}" --clear-env \
        --env A=b "${process[@]}" --directory / --nice 5 --affinity 0 --rearm-handlers echo 5
    nothing_left "outcomes"
}

# What there was of a reply when its worker died.
partial() {
    local talk=$bin/../tests/integration/talk_worker$exe
    expect "partial reply" 3 '.outcome == "died" and .partial == true and .reply == 3' \
        --worker "$talk" count 3 die
    expect "no partial reply" 3 '.outcome == "died" and (has("partial") or has("reply") | not)' \
        --worker "$talk" --max-partial-kib 0 count 3 die
    run call --worker "$talk" count 3 die
    is "partial reply, printed" "3:3:2" \
        "$status:$(tr -d '\r' <out):$(wc -l <err | tr -d ' ')"
}

one_line() {
    says "died" 3 "died during a request: $segv_line" call "${mishaps[@]}" die segv
    says "failed" 1 "failed with code 7: two\\nlines\\x1B[1m" \
        call "${mishaps[@]}" fail 7 $'two\nlines\e[1m'
    says "deadline" 4 "no answer within 200 ms" call "${mishaps[@]}" --deadline-ms 200 die hang
    says "no method" 5 "bulkhead methods" call "${mishaps[@]}" nothing
    run call --verbose "${mishaps[@]}" --worker-arg --what echo
    is "--verbose shows the output" "$(grep -c '^  | mishaps: unknown argument "--what"$' err)" "1"
}

# ---- the command line ----------------------------------------------------------------------------

usage() {
    says "no command" 2 "bulkhead help"
    says "unknown command" 2 'did you mean "call"?' cal
    says "unknown option" 2 "did you mean --max-workers?" call --max-worker 1 echo
    says "far option" 2 "bulkhead help call" call --zzzzzzzz 1 echo
    says "no worker" 2 "--worker PROGRAM or --plugin LIBRARY" call echo
    says "two workers" 2 "exclude each other" call --plugin x --worker y echo
    says "no method" 2 "which method?" call "${mishaps[@]}"
    says "no value" 2 "--deadline-ms needs a value" call --deadline-ms
    says "no number" 2 "from 0 to" call --deadline-ms soon "${mishaps[@]}" echo
    says "out of range" 2 "1 to 1024" call --max-workers=5000 "${mishaps[@]}" echo
    says "flag with a value" 2 "--json takes no value" call --json=1 "${mishaps[@]}" echo
    says "both" 2 "exclude each other" call --json --raw "${mishaps[@]}" echo
    says "nice" 2 "-20 to 19" call --nice 20 "${mishaps[@]}" echo
    says "env" 2 "NAME=VALUE" call --env =x "${mishaps[@]}" echo
    says "option behind" 2 "options come before it" call "${mishaps[@]}" echo --json
    says "methods with one" 2 "takes no arguments" methods "${mishaps[@]}" echo
    run help
    is "help" "$status:$(grep -c '^  call' out)" "0:1"
    run help call
    is "help call" "0:3" "$status:$(grep -cE '^  --(json|worker PROGRAM|deadline-ms N)\b' out)"
    is "no line above 100 columns" "$(awk 'length > 100' out)" ""
    cp out wanted
    run call --help
    is "call --help is the same" "$(cmp out wanted)" ""
    run --version
    is "version" "$status:$(grep -cE '^bulkhead [0-9]+\.[0-9]+\.[0-9]+$' out)" "0:1"
}

arguments() {
    local call=(call "${mishaps[@]}" echo)
    printf 'a\0\xff' >bytes
    prints "kinds" $'[1,-2.5,1000.0,true,false,null,"01","1.","x y","5",[1,{"a":null}]]\n' \
        "${call[@]}" 1 -2.5 1e3 true false null 01 1. 'x y' '"5"' '[1, {"a": null}]'
    prints "none" $'[]\n' "${call[@]}"
    prints "empty string" $'""\n' "${call[@]}" ''
    prints "file" $'{"$bytes":"YQD/"}\n' "${call[@]}" @bytes
    prints "literal" $'["--json","--"]\n' "${call[@]}" -- --json --
    prints "literal method" $'"--json"\n' call "${mishaps[@]}" -- echo --json
    says "bad JSON" 2 "argument 2 is not valid JSON: line 1, column 8" "${call[@]}" x '{"a":1,}'
    says "bad JSON, second line" 2 "line 2, column 1" "${call[@]}" $'[1,\n}'
    says "out of range" 2 "argument 1" "${call[@]}" 99999999999999999999
    says "no file" 2 '"/nothing": No such file' "${call[@]}" @/nothing
    says "directory" 2 'cannot read the file "/": ' "${call[@]}" @/
    prints "beyond ASCII" $'"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"\n' \
        "${call[@]}" $'\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80'
    prints "as it is" $'["*","a\\"b","\\\\","c d\\\\"]\n' "${call[@]}" '*' 'a"b' "\\" "c d\\"
    printf 'text' >$'\xc3\xa4'
    prints "file beyond ASCII" $'{"$bytes":"dGV4dA=="}\n' "${call[@]}" $'@\xc3\xa4'
}

output() {
    # shellcheck disable=SC2016 # no variable
    prints "raw bytes" $'\001\002' call --raw "${mishaps[@]}" echo '{"$bytes":"AQI="}'
    prints "raw string" $'x' call --raw "${mishaps[@]}" echo x
    prints "raw other" $'[1,2]\n' call --raw "${mishaps[@]}" echo 1 2
    status=0
    "${bulkhead[@]}" call "${mishaps[@]}" echo 1 >/dev/full 2>err || status=$?
    is "full disk" "$status:$(grep -c 'cannot write to stdout' err)" "6:1"
    status=0
    "${bulkhead[@]}" call "${mishaps[@]}" echo 1 >&- 2>err || status=$?
    is "closed stdout" "$status:$(grep -c 'cannot write to stdout' err)" "6:1"
    {
        "${bulkhead[@]}" call --raw "${mishaps[@]}" blob 1000000 2>/dev/null
        echo $? >ended
    } | true
    is "closed pipe" "$(cat ended)" "6"
    run methods "${mishaps[@]}"
    is "methods" "$status:$(grep -cE '^(echo|sum|die)  +[a-z]+\(' out)" "0:3"
    run methods --json "${mishaps[@]}"
    is "methods --json" "$status:$(jq -r '[.[] | select(.name == "die")] | length' out)" "0:1"
    says "methods of what is no worker" 5 "died during start-up" \
        methods --crash-loop-limit 2 "${no_worker[@]}"
}

plugin() {
    local plugin
    plugin=$bin/../lib/plugin$library_suffix
    if [[ -e $plugin ]]; then
        prints "plug-in" $'2\n' call --plugin "$plugin" words "two words"
        cp "$plugin" "$work/"$'\xf0\x9f\x98\x80'"$library_suffix"
        prints "plug-in beyond ASCII" $'2\n' \
            call --plugin $'\xf0\x9f\x98\x80'"$library_suffix" words "two words"
        prints "plug-in with argument" $'3\n' call --plugin "$plugin" --worker-arg , words "a,b c,d"
    fi
    run call --verbose --crash-loop-limit 2 --plugin "$work/no$library_suffix" words x
    is "no plug-in" "$status:$(grep -c '^  | .*cannot load .*no\.' err)" "5:1"
}

# begin SIGNAL ARGUMENTS...: a call in the background that SIGNAL can end; returns when it has a
# worker. Its process is $pid.
begin() {
    local signal=$1
    shift
    env --default-signal="$signal" "${bulkhead[@]}" call --json --name "$tag" "$@" >out 2>err &
    pid=$!
    until pgrep -f -- "--bulkhead=$tag," >/dev/null; do :; done
}

# interrupted SIGNAL STATUS NAME ARGUMENTS...: a signal to a call that has begun ends it so, and it
# says that NAME interrupted it.
interrupted() {
    local signal=$1 wanted=$2 name=$3
    shift 3
    begin "$signal" "$@"
    status=0
    kill "-$signal" "$pid"
    wait "$pid" || status=$?
    if [[ $status == "$wanted" ]] && jq -e '.outcome == "cancelled"' out >/dev/null &&
        grep -q "interrupted by $name" err; then
        ok
    else
        bad "$name: $(told)"
    fi
    nothing_left "$name"
}

killed() {
    begin TERM "${mishaps[@]}" die "$1"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    nothing_left "killed while its worker does $1"
}

# ---- Linux -----------------------------------------------------------------------------------------

on_linux() {
    says "limit's name" 2 "nofile, as, data" call --rlimit files=3 "${mishaps[@]}" echo
    says "limit's value" 2 "SOFT" call --rlimit nofile=x "${mishaps[@]}" echo
    says "soft above hard" 2 "above" call --rlimit nofile=5:4 "${mishaps[@]}" echo
    says "no minidumps" 2 "--allow-cores" call --dump-directory / "${mishaps[@]}" echo
    run help call
    is "help has what Linux has" "$(grep -cE '^  --(rlimit|user|allow-cores)\b' out)" "3"
    says "directory, why" 2 'Is a directory' call "${mishaps[@]}" echo @/
    says "not UTF-8" 2 "argument 1 is not valid UTF-8" call "${mishaps[@]}" echo $'\xff'
    interrupted TERM 143 SIGTERM "${mishaps[@]}" die hang
    interrupted HUP 129 SIGHUP "${mishaps[@]}" die spin
}

# ---- Windows ---------------------------------------------------------------------------------------

on_windows() {
    says "no resource limits" 2 "--memory-limit-mib" call --rlimit nofile=64 "${mishaps[@]}" echo
    says "no other user" 2 "does not exist on Windows" call --user me "${mishaps[@]}" echo
    says "no cores" 2 "--dump-directory" call --allow-cores "${mishaps[@]}" echo
    mkdir dumps
    expect "minidump" 3 '.death.dump | test("dumps")' \
        --dump-directory "$work/dumps" "${mishaps[@]}" --deadline-ms 30000 die segv
    is "minidump, the file" "$(head -c 4 dumps/*)" "MDMP"
    run help call
    is "help has nothing of Linux" "$(grep -cE '^  --(rlimit|user|allow-cores)\b' out)" "0"
    prints "with .exe" $'1\n' call --worker "$bin/mishaps.exe" echo 1
    prints "with its own slashes" $'1\n' call --worker "${bin//\//\\}\\mishaps" echo 1
}

head -c 3000000 /dev/zero >big
in_a_request
at_start_up
between_requests
outcomes
partial
one_line
usage
arguments
output
plugin
interrupted INT 130 "$interrupt_name" "${mishaps[@]}" sleep 60000
killed hang
killed spin
if [[ -z $exe ]]; then
    on_linux
else
    on_windows
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
