/* SPDX-License-Identifier: MIT */
/*
 * The worker's side, against a dispatcher made by hand: how it starts, what it answers, when it
 * leaves. worker_fault_test.c has its deaths.
 * timeout: 120
 */
#include "hand.h"

#include "variant_tools.h"

#define PROBE BH_TEST_DIR "/probe_worker.exe"

static const struct hand_options plain = {.program = PROBE};

static void apartment(void)
{
    HRESULT result = CoInitializeEx(NULL, COINIT_MULTITHREADED);

    CHECK(SUCCEEDED(result));
}

static void open_plain(struct hand *hand)
{
    apartment();
    hand_open(hand, &plain);
}

/* The worker leaves in order. */
static void check_left(struct hand *hand)
{
    CHECK_INT(hand_end(hand), 0);
    CHECK_INT(hand->box->quitting, 1);
    CHECK_INT(hand->box->exiting, 1);
    CHECK_CONTAINS(hand_output(hand), "fini");
}

/* ---- starting -------------------------------------------------------------------------------- */

TEST(it_announces_its_methods)
{
    struct hand hand;
    struct hand_reply reply;
    VARIANT number = {0};

    open_plain(&hand);
    V_VT(&number) = VT_UI8;
    V_UI8(&number) = 0x123456789abcdef0;
    hand_invoke(hand.object, BHW_DISPID_METHODS, BHW_LCID, &number, 1, &reply);
    CHECK_INT(reply.result, S_OK);
    CHECK(hand.box->greeted == 0x123456789abcdef0);
    check_methods(&reply.value, "echo", "echo(value...) -> the value");
    hand_reply_free(&reply);
    CHECK_INT(hand.box->started, 0);
    hand_close(&hand);
}

TEST(it_leaves_the_table_once_it_is_bound)
{
    struct hand hand;
    struct hand_reply reply;
    IDispatch *other;

    open_plain(&hand);
    hand_call(&hand, L"serial", &reply);
    hand_check_number(&reply, 1);
    CHECK(hand_find(&hand, &other) != S_OK);
    hand_close(&hand);
}

TEST(it_keeps_the_way_it_was_started_to_itself)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand_call(&hand, L"inherited", &reply);
    hand_check_number(&reply, 0);
    hand_close(&hand);
}

TEST(a_wrong_cookie_is_refused)
{
    struct hand_options options = plain;
    struct hand hand;

    apartment();
    options.wrong_cookie = true;
    hand_start(&hand, &options);
    CHECK(!hand_is_ready(&hand));
    CHECK_INT(hand_end(&hand), 2);
    CHECK_CONTAINS(hand_output(&hand), "another worker");
    hand_close(&hand);
}

TEST(another_version_is_refused)
{
    struct hand_options options = plain;
    struct hand hand;

    apartment();
    options.wrong_version = true;
    hand_start(&hand, &options);
    CHECK(!hand_is_ready(&hand));
    CHECK_INT(hand_end(&hand), 2);
    CHECK_CONTAINS(hand_output(&hand), "version 2");
    hand_close(&hand);
}

TEST(a_failing_init_ends_it_with_its_code)
{
    struct hand_options options = plain;
    struct hand hand;

    apartment();
    options.arguments = "--fail";
    hand_start(&hand, &options);
    CHECK(!hand_is_ready(&hand));
    CHECK_INT(hand_end(&hand), 9);
    CHECK_INT(hand.box->exiting, 1);
    CHECK_CONTAINS(hand_output(&hand), "init: no");
    hand_close(&hand);
}

/* The host of plug-ins, with the example's. */
TEST(a_plug_in_is_a_worker)
{
    struct hand_options options = {
        .program = BH_TEST_BIN_DIR "/bulkhead-host.exe",
        .arguments = "\"" BH_TEST_BIN_DIR "/../lib/plugin.dll\"",
    };
    struct hand hand;
    struct hand_reply reply;

    if (GetFileAttributesA(options.program) == INVALID_FILE_ATTRIBUTES)
        SKIP("%s was not built", options.program);
    apartment();
    hand_open(&hand, &options);
    hand_call_text(&hand, L"words", L"one two three", &reply);
    hand_check_number(&reply, 3);
    hand_close(&hand);
}

