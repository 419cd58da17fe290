/* SPDX-License-Identifier: MIT */
/*
 * From evidence to cause: each cause with exactly the evidence that it demands, and with each piece
 * of it missing or contradicted, where the answer is another cause or "unknown", never a guess. And
 * the record's texts and maps.
 */
#include "check.h"
#include "failing_alloc.h"

#include "core/death.h"
#include "platform/fake/fake.h"

#include <stdio.h>
#include <string.h>

#define SERIAL 42

/* A worker that was ready and holds request SERIAL, which it began. */
static struct bhi_known known_worker(void)
{
    return (struct bhi_known){.cookie = 7,
                              .was_ready = true,
                              .serial = SERIAL,
                              .begun = SERIAL - 1,
                              .served = 3,
                              .uptime_ms = 1000,
                              .peak_rss_bytes = 5 << 20,
                              .kill_detail = "",
                              .limit_bytes = 4 << 20};
}

static struct bhi_known killed_for(enum bh_cause cause, const char *detail)
{
    struct bhi_known known = known_worker();

    known.killed = true;
    known.kill_cause = cause;
    known.kill_detail = detail;
    return known;
}

static struct bh_death write(const struct bhi_known *known, struct bhp_obituary end)
{
    struct bh_death death;

    end.pid = 4711;
    end.box.started = SERIAL;
    bhi_death_write(&death, known, &end);
    CHECK_INT(death.cookie, 7);
    CHECK_INT(death.pid, 4711);
    CHECK_INT(death.served, 3);
    CHECK_INT(death.uptime_ms, 1000);
    CHECK(!death.output && !death.chunks);
    return death;
}

static void expect(const struct bhi_known *known, struct bhp_obituary end, enum bh_cause cause)
{
    struct bh_death death = write(known, end);

    if (death.cause != cause)
        FAIL("%s, not %s", bh_cause_name(death.cause), bh_cause_name(cause));
}

static struct bhp_obituary with_record(enum bhp_fault_kind kind, uint32_t signal)
{
    struct bhp_obituary end = bhf_end_signal(signal);

    end.box.fault = bhf_end_fault(0x10).box.fault;
    end.box.fault.kind = kind;
    end.box.fault.signal = (int)signal;
    return end;
}

static struct bhp_obituary unknown_end(void)
{
    return (struct bhp_obituary){.end = BHP_END_UNKNOWN, .box = {.fault = {.syscall = -1}}};
}

/* ---- what the worker did itself ---- */

TEST(a_fault_caught_in_the_act_is_a_fault_with_its_address)
{
    struct bhi_known known = known_worker();
    struct bh_death death = write(&known, bhf_end_fault(0xdead));

    CHECK_INT(death.cause, BH_CAUSE_FAULT);
    CHECK_INT(death.phase, BH_PHASE_REQUEST);
    CHECK_INT(death.serial, SERIAL);
    CHECK_INT(death.signal, 11);
    CHECK_STR(death.signal_name, "SIGSEGV");
    CHECK_INT(death.exit_code, -1);
    CHECK(death.has_fault && !death.stack_overflow);
    CHECK_INT(death.address, 0xdead);
    CHECK_INT(death.register_count, 4);
    CHECK_INT(death.registers[3], 0x401000);
    CHECK_INT(death.sender_pid, 0);
    CHECK_INT(death.syscall, -1);
}

TEST(a_stack_overflow_is_told_apart)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = bhf_end_fault(0x7ffc);

    end.box.fault.stack_overflow = true;
    CHECK(write(&known, end).stack_overflow);
    end.box.fault.kind = BHP_FAULT_ABORT; /* which does not overflow anything */
    CHECK(!write(&known, end).stack_overflow);
}

TEST(a_fatal_signal_without_the_record_it_should_have_is_unknown)
{
    struct bhi_known known = known_worker();
    struct bh_death death = write(&known, bhf_end_signal(11));

    CHECK_INT(death.cause, BH_CAUSE_UNKNOWN);
    CHECK_INT(death.signal, 11);
    CHECK(!death.has_fault);
    expect(&known, bhf_end_signal(6), BH_CAUSE_UNKNOWN);
    expect(&known, bhf_end_signal(31), BH_CAUSE_UNKNOWN);
}

