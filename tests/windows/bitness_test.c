/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Workers of 32 bits under this dispatcher of 64. BH_WORKER32 names the directory in which they
 * are; skipped without it, and where the system runs no programs of 32 bits.
 */
#include "rig.h"
#include "variant_tools.h"

#include <stdlib.h>

#define IS_32_BITS(address) ((address) != 0 && (address) >> 32 == 0)

static void name_worker(struct bh_pool_options *options, const char *name)
{
    static char path[1024];
    const char *directory = getenv("BH_WORKER32");

    if (sizeof(void *) != 8)
        SKIP("this dispatcher has 32 bits itself");
    if (directory == NULL)
        SKIP("no workers of 32 bits: BH_WORKER32 is not set");
    snprintf(path, sizeof(path), "%s/%s.exe", directory, name);
    if (GetFileAttributesA(path) == INVALID_FILE_ATTRIBUTES)
        SKIP("no worker of 32 bits at %s", path);
    options->worker = path;
}

/* What a worker ends with when no dispatcher has started it. */
#define STARTED_BY_HAND 2

/* A system of 64 bits alone may start such a program all the same, and end it with code 0. */
static void skip_if_not_run(const char *program)
{
    STARTUPINFOA startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION made;
    char command[1200];

    snprintf(command, sizeof(command), "\"%s\"", program);
    if (!CreateProcessA(NULL, command, NULL, NULL, FALSE, CREATE_NO_WINDOW, NULL, NULL, &startup,
                        &made))
        SKIP("this system runs no programs of 32 bits: error %lu", GetLastError());
    DWORD code = 1;
    CHECK_INT(WaitForSingleObject(made.hProcess, RIG_READY_MS), WAIT_OBJECT_0);
    GetExitCodeProcess(made.hProcess, &code);
    CloseHandle(made.hProcess);
    CloseHandle(made.hThread);
    if (code != STARTED_BY_HAND)
        SKIP("this system runs no programs of 32 bits: %s ends with code %lx", program, code);
}

static bh_pool *open_pool(const char *name)
{
    struct bh_pool_options options = rig_options(1);

    name_worker(&options, name);
    skip_if_not_run(options.worker);
    return rig_open_ready(&options);
}

static void check_echo(bh_pool *pool, const bh_value *value)
{
    struct bh_result result;

    bh_pool_invoke(pool, "echo", value, 1, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    CHECK(bh_value_equal(&result.reply, value));
    bh_result_deinit(&result);
}

TEST(every_type_comes_back_as_it_went)
{
    bh_pool *pool = open_pool("mishap_worker");
    bh_value all = every_type();

    check_echo(pool, &all);
    bh_value_deinit(&all);
    bh_pool_close(pool);
}

TEST(large_payloads_come_back_as_they_went)
{
    static const size_t sizes[] = {BHW_BLOB_BYTES, 1 << 20, 5 << 20, 70 << 20, 1 << 20};
    bh_pool *pool = open_pool("mishap_worker");
    unsigned char *bytes = malloc(70 << 20);

    CHECK(bytes != NULL);
    for (size_t i = 0; i < 70 << 20; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 4096);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        bh_value value = bh_value_view_bytes(bytes, sizes[i]);
        check_echo(pool, &value);
        check_echo(pool, &value);
    }
    free(bytes);
    bh_pool_close(pool);
}

static uint64_t register_named(const struct bh_death *death, const char *name)
{
    for (uint32_t i = 0; i < death->register_count; i++) {
        const char *known = bh_register_name(death->first_register + i);
        if (known != NULL && strcmp(known, name) == 0)
            return death->registers[i];
    }
    FAIL("no register %s among %u", name, death->register_count);
}

TEST(a_fault_is_told_with_its_own_registers)
{
    bh_pool *pool = open_pool("mishap_worker");
    struct bh_result result;
    bh_value map;

    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, BH_CAUSE_FAULT);
    CHECK_INT(result.death.exception, EXCEPTION_ACCESS_VIOLATION);
    CHECK_INT(result.death.address, 8);
    CHECK(IS_32_BITS(result.death.instruction) && IS_32_BITS(result.death.stack_pointer));
    CHECK_INT(result.death.register_count, 10);
    CHECK_INT(register_named(&result.death, "eip"), result.death.instruction);
    CHECK_INT(register_named(&result.death, "esp"), result.death.stack_pointer);
    CHECK_CONTAINS(result.death.detail, "mishap_worker.exe+0x");
    CHECK_INT(bh_death_to_value(&result.death, &map), BH_OK);
    CHECK(bh_map_get(bh_map_get(&map, "registers"), "eax") != NULL);
    bh_value_deinit(&map);
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

static const struct {
    const char *kind;
    enum bh_cause cause;
    uint32_t exception;
} ends[] = {
    {"overflow", BH_CAUSE_FAULT, EXCEPTION_STACK_OVERFLOW},
    {"thread", BH_CAUSE_FAULT, EXCEPTION_ACCESS_VIOLATION},
    {"raise", BH_CAUSE_FAULT, 0xE0001234},
    {"abort", BH_CAUSE_ABORT, 0},
    {"exit", BH_CAUSE_EXIT, 0},
    {"fail-fast", BH_CAUSE_FAULT, 0xC0000409},
};

TEST_TIMEOUT(every_kind_of_end_is_told, 60)
{
    bh_pool *pool = open_pool("mishap_worker");

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct bh_result result;
        int64_t begin = kit_now_ms();
        rig_call_text(pool, "mishap", ends[i].kind, &result);
        rig_expect(&result, BH_OUTCOME_DIED);
        if (result.death.cause != ends[i].cause || result.death.exception != ends[i].exception ||
            result.death.stack_overflow != (ends[i].exception == EXCEPTION_STACK_OVERFLOW))
            FAIL("%s: %s", ends[i].kind, rig_describe(&result));
        printf("# %s: known after %lld ms\n", ends[i].kind, (long long)(kit_now_ms() - begin));
        bh_result_deinit(&result);
        rig_check_echo(pool);
    }
    bh_pool_close(pool);
}

static void check_number(bh_pool *pool, const char *method, int64_t number)
{
    struct bh_result result;
    int64_t got = -1;

    bh_pool_invoke(pool, method, NULL, 0, &result);
    rig_expect(&result, BH_OUTCOME_REPLIED);
    bh_value_get_int64(&result.reply, &got);
    CHECK_INT(got, number);
    bh_result_deinit(&result);
}

/* Handlers further in than our frame: the chain of records on the stack is in order. */
TEST(faults_that_a_library_handles_kill_nobody)
{
    bh_pool *pool = open_pool("probe_worker");

    check_number(pool, "bad-read-pointer", 1);
    check_number(pool, "debug-string", 0);
    check_number(pool, "handled-first", 1);
    check_number(pool, "bad-read-pointer", 1);
    bh_pool_close(pool);
}

TEST(a_worker_that_hangs_is_killed_at_the_deadline)
{
    bh_pool *pool = open_pool("mishap_worker");
    bh_value kind = bh_value_view("hang");
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_result result;

    request.method = "mishap";
    request.arguments = &kind;
    request.argument_count = 1;
    request.deadline_ms = 300;
    bh_pool_call(pool, &request, &result);
    rig_expect(&result, BH_OUTCOME_DEADLINE);
    bh_result_deinit(&result);
    rig_check_echo(pool);
    bh_pool_close(pool);
}