/* ---- calls ----------------------------------------------------------------------------------- */

TEST(a_request_is_marked_as_started_and_committed)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand.serial = 41;
    hand_call(&hand, L"serial", &reply);
    hand_check_number(&reply, 42);
    CHECK_INT(hand.box->started, 42);
    CHECK_INT(hand.box->committed, 42);
    hand_close(&hand);
}

TEST(names_are_found_in_any_case)
{
    struct hand hand;

    open_plain(&hand);
    CHECK_INT(hand_id(hand.object, L"echo"), 1);
    CHECK_INT(hand_id(hand.object, L"ECHO"), 1);
    CHECK_INT(hand_id(hand.object, L"echoes"), DISPID_UNKNOWN);
    hand_close(&hand);
}

TEST(every_type_is_echoed)
{
    struct hand hand;
    struct hand_reply reply;
    bh_value all = every_type();
    const bh_value *items;
    size_t count;

    open_plain(&hand);
    CHECK_INT(bh_value_get_array(&all, &items, &count), BH_OK);
    for (size_t i = 0; i < count; i++) {
        VARIANT argument = variant_of(&items[i], NULL);

        hand_call_all(&hand, L"echo", &argument, 1, &reply);
        CHECK_INT(reply.result, S_OK);
        check_same(&reply.value, &items[i], NULL);
        hand_reply_free(&reply);
        VariantClear(&argument);
    }
    bh_value_deinit(&all);
    hand_close(&hand);
}

TEST(arguments_come_in_order)
{
    struct hand hand;
    struct hand_reply reply;
    VARIANT arguments[2]; /* the last first */
    bh_value pair[] = {bh_value_int64(1), bh_value_int64(2)};
    bh_value both = bh_value_view_array(pair, 2);

    open_plain(&hand);
    V_VT(&arguments[1]) = V_VT(&arguments[0]) = VT_I8;
    V_I8(&arguments[1]) = 1;
    V_I8(&arguments[0]) = 2;
    hand_call_all(&hand, L"echo", arguments, 2, &reply);
    CHECK_INT(reply.result, S_OK);
    check_same(&reply.value, &both, NULL);
    hand_reply_free(&reply);
    hand_close(&hand);
}

TEST(a_failure_travels_in_band)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand_call(&hand, L"fail", &reply);
    CHECK_INT(reply.result, DISP_E_EXCEPTION);
    CHECK_INT(reply.exception.wCode, 0);
    CHECK_INT(reply.exception.scode, -2147023170);
    CHECK(wcscmp(reply.exception.bstrDescription, L"no \x20ac left") == 0);
    hand_reply_free(&reply);
    CHECK_INT(hand.box->committed, 1);
    hand_close(&hand);
}

TEST(an_argument_that_no_value_is_like_fails_the_call)
{
    struct hand hand;
    struct hand_reply reply;
    VARIANT argument = {0};

    open_plain(&hand);
    V_VT(&argument) = VT_UNKNOWN;
    hand_call_all(&hand, L"echo", &argument, 1, &reply);
    CHECK_INT(reply.result, DISP_E_EXCEPTION);
    CHECK_INT(reply.exception.scode, BH_E_TYPE);
    hand_reply_free(&reply);
    hand_close(&hand);
}

TEST(a_reply_above_the_limit_fails_the_call)
{
    struct hand_options options = plain;
    struct hand hand;
    struct hand_reply reply;

    apartment();
    options.max_reply_bytes = 4096;
    hand_open(&hand, &options);
    {
        char bytes[5000] = {0};
        bh_value value = bh_value_view_bytes(bytes, sizeof bytes);
        VARIANT argument = variant_of(&value, NULL);

        hand_call_all(&hand, L"echo", &argument, 1, &reply);
        VariantClear(&argument);
    }
    CHECK_INT(reply.result, DISP_E_EXCEPTION);
    CHECK_INT(reply.exception.scode, BH_E_TOO_LARGE);
    hand_reply_free(&reply);
    hand_close(&hand);
}