TEST(a_record_of_another_signal_is_not_believed)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = bhf_end_fault(0);

    end.box.fault.signal = 7;
    expect(&known, end, BH_CAUSE_UNKNOWN);
    CHECK(!write(&known, end).has_fault);
}

TEST(a_record_does_not_turn_an_exit_into_a_fault)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = bhf_end_exit(1, true);

    end.box.fault = bhf_end_fault(0).box.fault;
    expect(&known, end, BH_CAUSE_EXIT);
    CHECK(!write(&known, end).has_fault);
    CHECK_INT(write(&known, end).exit_code, 1);
    CHECK(write(&known, end).exiting);
}

/* Nobody can write a record of a kill: who says so wants to hide something. */
TEST(a_record_of_a_kill_is_not_believed)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = with_record(BHP_FAULT_FAULT, 9);

    expect(&known, end, BH_CAUSE_KILLED);
    CHECK(!write(&known, end).has_fault);
    end.cgroup_oom = true;
    expect(&known, end, BH_CAUSE_MEMORY_LIMIT);
}

TEST(an_abort_needs_the_record_that_it_raised_it_itself)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary from_outside = with_record(BHP_FAULT_SIGNAL, 6);

    expect(&known, with_record(BHP_FAULT_ABORT, 6), BH_CAUSE_ABORT);
    from_outside.box.fault.sender_pid = 99;
    from_outside.box.fault.sender_uid = 1000;
    expect(&known, from_outside, BH_CAUSE_KILLED);
    CHECK_INT(write(&known, from_outside).sender_pid, 99);
    CHECK_INT(write(&known, from_outside).sender_uid, 1000);
}

TEST(the_sandbox_names_the_call)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = with_record(BHP_FAULT_SANDBOX, 31);

    end.box.fault.syscall = 41;
    expect(&known, end, BH_CAUSE_SANDBOX);
    CHECK_INT(write(&known, end).syscall, 41);
    CHECK_STR(write(&known, end).syscall_name, "socket");
    end.box.fault.syscall = 9999;
    CHECK_STR(write(&known, end).syscall_name, "");
}

TEST(a_windows_exception_is_believed_with_its_record_only)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = {.end = BHP_END_EXCEPTION, .code = 0xC0000005, .needs_record = true};

    expect(&known, end, BH_CAUSE_UNKNOWN);
    end.box.fault.kind = BHP_FAULT_FAULT;
    end.box.fault.exception = 0xC0000005;
    expect(&known, end, BH_CAUSE_FAULT);
    CHECK_INT(write(&known, end).exception, 0xC0000005);
    CHECK_INT(write(&known, end).signal, 0);
    end.box.fault.exception = 0xC00000FD;
    expect(&known, end, BH_CAUSE_UNKNOWN);
}

TEST(what_no_handler_can_record_is_told_by_the_system_alone)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = {
        .end = BHP_END_EXCEPTION, .code = 0xC0000374, .system_fault = true, .detail = "heap"};

    expect(&known, end, BH_CAUSE_FAULT);
    CHECK(!write(&known, end).has_fault);
    CHECK_STR(write(&known, end).detail, "heap");
    CHECK_INT(write(&known, end).exception, 0xC0000374);
}

TEST(exit_tells_exit_from_its_underscored_brother)
{
    struct bhi_known known = known_worker();

    expect(&known, bhf_end_exit(3, true), BH_CAUSE_EXIT);
    CHECK(write(&known, bhf_end_exit(3, true)).exiting);
    CHECK(!write(&known, bhf_end_exit(3, false)).exiting);
    expect(&known, bhf_end_exit(0, true), BH_CAUSE_EXIT);
}

TEST(quitting_takes_both_the_mark_and_a_clean_exit)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = bhf_end_exit(0, true);

    end.box.quitting = true;
    expect(&known, end, BH_CAUSE_EXIT); /* from inside a request: whatever it says */
    known.serial = 0;
    expect(&known, end, BH_CAUSE_QUIT);
    end.code = 1;
    expect(&known, end, BH_CAUSE_EXIT);
    end = bhf_end_fault(0); /* in its fini */
    end.box.quitting = true;
    expect(&known, end, BH_CAUSE_FAULT);
}

/* ---- what we did ---- */

