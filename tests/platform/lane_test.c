/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies over the lane, with a worker that obeys the protocol and with one that
 * breaks it in every way there is.
 */
#include "rig.h"

/* ---- a decent worker ---- */

TEST(a_value_goes_there_and_back)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    bh_value text = bh_value_view("hello");
    struct bhp_reply reply;

    CHECK_INT(rig_call(w, "echo", &text, &reply), BHP_LANE_REPLIED);
    CHECK(bh_value_equal(&reply.value, &text));
    rig_drop(&reply);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(rig_int(w, "echo", i), i);
    rig_close(&rig);
}

TEST(the_announced_methods_are_there)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    const bh_value *methods = bhp_worker_methods(w->worker);
    struct bhp_reply reply;

    CHECK_INT(methods->type, BH_ARRAY);
    CHECK_STR(bh_map_get(&methods->as.items[0], "name")->as.string, "echo");
    CHECK_INT(rig_call(w, "ech", NULL, &reply), BHP_LANE_NO_METHOD);
    CHECK_INT(rig_call(w, "", NULL, &reply), BHP_LANE_NO_METHOD);
    CHECK_INT(rig_int(w, "echo", 3), 3);
    rig_close(&rig);
}

static void check_sum(struct rig_worker *w, size_t size)
{
    unsigned char *bytes = malloc(size + 1);
    bh_value value = bh_value_view_bytes(bytes, size);
    struct bhp_reply reply;
    int64_t sum;

    memset(bytes, 3, size);
    CHECK_INT(rig_call(w, "sum", &value, &reply), BHP_LANE_REPLIED);
    CHECK_INT(bh_value_get_int64(&reply.value, &sum), BH_OK);
    CHECK_INT(sum, 3 * (long long)size);
    rig_drop(&reply);
    free(bytes);
}

TEST(arguments_of_every_size_arrive)
{
    static const size_t sizes[] = {0,       1,      65519,   65520,   65521,   65536,
                                   70000,   200000, 1048000, 100000,  1048577, 5000000,
                                   1000000, 300000, 10,      5000000, 80000,   66000};
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        check_sum(w, sizes[i]);
    rig_close(&rig);
}

static void check_big(struct rig_worker *w, size_t size)
{
    bh_value value = bh_value_int64((int64_t)size);
    struct bhp_reply reply;
    const void *bytes;
    size_t length;

    CHECK_INT(rig_call(w, "big", &value, &reply), BHP_LANE_REPLIED);
    CHECK_INT(bh_value_get_bytes(&reply.value, &bytes, &length), BH_OK);
    CHECK_INT(length, size);
    CHECK(size == 0 || ((const unsigned char *)bytes)[size - 1] == 7);
    rig_drop(&reply);
}

TEST(large_replies_arrive)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);

    check_big(w, 0);
    check_big(w, 100000);
    check_big(w, 20000000);
    check_big(w, 70000);
    rig_close(&rig);
}

TEST(what_is_too_large_is_not_sent)
{
    static struct rig rig;
    static unsigned char bytes[100000];
    bh_value value = bh_value_view_bytes(bytes, sizeof(bytes));
    struct bhp_reply reply;

    rig_init(&rig, "normal");
    rig.options.max_request_bytes = 65536;
    rig_open(&rig);
    struct rig_worker *w = rig_ready(&rig);
    CHECK_INT(rig_call(w, "sum", &value, &reply), BHP_LANE_TOO_LARGE);
    CHECK_CONTAINS(reply.text, "65536");
    rig_drop(&reply);
    struct bhp_box box;
    bhp_worker_box(w->worker, &box);
    CHECK_INT(box.started, 0);
    rig_close(&rig);
}

TEST(what_is_invalid_is_not_sent)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    bh_value value = bh_value_view_string("\xff", 1);
    struct bhp_reply reply;

    CHECK_INT(rig_call(w, "echo", &value, &reply), BHP_LANE_INVALID);
    CHECK_CONTAINS(reply.text, "UTF-8");
    rig_drop(&reply);
    rig_close(&rig);
}

TEST(a_failure_brings_code_and_text)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    bh_value code = bh_value_int64(-7);
    struct bhp_reply reply;

    CHECK_INT(rig_call(w, "fail", &code, &reply), BHP_LANE_FAILED);
    CHECK_INT(reply.code, -7);
    CHECK_STR(reply.text, "no such thing");
    rig_drop(&reply);
    rig_close(&rig);
}

