/* SPDX-License-Identifier: MIT */
/*
 * The worker's side, against a dispatcher made by hand: how it starts, what it answers, when it
 * leaves. worker_fault_test.c has its deaths.
 * timeout: 120
 */
#include "create_process.h"
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

/* Echoes bytes `turns` times. */
static void echo_bytes(struct hand *hand, struct arenas *arenas, size_t size, int turns)
{
    uint8_t *bytes = calloc(1, size);
    bh_value value = bh_value_view_bytes(bytes, size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 ^ i >> 9);
    for (int turn = 0; turn < turns; turn++) {
        struct bhw_blobs blobs = arenas_blobs(arenas, BHW_BLOB_BYTES);
        VARIANT argument = variant_of(&value, &blobs);
        struct hand_reply reply;
        int got = arenas->got;

        hand_call_all(hand, L"echo", &argument, 1, &reply);
        CHECK_INT(reply.result, S_OK);
        check_same(&reply.value, &value, &blobs);
        CHECK_INT(arenas->got, got + 1);
        hand_reply_free(&reply);
        VariantClear(&argument);
        bytes[0]++;
    }
    free(bytes);
}

static void open_with_arenas(struct hand *hand, struct arenas *arenas)
{
    struct hand_options options = plain;

    apartment();
    options.blob_bytes = BHW_BLOB_BYTES;
    hand_open(hand, &options);
    *arenas = (struct arenas){.worker = hand->process, .call = hand->call, .box = hand->box};
}

TEST(large_payloads_travel_in_arenas_that_are_kept)
{
    struct arenas arenas;
    struct hand hand;

    open_with_arenas(&hand, &arenas);
    echo_bytes(&hand, &arenas, 1 << 20, 10);
    CHECK_INT(arenas.reply_generation, 1);
    CHECK_INT(hand.box->request_taken, 1);
    echo_bytes(&hand, &arenas, 3 << 20, 10);
    CHECK_INT(arenas.reply_generation, 2);
    CHECK_INT(hand.box->request_taken, 2);
    echo_bytes(&hand, &arenas, BHW_BLOB_BYTES, 10);
    CHECK_INT(arenas.reply_generation, 2);
    arenas_free(&arenas);
    hand_close(&hand);
}

static bool is_let_go(void *box)
{
    return ((volatile struct bhw_box_section *)box)->reply.dropped == 1;
}

/* Little calls after a large one: the memory is let go after a while. One that is huge, at once. */
TEST(an_arena_that_is_far_too_large_is_dropped)
{
    struct arenas arenas;
    struct hand hand;

    open_with_arenas(&hand, &arenas);
    echo_bytes(&hand, &arenas, 3 << 20, 1);
    echo_bytes(&hand, &arenas, BHW_BLOB_BYTES, 10);
    CHECK_INT(hand.box->reply.dropped, 0);
    echo_bytes(&hand, &arenas, BHW_BLOB_BYTES, 40);
    CHECK(is_let_go((void *)(uintptr_t)hand.box));
    CHECK_INT(arenas.reply_generation, 2);
    arenas_free(&arenas);
    hand_close(&hand);
}

static int64_t count_handles(struct hand *hand)
{
    struct hand_reply reply;

    hand_call(hand, L"handles", &reply);
    CHECK_INT(reply.result, S_OK);
    int64_t count = V_I8(&reply.value);
    hand_reply_free(&reply);
    return count;
}

/* The dispatcher never fetches it: it has no memory, say. */
TEST(an_arena_that_nobody_fetches_is_closed)
{
    static uint8_t bytes[8 << 20];
    struct arenas arenas;
    struct hand hand;
    int64_t before = 0;

    open_with_arenas(&hand, &arenas);
    for (size_t size = 64 << 10; size <= sizeof bytes; size *= 2) {
        bh_value value = bh_value_view_bytes(bytes, size);
        VARIANT argument = variant_of(&value, NULL);
        struct hand_reply reply;

        hand_call_all(&hand, L"echo", &argument, 1, &reply);
        CHECK_INT(reply.result, S_OK);
        hand_reply_free(&reply);
        VariantClear(&argument);
        if (before == 0)
            before = count_handles(&hand);
    }
    CHECK(hand.box->reply.generation > 4);
    CHECK_INT(count_handles(&hand), before);
    hand_close(&hand);
}

struct somewhere {
    HANDLE process;
    const void *address;
};

static bool is_unmapped(void *context)
{
    const struct somewhere *somewhere = context;
    MEMORY_BASIC_INFORMATION memory = {0};

    VirtualQueryEx(somewhere->process, somewhere->address, &memory, sizeof memory);
    return memory.State == MEM_FREE;
}