TEST(our_kill_is_named_by_our_reason)
{
    static const enum bh_cause reasons[] = {BH_CAUSE_DEADLINE, BH_CAUSE_NO_PROGRESS,
                                            BH_CAUSE_CANCELLED, BH_CAUSE_MEMORY_LIMIT,
                                            BH_CAUSE_PROTOCOL};

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        struct bhi_known known = killed_for(reasons[i], "because");
        expect(&known, bhf_end_signal(9), reasons[i]);
        CHECK_STR(write(&known, bhf_end_signal(9)).detail, "because");
        CHECK_INT(write(&known, bhf_end_signal(9)).limit_bytes,
                  reasons[i] == BH_CAUSE_MEMORY_LIMIT ? 4 << 20 : 0);
    }
}

/* TerminateProcess() shows as an exit code. */
TEST(our_kill_is_ours_also_where_it_shows_as_an_exit)
{
    struct bhi_known known = killed_for(BH_CAUSE_DEADLINE, "");
    struct bhp_obituary end = bhf_end_exit(0xB0, false);

    expect(&known, end, BH_CAUSE_EXIT);
    end.by_kill = true;
    expect(&known, end, BH_CAUSE_DEADLINE);
}

TEST(who_ended_otherwise_before_our_kill_did_so_by_itself)
{
    struct bhi_known known = killed_for(BH_CAUSE_DEADLINE, "too slow");

    expect(&known, bhf_end_fault(0), BH_CAUSE_FAULT);
    CHECK_STR(write(&known, bhf_end_fault(0)).detail, "");
    expect(&known, bhf_end_exit(1, true), BH_CAUSE_EXIT);
    expect(&known, bhf_end_signal(15), BH_CAUSE_KILLED);
}

TEST(a_kill_that_is_not_ours_is_killed_and_nobody_is_blamed)
{
    struct bhi_known known = known_worker();
    struct bh_death death = write(&known, bhf_end_signal(9));

    CHECK_INT(death.cause, BH_CAUSE_KILLED);
    CHECK_INT(death.sender_pid, 0);
    CHECK_STR(death.detail, "");
    expect(&known, bhf_end_signal(15), BH_CAUSE_KILLED);
}

TEST(the_kernels_memory_kill_takes_the_cgroups_counter)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = bhf_end_signal(9);

    end.cgroup_oom = true;
    expect(&known, end, BH_CAUSE_MEMORY_LIMIT);
    CHECK_INT(write(&known, end).limit_bytes, 0);
    end = bhf_end_signal(15); /* which is not how the kernel kills */
    end.cgroup_oom = true;
    expect(&known, end, BH_CAUSE_KILLED);
    end = bhf_end_fault(0);
    end.cgroup_oom = true;
    expect(&known, end, BH_CAUSE_FAULT);
}

/* ---- what else there is ---- */

TEST(broken_protocol_seen_by_the_platform_comes_first)
{
    struct bhi_known known = known_worker();
    struct bhp_obituary end = bhf_end_signal(9);

    end.protocol = true;
    snprintf(end.detail, sizeof(end.detail), "spoke version 9");
    expect(&known, end, BH_CAUSE_PROTOCOL);
    CHECK_STR(write(&known, end).detail, "spoke version 9");
}

TEST(a_lost_launcher_is_blamed_only_for_what_it_took_along)
{
    struct bhi_known known = known_worker(), ours = killed_for(BH_CAUSE_CANCELLED, "");
    struct bhp_obituary end = unknown_end();

    expect(&known, end, BH_CAUSE_UNKNOWN);
    end.nursery_lost = true;
    expect(&known, end, BH_CAUSE_LAUNCHER_LOST);
    expect(&ours, end, BH_CAUSE_CANCELLED);
    end = bhf_end_signal(9);
    end.nursery_lost = true;
    expect(&known, end, BH_CAUSE_LAUNCHER_LOST);
    end = bhf_end_fault(0);
    end.nursery_lost = true;
    expect(&known, end, BH_CAUSE_FAULT);
    end = bhf_end_not_started(5, "", false);
    end.nursery_lost = true;
    expect(&known, end, BH_CAUSE_LAUNCHER_LOST);
}