/* ---- a worker that ends ---- */

TEST(a_death_ends_the_call)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct rig_caller caller;

    rig_call_begin(&caller, w, "crash", 0);
    CHECK_INT(rig_call_end(&caller), BHP_LANE_LOST);
    rig_await(&rig, &w->exited, 1);
    CHECK_INT(w->obituary.end, BHP_END_SIGNAL);
    CHECK_INT(w->obituary.code, SIGSEGV);
    CHECK(w->obituary.needs_record && !w->obituary.by_kill);
    CHECK_INT(w->obituary.box.started, 1);
    CHECK_INT(w->obituary.box.committed, 0);
    struct bhp_reply reply;
    CHECK_INT(rig_call(w, "echo", NULL, &reply), BHP_LANE_LOST);
    rig_close(&rig);
}

TEST(a_kill_ends_the_call)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct rig_caller caller;

    rig_call_begin(&caller, w, "hang", 0);
    bhp_worker_kill(w->worker);
    bhp_worker_kill(w->worker);
    CHECK_INT(rig_call_end(&caller), BHP_LANE_LOST);
    rig_await(&rig, &w->exited, 1);
    CHECK_INT(w->obituary.code, SIGKILL);
    CHECK(w->obituary.by_kill && !w->obituary.needs_record);
    rig_close(&rig);
}

/* ---- a worker that breaks the protocol ---- */

static void check_broken(const char *method, int64_t argument, const char *text)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    bh_value value = bh_value_int64(argument);
    struct bhp_reply reply;

    CHECK_INT(rig_call(w, method, &value, &reply), BHP_LANE_BROKEN);
    CHECK_CONTAINS(reply.text, text);
    CHECK_INT(reply.value.type, BH_NULL);
    rig_drop(&reply);
    rig_close(&rig);
}

TEST(an_unknown_status_is_broken)
{
    check_broken("odd_status", 0, "unknown status 77");
}

TEST(an_absurd_length_is_broken)
{
    check_broken("too_long", 0, "1152921504606846976 bytes");
}

TEST(a_length_past_the_half_is_broken)
{
    check_broken("past_half", 0, "has 65544 bytes where 65536 fit");
}

TEST(an_empty_reply_is_broken)
{
    check_broken("nothing", 0, "0 values, not one");
}

TEST(two_values_are_broken)
{
    check_broken("two_values", 0, "2 values, not one");
}

TEST(garbage_is_broken)
{
    check_broken("garbage", 0, "malformed");
}

TEST(a_failure_text_must_be_utf8)
{
    check_broken("fail_bytes", 0, "not UTF-8");
}

TEST(a_failure_text_must_be_short)
{
    check_broken("fail_long", 0, "5000 bytes");
}

TEST(a_pipe_is_no_segment)
{
    check_broken("pipe_segment", 0, "is no memory file");
}

TEST(a_file_is_no_segment)
{
    check_broken("file_segment", 0, "is no memory file");
}

TEST(an_unsealed_file_is_no_segment)
{
    check_broken("unsealed_segment", 0, "is not sealed");
}

TEST(a_segment_must_be_as_long_as_it_says)
{
    check_broken("short_segment", 0, "is shorter than it says");
}

TEST(a_reply_must_fit_its_segment)
{
    check_broken("tight_segment", 0, "5000 bytes is in a segment of 4096");
}

TEST(a_segment_must_be_this_requests)
{
    check_broken("foreign_segment", 0, "did not send the segment");
}

TEST(a_segment_must_come)
{
    check_broken("no_segment", 0, "did not send the segment");
}

TEST(a_segment_must_be_a_descriptor)
{
    check_broken("bare_segment", 0, "is wrong");
}

TEST(a_flooded_control_socket_is_broken)
{
    check_broken("flood", 100, "fills its control socket");
}

TEST(a_few_odd_messages_are_skipped)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);

    CHECK_INT(rig_int(w, "flood", 10), 5);
    CHECK_INT(rig_int(w, "flood", 3), 5);
    rig_close(&rig);
}