TEST(progress_and_cancel_pass_through_the_sections)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand_call(&hand, L"progress", &reply);
    hand_check_number(&reply, 0);
    CHECK_INT(hand.box->progress_done, 3);
    CHECK_INT(hand.box->progress_total, 7);
    CHECK_INT(hand.box->progress, 1);
    atomic_store(&hand.call->cancel, 2);
    hand_call(&hand, L"until-cancelled", &reply);
    hand_check_number(&reply, 1);
    hand_close(&hand);
}

TEST(output_of_a_program_without_a_console_arrives)
{
    struct hand hand;
    struct hand_reply reply;
    const char *text;

    open_plain(&hand);
    hand_call_text(&hand, L"print", L"hello", &reply);
    hand_check_number(&reply, 0);
    hand_quit(&hand);
    CHECK_INT(hand_end(&hand), 0);
    text = hand_output(&hand);
    CHECK_CONTAINS(text, "out:hello");
    CHECK_CONTAINS(text, "err:hello");
    hand_close(&hand);
}

/* ---- blobs ----------------------------------------------------------------------------------- */

TEST(large_payloads_travel_in_sections)
{
    struct hand_options options = plain;
    struct hand hand;
    struct hand_reply reply;
    struct sections sections = {0};
    uint8_t *bytes = malloc(1 << 20);
    uint64_t early = 0;
    bh_value value;

    apartment();
    for (size_t i = 0; i < 1 << 20; i++)
        bytes[i] = (uint8_t)(i * 7 ^ i >> 9);
    value = bh_value_view_bytes(bytes, 1 << 20);
    options.blob_bytes = 65536;
    hand_open(&hand, &options);
    for (int turn = 0; turn < 20; turn++) {
        struct bhw_blobs blobs = sections_blobs(&sections, hand.process, 65536);
        VARIANT argument = variant_of(&value, &blobs);

        hand_call_all(&hand, L"echo", &argument, 1, &reply);
        CHECK_INT(reply.result, S_OK);
        check_same(&reply.value, &value, &blobs);
        CHECK_INT(sections.got, turn + 1);
        if (turn == 3)
            early = sections.highest;
        hand_reply_free(&reply);
        VariantClear(&argument);
    }
    CHECK_INT(sections.highest, early); /* numbers are used again: none was left open */
    free(bytes);
    hand_close(&hand);
}

/* ---- messages inside a method ---------------------------------------------------------------- */

struct nested {
    struct hand *hand;
    struct hand_reply first;
};

static DWORD WINAPI call_pump(void *context)
{
    struct nested *nested = context;

    hand_call(nested->hand, L"pump", &nested->first);
    return 0;
}

static bool pump_has_begun(void *context)
{
    return ((struct hand *)context)->box->started == 1;
}

TEST(a_call_inside_a_call_is_refused)
{
    struct hand hand;
    struct nested nested = {&hand, {0}};
    struct hand_reply reply;
    HANDLE thread;
    DISPID id;

    open_plain(&hand);
    id = hand_id(hand.object, L"echo");
    thread = CreateThread(NULL, 0, call_pump, &nested, 0, NULL);
    CHECK(kit_wait_until(pump_has_begun, &hand, 10000));
    hand_invoke(hand.object, id, BHW_LCID, NULL, 0, &reply);
    CHECK_INT(reply.result, DISP_E_EXCEPTION);
    CHECK_INT(reply.exception.wCode, BHW_WCODE_BUSY);
    hand_reply_free(&reply);
    CHECK_INT(WaitForSingleObject(thread, 10000), WAIT_OBJECT_0);
    CloseHandle(thread);
    hand_check_number(&nested.first, 5);
    /* A library's PostQuitMessage() is not the worker's end. */
    hand_call(&hand, L"serial", &reply);
    hand_check_number(&reply, 2);
    hand_close(&hand);
}

/* ---- the idle hook --------------------------------------------------------------------------- */

TEST(the_idle_hook_runs_after_each_request)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    for (int i = 0; i < 5; i++) {
        hand_call(&hand, L"idles", &reply);
        hand_check_number(&reply, i);
    }
    hand_close(&hand);
}