TEST(what_never_started_says_why)
{
    struct bhi_known known = known_worker();
    struct bh_death death;
    char line[200];

    known.was_ready = false;
    known.serial = 0;
    death = write(&known, bhf_end_not_started(2, "execve: no such file", true));
    CHECK_INT(death.cause, BH_CAUSE_NOT_STARTED);
    CHECK_INT(death.phase, BH_PHASE_START_UP);
    CHECK_INT(death.os_error, 2);
    CHECK_INT(death.exit_code, -1);
    CHECK_STR(bh_death_describe(&death, line, sizeof(line)),
              "the worker was not started: execve: no such file");
}

/* Each combination of evidence that the records can hold: never a fault without a record, never a
 * reason of ours without our kill. */
TEST(no_combination_of_evidence_makes_a_guess)
{
    for (unsigned bits = 0; bits < 1u << 9; bits++)
        for (unsigned kind = BHP_FAULT_NONE; kind <= BHP_FAULT_SIGNAL; kind++)
            for (unsigned how = BHP_END_UNKNOWN; how <= BHP_END_NOT_STARTED; how++) {
                struct bhi_known known = known_worker();
                struct bhp_obituary end = {.end = (enum bhp_end_kind)how,
                                           .code = 11,
                                           .by_kill = bits & 1,
                                           .needs_record = bits & 2,
                                           .nursery_lost = bits & 4,
                                           .cgroup_oom = bits & 8,
                                           .protocol = bits & 16,
                                           .system_fault = bits & 256};
                struct bh_death death;
                end.box.quitting = bits & 32;
                end.box.fault.kind = (enum bhp_fault_kind)kind;
                end.box.fault.signal = bits & 64 ? 11 : 7;
                end.box.fault.exception = bits & 64 ? 11 : 7;
                known.killed = bits & 128;
                known.kill_cause = BH_CAUSE_DEADLINE;
                death = write(&known, end);
                bool record = death.has_fault;
                CHECK(!record || (kind != BHP_FAULT_NONE && (bits & 64)));
                CHECK(death.cause != BH_CAUSE_FAULT || (record && kind == BHP_FAULT_FAULT) ||
                      end.system_fault);
                CHECK(death.cause != BH_CAUSE_ABORT || (record && kind == BHP_FAULT_ABORT));
                CHECK(death.cause != BH_CAUSE_SANDBOX || (record && kind == BHP_FAULT_SANDBOX));
                CHECK(death.cause != BH_CAUSE_DEADLINE || known.killed);
                CHECK(death.cause != BH_CAUSE_MEMORY_LIMIT || (end.cgroup_oom && end.by_kill));
                CHECK(death.cause != BH_CAUSE_LAUNCHER_LOST || end.nursery_lost);
                CHECK((death.cause == BH_CAUSE_PROTOCOL) == end.protocol);
                CHECK(death.cause != BH_CAUSE_EXIT || how == BHP_END_EXIT);
                CHECK(death.cause != BH_CAUSE_QUIT); /* its code is 11 */
                CHECK(death.cause != BH_CAUSE_NOT_STARTED || how == BHP_END_NOT_STARTED);
                CHECK(death.cause != BH_CAUSE_KILLED || how == BHP_END_SIGNAL ||
                      how == BHP_END_EXCEPTION);
            }
}

/* ---- phase and delivery ---- */

TEST(delivery_is_what_the_box_proves)
{
    struct bhp_box box = {0};

    CHECK_INT(bhi_delivery_of(&box, SERIAL, 0), BH_DELIVERY_NEVER_STARTED);
    box.started = SERIAL - 1;
    box.committed = SERIAL - 1;
    CHECK_INT(bhi_delivery_of(&box, SERIAL, SERIAL - 1), BH_DELIVERY_NEVER_STARTED);
    box.started = SERIAL;
    CHECK_INT(bhi_delivery_of(&box, SERIAL, SERIAL - 1), BH_DELIVERY_STARTED);
    box.committed = SERIAL;
    CHECK_INT(bhi_delivery_of(&box, SERIAL, SERIAL - 1), BH_DELIVERY_COMMITTED);
}

TEST(a_started_word_that_proves_nothing_means_started)
{
    struct bhp_box box = {.started = 0, .committed = SERIAL - 1};

    CHECK_INT(bhi_delivery_of(&box, SERIAL, SERIAL - 1), BH_DELIVERY_STARTED);
    box.started = SERIAL + 1;
    CHECK_INT(bhi_delivery_of(&box, SERIAL, SERIAL - 1), BH_DELIVERY_STARTED);
}

