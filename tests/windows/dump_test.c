/* SPDX-License-Identifier: MIT */
/* timeout: 180 */
/*
 * Minidumps of workers that die.
 */
#include "rig.h"

#include <dbghelp.h>
#include <stdlib.h>

static char directory[MAX_PATH];

static struct bh_pool_options dumping_options(void)
{
    struct bh_pool_options options = rig_options(1);

    options.dump_timeout_ms = 100000;
    snprintf(directory, sizeof(directory), "%s/dumps-%lu", BH_TEST_DIR, GetCurrentProcessId());
    CHECK(CreateDirectoryA(directory, NULL));
    options.dump_directory = directory;
    return options;
}

/* The whole file; NULL when there is none. */
static unsigned char *read_dump(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = calloc(1, 16 << 20);

    CHECK(bytes != NULL);
    if (file == NULL)
        FAIL("no dump at \"%s\"", path);
    *size = fread(bytes, 1, 16 << 20, file);
    fclose(file);
    return bytes;
}

static const MINIDUMP_DIRECTORY *find_stream(const unsigned char *bytes, size_t size, ULONG32 type)
{
    const MINIDUMP_HEADER *header = (const void *)bytes;
    const MINIDUMP_DIRECTORY *streams = (const void *)(bytes + header->StreamDirectoryRva);

    CHECK(size > sizeof(*header));
    CHECK_BYTES(bytes, "MDMP", 4);
    for (ULONG32 i = 0; i < header->NumberOfStreams; i++) {
        CHECK((size_t)((const unsigned char *)&streams[i + 1] - bytes) <= size);
        if (streams[i].StreamType == type)
            return &streams[i];
    }
    return NULL;
}

/* @param code of the exception that is in it; 0: none is */
static void check_dump(const struct bh_death *death, uint32_t code)
{
    size_t size;
    unsigned char *bytes = read_dump(death->dump, &size);
    const MINIDUMP_DIRECTORY *found = find_stream(bytes, size, ExceptionStream);

    CHECK(find_stream(bytes, size, ThreadListStream) != NULL);
    CHECK(find_stream(bytes, size, ModuleListStream) != NULL);
    if (code != 0) {
        CHECK(found != NULL && found->Location.Rva + sizeof(MINIDUMP_EXCEPTION_STREAM) <= size);
        const MINIDUMP_EXCEPTION_STREAM *stream = (const void *)(bytes + found->Location.Rva);
        CHECK_INT(stream->ExceptionRecord.ExceptionCode, code);
        CHECK_INT(stream->ExceptionRecord.ExceptionAddress, death->instruction);
    }
    printf("# %zu bytes\n", size);
    free(bytes);
}

static void check_death_of(bh_pool *pool, const char *kind, enum bh_cause cause, uint32_t code)
{
    struct bh_result result;
    char text[1024];

    rig_call_text(pool, "mishap", kind, &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, cause);
    if (result.death.dump[0] == '\0')
        FAIL("%s: no dump: %s", kind, rig_describe(&result));
    bh_death_describe(&result.death, text, sizeof(text));
    CHECK_CONTAINS(text, result.death.dump);
    check_dump(&result.death, code);
    CHECK(DeleteFileA(result.death.dump));
    bh_result_deinit(&result);
}

/* Wine takes seconds for each: it looks for the symbols of every module. */
TEST_TIMEOUT(a_worker_that_faults_leaves_a_minidump, 120)
{
    struct bh_pool_options options = dumping_options();
    bh_pool *pool = rig_open_ready(&options);

    check_death_of(pool, "violation", BH_CAUSE_FAULT, EXCEPTION_ACCESS_VIOLATION);
    check_death_of(pool, "overflow", BH_CAUSE_FAULT, EXCEPTION_STACK_OVERFLOW);
    check_death_of(pool, "abort", BH_CAUSE_ABORT, 0);
    rig_check_echo(pool);
    bh_pool_close(pool);
    CHECK(RemoveDirectoryA(directory)); /* nothing else is in there */
}

TEST(without_the_option_there_is_none)
{
    struct bh_pool_options options = rig_options(1);
    bh_pool *pool = rig_open_ready(&options);
    struct bh_result result;

    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_STR(result.death.dump, "");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST(a_dump_that_cannot_be_written_costs_nothing_else)
{
    struct bh_pool_options options = dumping_options();
    bh_pool *pool = rig_open_ready(&options);
    struct bh_result result;

    CHECK(RemoveDirectoryA(directory));
    rig_call_text(pool, "mishap", "violation", &result);
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, BH_CAUSE_FAULT);
    CHECK_CONTAINS(result.death.detail, "its dump could not be written");
    CHECK_STR(result.death.dump, "");
    bh_result_deinit(&result);
    bh_pool_close(pool);
}

TEST_TIMEOUT(a_dump_that_hangs_is_ended_with_its_worker, 60)
{
    static const char *const arguments[] = {"--script=dump-hangs", NULL};
    struct bh_pool_options options = dumping_options();
    struct bh_result result;
    char path[1024];

    options.worker = rig_path(path, sizeof(path), "raw_worker");
    options.arguments = arguments;
    options.dump_timeout_ms = 500;
    bh_pool *pool = rig_open_ready(&options);
    int64_t begin = kit_now_ms();
    bh_pool_invoke(pool, "call", NULL, 0, &result);
    printf("# ended after %lld ms\n", (long long)(kit_now_ms() - begin));
    rig_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.cause, BH_CAUSE_FAULT);
    CHECK_INT(result.death.exception, EXCEPTION_ACCESS_VIOLATION);
    CHECK_CONTAINS(result.death.detail, "its dump was not finished in time");
    bh_result_deinit(&result);
    bh_pool_close(pool);
    CHECK(RemoveDirectoryA(directory));
}

TEST(a_directory_that_is_none_is_refused)
{
    struct bh_pool_options options = rig_options(1);
    struct bh_problem problem;
    bh_pool *pool;

    options.dump_directory = "no/such/directory";
    CHECK_INT(bh_pool_open(&pool, &options, &problem), BH_E_SYSTEM);
    CHECK_CONTAINS(problem.text, "dump directory");
    options.dump_directory = options.worker;
    CHECK_INT(bh_pool_open(&pool, &options, &problem), BH_E_INVALID);
    CHECK_CONTAINS(problem.text, "no directory");
}
