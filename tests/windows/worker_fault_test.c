/* SPDX-License-Identifier: MIT */
/*
 * What a dying worker leaves: exit code, marks and fault record, for each kind of death and each
 * place where it can happen; and what is no death.
 * timeout: 120
 */
#include "hand.h"

#define PROBE BH_TEST_DIR "/probe_worker.exe"

#define BAD_ADDRESS 0x1234
/* How soon after a fault the worker must be gone. A dialog, a debugger's start or COM's own
 * time-outs take longer. */
#define SOON_MS 2000

static const struct hand_options plain = {.program = PROBE};

static void open_plain(struct hand *hand)
{
    CHECK(SUCCEEDED(CoInitializeEx(NULL, COINIT_MULTITHREADED)));
    hand_open(hand, &plain);
}

/* Has the worker die inside a method. */
static void die(struct hand *hand, const WCHAR *kind)
{
    struct hand_reply reply;
    int64_t before = kit_now_ms();

    open_plain(hand);
    before = kit_now_ms();
    hand_call_text(hand, L"die", kind, &reply);
    CHECK(FAILED(reply.result) && reply.result != DISP_E_EXCEPTION);
    hand_reply_free(&reply);
    hand_end(hand);
    if (kit_now_ms() - before > SOON_MS * kit_slowdown())
        FAIL("%ls: took %lld ms", kind, (long long)(kit_now_ms() - before));
    CHECK_INT(hand->box->started, 1);
    CHECK_INT(hand->box->committed, 0);
}

static void check_code(struct hand *hand, uint32_t code)
{
    uint32_t got = hand_end(hand);

    if (got != code)
        FAIL("exit code %08x instead of %08x", got, code);
}

/* The record is there and says this. */
static void check_record(struct hand *hand, uint32_t code)
{
    volatile struct bhw_fault *fault = &hand->box->fault;

    check_code(hand, code);
    CHECK_INT(fault->state, BHW_FAULT_COMPLETE);
    CHECK_INT(fault->exception, code);
    CHECK(fault->thread_id != 0);
    CHECK(fault->register_count >= 10);
    CHECK(fault->stack_pointer != 0);
    CHECK_INT(fault->registers[7], fault->stack_pointer);
    CHECK_INT(fault->registers[8], fault->instruction);
    CHECK_INT(hand->box->exiting, 0);
    CHECK_INT(hand->box->aborted, 0);
}

static void check_module(struct hand *hand, const WCHAR *name)
{
    volatile struct bhw_fault *fault = &hand->box->fault;
    WCHAR module[64];

    memcpy(module, (const void *)(uintptr_t)fault->module, sizeof module);
    if (_wcsicmp(module, name) != 0)
        FAIL("module %ls instead of %ls", module, name);
    CHECK(fault->module_base != 0 && fault->module_base <= fault->instruction);
}

/* No record. */
static void check_silent(struct hand *hand, uint32_t code, int exiting, int aborted)
{
    check_code(hand, code);
    CHECK_INT(hand->box->fault.state, 0);
    CHECK_INT(hand->box->exiting, exiting);
    CHECK_INT(hand->box->aborted, aborted);
}

/* ---- faults in a method ---------------------------------------------------------------------- */

TEST(an_access_violation_leaves_its_address)
{
    struct hand hand;

    die(&hand, L"write");
    check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
    CHECK_INT(hand.box->fault.address, BAD_ADDRESS);
    CHECK_INT(hand.box->fault.stack_overflow, 0);
    check_module(&hand, L"probe_worker.exe");
    hand_close(&hand);
}

TEST(a_division_by_zero_is_recorded)
{
    struct hand hand;

    die(&hand, L"divide");
    check_record(&hand, EXCEPTION_INT_DIVIDE_BY_ZERO);
    CHECK_INT(hand.box->fault.address, hand.box->fault.instruction);
    hand_close(&hand);
}

TEST(an_illegal_instruction_is_recorded)
{
    struct hand hand;

    die(&hand, L"instruction");
    check_record(&hand, EXCEPTION_ILLEGAL_INSTRUCTION);
    hand_close(&hand);
}

TEST(a_breakpoint_is_recorded)
{
    struct hand hand;

    die(&hand, L"breakpoint");
    check_record(&hand, EXCEPTION_BREAKPOINT);
    hand_close(&hand);
}

TEST(a_stack_overflow_is_recorded)
{
    struct hand hand;

    die(&hand, L"stack");
    check_record(&hand, EXCEPTION_STACK_OVERFLOW);
    CHECK_INT(hand.box->fault.stack_overflow, 1);
    check_module(&hand, L"probe_worker.exe");
    hand_close(&hand);
}

TEST(a_raised_exception_is_recorded)
{
    struct hand hand;

    die(&hand, L"raise");
    check_record(&hand, 0xE0001234);
    hand_close(&hand);
}

TEST(a_fault_in_another_module_names_it)
{
    struct hand hand;

    die(&hand, L"library");
    check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
    CHECK(hand.box->fault.module_base != 0);
    hand_close(&hand);
}

TEST(a_fault_in_another_thread_is_recorded)
{
    struct hand hand;

    die(&hand, L"thread");
    check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
    CHECK_INT(hand.box->fault.address, BAD_ADDRESS);
    hand_close(&hand);
}