static enum bh_phase phase(struct bhi_known known, uint64_t started, uint64_t committed)
{
    struct bhp_obituary end = bhf_end_fault(0);
    struct bh_death death;

    end.box.started = started;
    end.box.committed = committed;
    bhi_death_write(&death, &known, &end);
    CHECK_INT(death.serial, death.phase == BH_PHASE_REQUEST ? SERIAL : 0);
    return death.phase;
}

TEST(the_phase_is_a_request_only_if_that_request_had_begun_and_not_ended)
{
    struct bhi_known known = known_worker(), broken = killed_for(BH_CAUSE_PROTOCOL, "");

    CHECK_INT(phase(known, SERIAL, SERIAL - 1), BH_PHASE_REQUEST);
    CHECK_INT(phase(known, SERIAL - 1, SERIAL - 1), BH_PHASE_IDLE);
    CHECK_INT(phase(known, SERIAL, SERIAL), BH_PHASE_IDLE);
    CHECK_INT(phase(broken, SERIAL, SERIAL), BH_PHASE_REQUEST);
    known.serial = 0;
    CHECK_INT(phase(known, SERIAL, 0), BH_PHASE_IDLE);
    CHECK_INT(phase(known, 0, 0), BH_PHASE_IDLE);
    known.was_ready = false;
    CHECK_INT(phase(known, 0, 0), BH_PHASE_START_UP);
}

/* ---- for people and machines ---- */

static void expect_line(struct bhp_obituary end, const char *expected)
{
    struct bhi_known known = known_worker();
    struct bh_death death = write(&known, end);
    char line[400];

    CHECK_STR(bh_death_describe(&death, line, sizeof(line)), expected);
    for (size_t size = 0; size < 60; size++) { /* whatever the room, it ends in it */
        char small[61];
        memset(small, 'x', sizeof(small));
        bh_death_describe(&death, small, size);
        CHECK(size == 0 || strlen(small) < size);
        CHECK_INT(small[size], 'x');
    }
}

TEST(a_line_says_what_is_known)
{
    struct bhp_obituary end;

    expect_line(bhf_end_fault(0), "worker 7 (pid 4711) died during a request: fault, SIGSEGV at "
                                  "address 0x0 in thread 1");
    expect_line(bhf_end_exit(3, true),
                "worker 7 (pid 4711) died during a request: exit, code 3 through exit()");
    expect_line(bhf_end_exit(3, false),
                "worker 7 (pid 4711) died during a request: exit, code 3 without exit()");
    expect_line(bhf_end_signal(9), "worker 7 (pid 4711) died during a request: killed, SIGKILL");
    end = with_record(BHP_FAULT_SANDBOX, 31);
    end.box.fault.syscall = 59;
    end.box.fault.thread_id = 4711;
    expect_line(end, "worker 7 (pid 4711) died during a request: sandbox, SIGSYS, system call "
                     "execve (59)");
    expect_line(unknown_end(), "worker 7 (pid 4711) died during a request: unknown");
}

TEST(a_memory_limit_says_how_much)
{
    struct bhi_known known = killed_for(BH_CAUSE_MEMORY_LIMIT, "");
    struct bh_death death = write(&known, bhf_end_signal(9));
    char line[300];

    CHECK_CONTAINS(bh_death_describe(&death, line, sizeof(line)), "5 MiB used of 4 allowed");
}

static bool put_into_map(void)
{
    struct bhi_known known = known_worker();
    struct bh_death death = write(&known, bhf_end_fault(0));
    struct bh_output_chunk chunk = {1, 2, 0, 4};
    char output[] = "a\xff\nb";
    const bh_value *text;
    bh_value map;

    death.output = output;
    death.output_length = 4;
    death.chunks = &chunk;
    death.chunk_count = 1;
    int result = bh_death_to_value(&death, &map);
    if (result) {
        CHECK_INT(result, BH_E_MEMORY);
        CHECK_INT(map.type, BH_NULL);
        return false;
    }
    text = bh_map_get(&map, "output");
    CHECK_BYTES(text->as.string, "a\xef\xbf\xbd\nb", 6);
    CHECK_STR(bh_map_get(&map, "cause")->as.string, "fault");
    CHECK_STR(bh_map_get(&map, "phase")->as.string, "request");
    CHECK_STR(bh_map_get(&map, "address")->as.string, "0x0");
    CHECK_STR(bh_map_get(bh_map_get(&map, "registers"), "pc")->as.string, "0x401000");
    CHECK_INT(bh_map_get(&map, "serial")->as.int64, SERIAL);
    CHECK(!bh_map_get(&map, "exit_code") && !bh_map_get(&map, "syscall"));
    CHECK_INT(bh_map_get(&bh_map_get(&map, "output_chunks")->as.items[0], "last_serial")->as.int64,
              2);
    bh_value_deinit(&map);
    return true;
}