TEST(a_death_in_the_idle_hook_takes_no_reply_along)
{
    for (int turn = 0; turn < 10; turn++) {
        struct hand hand;
        struct hand_reply reply;

        open_plain(&hand);
        hand_call(&hand, L"die-next-idle", &reply);
        hand_check_number(&reply, 0);
        CHECK_INT(hand_end(&hand), EXCEPTION_ACCESS_VIOLATION);
        CHECK_INT(hand.box->fault.exception, EXCEPTION_ACCESS_VIOLATION);
        hand_close(&hand);
    }
}

/* ---- leaving --------------------------------------------------------------------------------- */

TEST(it_quits_when_asked_to)
{
    struct hand hand;

    open_plain(&hand);
    hand_quit(&hand);
    check_left(&hand);
    hand_close(&hand);
}

TEST(it_quits_when_its_client_disconnects)
{
    struct hand hand;
    struct hand_reply reply;

    open_plain(&hand);
    hand_call(&hand, L"serial", &reply);
    hand_check_number(&reply, 1);
    hand_release(&hand);
    check_left(&hand);
    hand_close(&hand);
}

TEST(it_quits_when_it_has_been_idle_for_long)
{
    struct hand_options options = plain;
    struct hand hand;
    struct hand_reply reply;

    apartment();
    options.arguments = "--impatient";
    hand_open(&hand, &options);
    hand_call(&hand, L"serial", &reply);
    hand_check_number(&reply, 1);
    check_left(&hand);
    hand_close(&hand);
}

TEST(it_quits_when_its_dispatcher_ends)
{
    struct hand_options options = plain;
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION stand_in;
    char command[] = "probe_worker --wait";
    struct hand hand;

    apartment();
    CHECK(CreateProcessA(PROBE, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &stand_in));
    options.dispatcher = stand_in.hProcess;
    hand_open(&hand, &options);
    TerminateProcess(stand_in.hProcess, 1);
    check_left(&hand);
    CloseHandle(stand_in.hProcess);
    CloseHandle(stand_in.hThread);
    hand_close(&hand);
}

TEST(a_quit_before_it_is_bound_is_obeyed)
{
    struct hand hand;

    apartment();
    hand_start(&hand, &plain);
    CHECK(hand_is_ready(&hand));
    hand_quit(&hand);
    check_left(&hand);
    hand_close(&hand);
}

/* ---- late-bound clients ---------------------------------------------------------------------- */

TEST(it_stays_for_others_when_it_keeps_its_entry)
{
    struct hand_options options = plain;
    struct hand hand;
    struct hand_reply reply;
    IDispatch *other;

    apartment();
    options.keep_registered = 1;
    hand_open(&hand, &options);
    hand_call(&hand, L"serial", &reply);
    hand_check_number(&reply, 1);
    hand_release(&hand);
    for (int turn = 0; turn < 3; turn++) {
        CHECK_INT(hand_find(&hand, &other), S_OK);
        hand_invoke(other, hand_id(other, L"serial"), LOCALE_USER_DEFAULT, NULL, 0, &reply);
        hand_check_number(&reply, 0);
        IDispatch_Release(other);
    }
    CHECK_INT(hand.box->started, 1);
    CHECK_INT(hand.box->committed, 1);
    hand_close(&hand);
}

TEST(a_stranger_does_not_take_the_next_serial)
{
    struct hand_options options = plain;
    struct hand hand;
    struct hand_reply reply;

    apartment();
    options.keep_registered = 1;
    hand_open(&hand, &options);
    atomic_store(&hand.call->serial, 7); /* the dispatcher is about to call */
    hand_invoke(hand.object, hand_id(hand.object, L"serial"), LOCALE_USER_DEFAULT, NULL, 0, &reply);
    hand_check_number(&reply, 0);
    CHECK_INT(hand.box->started, 0);
    hand_invoke(hand.object, hand_id(hand.object, L"serial"), BHW_LCID, NULL, 0, &reply);
    hand_check_number(&reply, 7);
    CHECK_INT(hand.box->started, 7);
    hand_close(&hand);
}