TEST(a_stack_overflow_in_a_thread_that_entered_is_recorded)
{
    struct hand hand;

    die(&hand, L"thread-stack");
    check_record(&hand, EXCEPTION_STACK_OVERFLOW);
    hand_close(&hand);
}

TEST(two_faults_at_once_leave_one_record)
{
    for (int turn = 0; turn < 5; turn++) {
        struct hand hand;

        die(&hand, L"two-threads");
        check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
        CHECK_INT(hand.box->fault.address, BAD_ADDRESS);
        hand_close(&hand);
    }
}

/* ---- other ends in a method ------------------------------------------------------------------ */

TEST(fail_fast_leaves_its_code_only)
{
    struct hand hand;

    die(&hand, L"fast");
    check_silent(&hand, 0xC0000409, 0, 0);
    hand_close(&hand);
}

TEST(an_abort_is_marked)
{
    struct hand hand;

    die(&hand, L"abort");
    check_silent(&hand, 3, 0, 1);
    hand_close(&hand);
}

/* The C runtime would show its text in a box, because the program has no console. */
TEST(an_assertion_says_so_on_stderr)
{
    struct hand hand;

    die(&hand, L"assert");
    check_silent(&hand, 3, 0, 1);
    CHECK_CONTAINS(hand_output(&hand), "what must not be");
    hand_close(&hand);
}

TEST(every_orderly_exit_is_marked)
{
    struct hand hand;

    die(&hand, L"exit");
    check_silent(&hand, 3, 1, 0);
    hand_close(&hand);
    die(&hand, L"_exit");
    check_silent(&hand, 4, 1, 0);
    hand_close(&hand);
    die(&hand, L"ExitProcess");
    check_silent(&hand, 5, 1, 0);
    hand_close(&hand);
}

TEST(a_termination_is_not_marked)
{
    struct hand hand;

    die(&hand, L"TerminateProcess");
    check_silent(&hand, 6, 0, 0);
    hand_close(&hand);
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

static void start_and_die(struct hand *hand, const char *argument)
{
    struct hand_options options = plain;

    CHECK(SUCCEEDED(CoInitializeEx(NULL, COINIT_MULTITHREADED)));
    options.arguments = argument;
    hand_start(hand, &options);
    CHECK(!hand_is_ready(hand));
}

TEST(faults_during_start_up_are_recorded)
{
    struct hand hand;

    start_and_die(&hand, "--die=write");
    check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
    hand_close(&hand);
    start_and_die(&hand, "--die=stack");
    check_record(&hand, EXCEPTION_STACK_OVERFLOW);
    hand_close(&hand);
    start_and_die(&hand, "--die=abort");
    check_silent(&hand, 3, 0, 1);
    hand_close(&hand);
}

TEST(faults_between_requests_are_recorded)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand_call(&hand, L"die-next-idle", &reply);
    hand_check_number(&reply, 0);
    check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
    CHECK_INT(hand.box->committed, 1);
    hand_close(&hand);
}

TEST(a_fault_in_fini_is_recorded)
{
    struct hand_options options = plain;
    struct hand hand;

    CHECK(SUCCEEDED(CoInitializeEx(NULL, COINIT_MULTITHREADED)));
    options.arguments = "--die-in-fini";
    hand_open(&hand, &options);
    hand_quit(&hand);
    check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
    CHECK_INT(hand.box->quitting, 1);
    hand_close(&hand);
}

/* ---- no deaths ------------------------------------------------------------------------------- */

static void survives(const WCHAR *method, int64_t answer)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand_call(&hand, method, &reply);
    hand_check_number(&reply, answer);
    hand_call(&hand, L"serial", &reply);
    hand_check_number(&reply, 2);
    CHECK_INT(hand.box->fault.state, 0);
    hand_close(&hand);
}

TEST(a_pointer_that_is_tried_kills_nobody)
{
    survives(L"bad-read-pointer", 1);
}

TEST(exceptions_that_a_library_handles_kill_nobody)
{
    survives(L"debug-string", 0);
    survives(L"handled-first", 1);
    survives(L"thrown-by-gcc", 1);
}

TEST(a_handler_of_signal_keeps_its_say)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand_call(&hand, L"own-handler", &reply);
    CHECK(FAILED(reply.result));
    hand_reply_free(&reply);
    check_silent(&hand, 42, 1, 0);
    hand_close(&hand);
}

/* A crash reporter in the library hides faults of other threads, unless the pool says otherwise. */
TEST(rearm_puts_the_filter_back)
{
    for (uint32_t rearm = 0; rearm <= 1; rearm++) {
        struct hand_options options = plain;
        struct hand hand;
        struct hand_reply reply;

        CHECK(SUCCEEDED(CoInitializeEx(NULL, COINIT_MULTITHREADED)));
        options.rearm = rearm;
        hand_open(&hand, &options);
        hand_call(&hand, L"own-filter", &reply);
        hand_check_number(&reply, 0);
        hand_call_text(&hand, L"die", L"thread", &reply);
        hand_reply_free(&reply);
        if (rearm)
            check_record(&hand, EXCEPTION_ACCESS_VIOLATION);
        else
            check_code(&hand, 43);
        hand_close(&hand);
    }
}