TEST(a_map_holds_the_whole_record_or_there_is_none)
{
    fail_each_allocation(put_into_map);
}

TEST(copies_own_what_they_hold)
{
    struct bhi_known known = known_worker();
    struct bh_death death = write(&known, bhf_end_fault(0)), copy;

    CHECK_INT(bh_death_copy(&copy, &death), BH_OK);
    CHECK_INT(copy.address, death.address);
    bh_death_deinit(&copy);
    CHECK_INT(copy.cookie, 0);
    bh_death_deinit(&copy);
    bh_death_deinit(NULL);
}

/* ---- results and names ---- */

static bool put_result_into_map(enum bh_outcome outcome)
{
    struct bhi_known known = known_worker();
    char text[] = "why";
    struct bh_result result = {.outcome = outcome,
                               .delivery = BH_DELIVERY_STARTED,
                               .refusal = BH_REFUSAL_QUEUE_FULL,
                               .serial = 9,
                               .reply = bh_value_int64(5),
                               .code = 3,
                               .text = text,
                               .has_death = outcome == BH_OUTCOME_DIED,
                               .death = write(&known, bhf_end_fault(0)),
                               .attempts = 2};
    bh_value map;

    if (bh_result_to_value(&result, &map)) {
        CHECK_INT(map.type, BH_NULL);
        return false;
    }
    CHECK_STR(bh_map_get(&map, "outcome")->as.string, bh_outcome_name(outcome));
    CHECK_STR(bh_map_get(&map, "delivery")->as.string, "started");
    CHECK_INT(bh_map_get(&map, "serial")->as.int64, 9);
    CHECK_INT(bh_map_get(&map, "attempts")->as.int64, 2);
    CHECK_INT(bh_map_get(&map, "death") != NULL, outcome == BH_OUTCOME_DIED);
    CHECK_INT(bh_map_get(&map, "reply") != NULL, outcome == BH_OUTCOME_REPLIED);
    CHECK_INT(bh_map_get(&map, "error") != NULL, outcome == BH_OUTCOME_FAILED);
    CHECK_INT(bh_map_get(&map, "reason") != NULL, outcome == BH_OUTCOME_REFUSED);
    bh_value_deinit(&map);
    return true;
}

static bool put_each_result_into_map(void)
{
    bool all = true;

    for (unsigned outcome = 0; outcome < BH_OUTCOME_COUNT; outcome++)
        all &= put_result_into_map((enum bh_outcome)outcome);
    return all;
}

TEST(a_result_becomes_a_map_with_what_belongs_to_its_outcome)
{
    fail_each_allocation(put_each_result_into_map);
}

static void check_names(const char *(*name)(unsigned), unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK(name(i)[0] != '\0' && strcmp(name(i), "?") != 0);
        for (unsigned n = 0; n < i; n++)
            CHECK(strcmp(name(i), name(n)) != 0);
    }
    CHECK_STR(name(count), "?");
    CHECK_STR(name(UINT32_MAX), "?");
}

TEST(each_number_of_an_enum_has_its_own_name)
{
    check_names(bh_outcome_name, BH_OUTCOME_COUNT);
    check_names(bh_delivery_name, BH_DELIVERY_COUNT);
    check_names(bh_refusal_name, BH_REFUSAL_COUNT);
    check_names(bh_phase_name, BH_PHASE_COUNT);
    check_names(bh_cause_name, BH_CAUSE_COUNT);
    check_names(bh_event_name, BH_EVENT_COUNT);
    check_names(bh_worker_state_name, BH_WORKER_STATE_COUNT);
    CHECK_STR(bh_register_name(3), "pc");
    CHECK_STR(bh_register_name(4), NULL);
}
