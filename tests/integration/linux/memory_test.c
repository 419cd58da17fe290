/* SPDX-License-Identifier: MIT */
/*
 * What large data cost in memory: the worker and this process together, each page that they share
 * counted once. That is the proportional set size (Pss), when both have it mapped and nobody else;
 * the resident set sizes would count the one shared copy twice. Samples are taken where memory is
 * at its highest: by the handler, when it has read or written everything, and by the caller when
 * the reply has been read.
 *
 * timeout: 120
 * not-under: tsan
 */
#include "../large.h"
#include "memory.h"

#include <bulkhead/session.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MIB ((int64_t)1024 * 1024)
#define BLOB (64 * MIB)
/* What may be left, or come beside: heaps, page tables, stacks. */
#define SLACK (4 * MIB)

struct scene {
    bh_pool *pool;
    bh_session *session;
    int pid;
    int64_t before;
    int64_t peak; /* above that */
};

static int64_t total(const struct scene *scene)
{
    return memory_pss(kit_own_pid()) + memory_pss(scene->pid);
}

static void sample(struct scene *scene)
{
    int64_t now = total(scene) - scene->before;

    if (now > scene->peak)
        scene->peak = now;
}

static enum bh_outcome call(struct scene *scene, const char *method, const bh_value *arguments,
                            size_t count, bool borrow, struct bh_result *result)
{
    struct bh_request request = BH_REQUEST_INIT;

    request.method = method;
    request.arguments = arguments;
    request.argument_count = count;
    request.borrow = borrow;
    return bh_session_call(scene->session, &request, result);
}

static int64_t number(struct scene *scene, const char *method, const bh_value *arguments,
                      size_t count)
{
    struct bh_result result;
    int64_t n = -1;

    CHECK_INT(call(scene, method, arguments, count, false, &result), BH_OUTCOME_REPLIED);
    CHECK_INT(bh_value_get_int64(&result.reply, &n), BH_OK);
    bh_result_deinit(&result);
    return n;
}

static void open_scene(struct scene *scene)
{
    struct bh_session_options session = BH_SESSION_INIT;
    struct bh_pool_options options;
    struct bh_problem problem = {0};

    *scene = (struct scene){0};
    bh_pool_options_init(&options);
    options.worker = BH_TEST_DIR "/memory_worker";
    options.min_workers = options.max_workers = 1;
    options.start_timeout_ms = 10000u * (unsigned)kit_slowdown();
    session.take_last = true;
    if (bh_pool_open(&scene->pool, &options, &problem) ||
        bh_session_open(&scene->session, scene->pool, &session, &problem))
        FAIL("%s", problem.text);
    scene->pid = (int)number(scene, "pid", NULL, 0);
    scene->before = total(scene);
}

static bool is_back(void *context)
{
    const struct scene *scene = context;

    return total(scene) < scene->before + SLACK;
}

/* Nothing is called meanwhile: it goes by itself. */
static void close_scene(struct scene *scene, double most)
{
    sample(scene);
    int64_t seen = number(scene, "seen", NULL, 0) - scene->before;
    if (seen > scene->peak)
        scene->peak = seen;
    if (scene->peak > (int64_t)(most * (double)BLOB))
        FAIL("it took %.2f times the blob, and %.2f are allowed",
             (double)scene->peak / (double)BLOB, most);
    if (scene->peak < BLOB * 9 / 10)
        FAIL("the samples missed the blob: %lld bytes", (long long)scene->peak);
    if (!kit_wait_until(is_back, scene, LARGE_DEADLINE_MS))
        FAIL("%lld KiB are left", (long long)(total(scene) - scene->before) / 1024);
    bh_session_close(scene->session);
    bh_pool_close(scene->pool);
}

static void *heap_blob(void)
{
    void *at = mmap(NULL, (size_t)BLOB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    memset(at, 1, (size_t)BLOB);
    return at;
}

static void request_of(struct scene *scene, const void *at)
{
    const bh_value arguments[] = {bh_value_view_bytes(at, (size_t)BLOB),
                                  bh_value_int64(kit_own_pid())};

    CHECK_INT(number(scene, "read", arguments, 2), BLOB);
    sample(scene);
}

TEST(a_request_in_a_buffer_is_there_once)
{
    struct scene scene;
    void *at;

    open_scene(&scene);
    CHECK_INT(bh_session_buffer(scene.session, (size_t)BLOB, &at), BH_OK);
    memset(at, 1, (size_t)BLOB);
    request_of(&scene, at);
    CHECK_INT(bh_session_buffer(scene.session, 0, &at), BH_OK);
    close_scene(&scene, 1.25);
}

TEST(a_copied_request_is_there_twice)
{
    struct scene scene;

    open_scene(&scene);
    void *at = heap_blob();
    request_of(&scene, at);
    munmap(at, (size_t)BLOB);
    close_scene(&scene, 2.25);
}

/* The worker has one for the large request beside it then. */
TEST(a_kept_segment_goes_when_one_comes_that_is_too_large_to_keep)
{
    struct scene scene;

    open_scene(&scene);
    void *at = heap_blob();
    const bh_value arguments[] = {bh_value_view_bytes(at, (size_t)BLOB / 2),
                                  bh_value_int64(kit_own_pid())};
    CHECK_INT(number(&scene, "read", arguments, 2), BLOB / 2);
    request_of(&scene, at);
    munmap(at, (size_t)BLOB);
    close_scene(&scene, 2.25);
}

static void reply_of(struct scene *scene, const char *method, bool borrow)
{
    const bh_value arguments[] = {bh_value_int64(BLOB), bh_value_int64(kit_own_pid())};
    struct bh_result result;

    if (!borrow && kit_slowdown() > 1)
        SKIP("a sanitizer keeps what is freed");
    for (int round = 0; round < 2; round++) {
        CHECK_INT(call(scene, method, arguments, 2, borrow, &result), BH_OUTCOME_REPLIED);
        CHECK_INT(result.borrowed, borrow);
        CHECK_INT(result.reply.length, BLOB);
        CHECK_INT(large_sum(result.reply.as.bytes, (size_t)BLOB), BLOB);
        sample(scene);
        bh_result_deinit(&result);
    }
}

TEST(a_borrowed_reply_in_a_buffer_is_there_once)
{
    struct scene scene;

    open_scene(&scene);
    reply_of(&scene, "make", true);
    close_scene(&scene, 1.25);
}

TEST(a_reply_that_is_copied_is_there_twice)
{
    struct scene scene;

    open_scene(&scene);
    reply_of(&scene, "make", false);
    close_scene(&scene, 2.25);
}

TEST(a_reply_that_is_copied_on_both_sides_is_there_twice)
{
    struct scene scene;

    open_scene(&scene);
    reply_of(&scene, "copied", false);
    close_scene(&scene, 2.25);
}