TEST(an_answer_before_the_question_is_broken)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_reply reply;
    struct bhp_box box = {0};

    CHECK_INT(rig_int(w, "early", 4), 4);
    while (box.committed != 2)
        bhp_worker_box(w->worker, &box);
    CHECK_INT(rig_call(w, "echo", NULL, &reply), BHP_LANE_BROKEN);
    CHECK_CONTAINS(reply.text, "request 2 was answered before it was asked");
    rig_drop(&reply);
    rig_close(&rig);
}

TEST(a_closed_control_socket_is_broken)
{
    static struct rig rig;
    static unsigned char bytes[100000];
    struct rig_worker *w = rig_one(&rig);
    bh_value value = bh_value_view_bytes(bytes, sizeof(bytes));
    struct bhp_reply reply;

    CHECK_INT(rig_int(w, "shut_control", 4), 4);
    CHECK_INT(rig_call(w, "sum", &value, &reply), BHP_LANE_BROKEN);
    CHECK_CONTAINS(reply.text, "closed its control socket");
    rig_drop(&reply);
    CHECK_INT(rig_int(w, "echo", 5), 5);
    rig_close(&rig);
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

TEST(rings_without_end_cost_the_caller_little)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    int64_t begun = kit_now_ms();
    double cpu = cpu_seconds();

    CHECK_INT(rig_int(w, "rings", 1000000), 1);
    double wall = (double)(kit_now_ms() - begun) / 1e3;
    cpu = cpu_seconds() - cpu;
    CHECK(wall > 0.02);
    if (cpu > wall / 10)
        FAIL("%.3f s of processor in %.3f s", cpu, wall);
    rig_close(&rig);
}

/* ---- the box ---- */

static struct bhp_fault forged(int64_t variant)
{
    static struct rig rig;
    struct rig_worker *w = rig_one(&rig);
    struct bhp_box box;

    CHECK_INT(rig_int(w, "forge", variant), 0);
    bhp_worker_box(w->worker, &box);
    CHECK_INT(box.started, 1);
    CHECK_INT(box.committed, 1);
    rig_close(&rig);
    return box.fault;
}

TEST(a_fault_record_is_read)
{
    struct bhp_fault fault = forged(0);

    CHECK_INT(fault.kind, BHP_FAULT_FAULT);
    CHECK_INT(fault.signal, SIGSEGV);
    CHECK_INT(fault.address, 0x1234);
    CHECK(fault.stack_overflow);
    CHECK_INT(fault.register_count, 3);
    CHECK_INT(fault.registers[2], 30);
    CHECK_INT(fault.syscall, -1);
    CHECK_INT(fault.sender_pid, 0);
}

TEST(too_many_registers_are_none)
{
    struct bhp_fault fault = forged(1);

    CHECK_INT(fault.kind, BHP_FAULT_FAULT);
    CHECK_INT(fault.register_count, 0);
}

TEST(a_record_with_no_signal_is_none)
{
    CHECK_INT(forged(2).kind, BHP_FAULT_NONE);
}

TEST(an_incomplete_record_is_none)
{
    CHECK_INT(forged(3).kind, BHP_FAULT_NONE);
}

TEST(a_sent_signal_is_no_fault)
{
    struct bhp_fault fault = forged(4);

    CHECK_INT(fault.kind, BHP_FAULT_SIGNAL);
    CHECK_INT(fault.sender_pid, 42);
    CHECK_INT(fault.sender_uid, 43);
    CHECK(!fault.stack_overflow);
}

TEST(an_abort_is_an_abort)
{
    CHECK_INT(forged(5).kind, BHP_FAULT_ABORT);
}

TEST(a_forbidden_call_is_the_sandbox)
{
    struct bhp_fault fault = forged(6);

    CHECK_INT(fault.kind, BHP_FAULT_SANDBOX);
    CHECK_INT(fault.syscall, 5);
}

TEST(names_are_names)
{
    CHECK_STR(bhp_signal_name(SIGSEGV), "SIGSEGV");
    CHECK_STR(bhp_signal_name(SIGSYS), "SIGSYS");
    CHECK_STR(bhp_signal_name(34), "SIGRT2");
    CHECK_STR(bhp_signal_name(0), "");
    CHECK_STR(bhp_signal_name(-1), "");
    CHECK_STR(bhp_signal_name(65), "");
    CHECK_STR(bhp_syscall_name(449), "futex_waitv");
    CHECK_STR(bhp_syscall_name(-1), NULL);
    CHECK_STR(bhp_syscall_name(100000), NULL);
    CHECK_STR(bhp_register_name(1000), NULL);
}