/* The dispatcher has dropped its arena: the worker lets it go too, without waiting for a call. */
TEST(what_the_dispatcher_drops_is_let_go_at_once)
{
    static const uint8_t bytes[BHW_BLOB_BYTES];
    bh_value value = bh_value_view_bytes(bytes, sizeof bytes);
    struct hand_reply reply;
    struct arenas arenas;
    struct hand hand;

    open_with_arenas(&hand, &arenas);
    struct bhw_blobs blobs = arenas_blobs(&arenas, BHW_BLOB_BYTES);
    VARIANT argument = variant_of(&value, &blobs);
    hand_call_all(&hand, L"place", &argument, 1, &reply);
    CHECK_INT(reply.result, S_OK);
    struct somewhere there = {hand.process, (const void *)(uintptr_t)V_I8(&reply.value)};
    CHECK(!is_unmapped(&there));
    atomic_store(&hand.call->request.dropped, arenas.request_generation);
    SetEvent(hand.bell);
    CHECK(kit_wait_until(is_unmapped, &there, 5000));
    hand_reply_free(&reply);
    VariantClear(&argument);
    arenas_free(&arenas);
    hand_close(&hand);
}

/* The worker reads them where they lie, and cannot write there. */
TEST(large_arguments_are_read_in_place)
{
    static const uint8_t bytes[BHW_BLOB_BYTES];
    bh_value value = bh_value_view_bytes(bytes, sizeof bytes);
    struct hand_reply reply;
    struct arenas arenas;
    struct hand hand;

    open_with_arenas(&hand, &arenas);
    struct bhw_blobs blobs = arenas_blobs(&arenas, BHW_BLOB_BYTES);
    VARIANT argument = variant_of(&value, &blobs);
    hand_call_all(&hand, L"protection", &argument, 1, &reply);
    hand_check_number(&reply, PAGE_READONLY);
    VariantClear(&argument);
    arenas_free(&arenas);
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

/* One that stays for late-bound clients goes too, although they hold it: its dispatcher may hang.
 */
TEST(it_quits_when_nobody_calls_though_somebody_holds_it)
{
    struct hand_options options = plain;
    struct hand hand;
    struct hand_reply reply;

    apartment();
    options.arguments = "--impatient";
    options.keep_registered = 1;
    hand_open(&hand, &options);
    for (int i = 0; i < 3; i++) { /* a stranger's calls */
        hand_invoke(hand.object, hand_id(hand.object, L"serial"), LOCALE_NEUTRAL, NULL, 0, &reply);
        hand_check_number(&reply, 0);
    }
    check_left(&hand);
    hand_close(&hand);
}

/* A worker of a dispatcher that is there to end. */
static void open_under_stand_in(struct hand *hand, const struct hand_options *wanted,
                                HANDLE *stand_in)
{
    struct hand_options options = *wanted;
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION made;
    char command[] = "probe_worker --wait";

    apartment();
    CHECK(kit_create_process(PROBE, command, FALSE, 0, &startup, &made));
    CloseHandle(made.hThread);
    *stand_in = options.dispatcher = made.hProcess;
    hand_open(hand, &options);
}

TEST(it_quits_when_its_dispatcher_ends)
{
    struct hand hand;
    HANDLE stand_in;

    open_under_stand_in(&hand, &plain, &stand_in);
    TerminateProcess(stand_in, 1);
    check_left(&hand);
    CloseHandle(stand_in);
    hand_close(&hand);
}

TEST(it_quits_when_its_dispatcher_ends_though_others_hold_it)
{
    struct hand_options options = plain;
    struct hand hand;
    HANDLE stand_in;

    options.keep_registered = 1;
    open_under_stand_in(&hand, &options, &stand_in);
    TerminateProcess(stand_in, 1);
    check_left(&hand);
    CloseHandle(stand_in);
    hand_close(&hand);
}

struct waiting {
    struct hand *hand;
    struct hand_reply reply;
};

static void call_until_cancelled(void *context)
{
    struct waiting *waiting = context;

    apartment();
    hand_call(waiting->hand, L"until-cancelled", &waiting->reply);
    CoUninitialize();
}

static bool has_started(void *context)
{
    return ((struct hand *)context)->box->started == 1;
}

/* The method at hand comes to its end; nothing after it. (One that never does is ended with the
 * job: orphan_test.c.) Whether its reply still arrives is COM's affair: whom it is for has ended.
 */
TEST(it_quits_after_the_call_in_which_its_dispatcher_ends)
{
    struct hand hand;
    struct waiting waiting = {.hand = &hand};
    HANDLE stand_in;

    open_under_stand_in(&hand, &plain, &stand_in);
    kit_thread *thread = kit_thread_start(call_until_cancelled, &waiting);
    CHECK(kit_wait_until(has_started, &hand, 10000));
    TerminateProcess(stand_in, 1);
    CHECK_INT(WaitForSingleObject(hand.process, 0), WAIT_TIMEOUT);
    atomic_store(&hand.call->cancel, 1);
    kit_thread_join(thread);
    check_left(&hand);
    CHECK_INT(hand.box->committed, 1);
    hand_reply_free(&waiting.reply);
    CloseHandle(stand_in);
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
