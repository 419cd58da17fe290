/* SPDX-License-Identifier: MIT */
/* timeout: 120 */
/*
 * Callbacks: a worker calls functions of the dispatcher's during its request, and those call it.
 */
#include "talk.h"

#include <bulkhead/async.h>
#include <bulkhead/callback.h>
#include <bulkhead/session.h>

#include <stdatomic.h>
#include <stdlib.h>

/* ---- what callbacks do ---- */

#define LARGEST_REPLY 1048576

struct scene {
    bh_pool *pool;
    bh_pool *other;
    bh_pool *third;
    atomic_int called;
    atomic_bool cancelled; /* bh_callback_cancelled() came to hold */
    uint32_t deepest;
    int error; /* of the last nested call */
    int number;
    char text[240];
    uint64_t serial;
};

static void cb_echo(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct scene *scene = context;

    atomic_fetch_add(&scene->called, 1);
    scene->serial = bh_callback_serial(call);
    if (count > 0)
        CHECK_INT(bh_callback_reply(call, &arguments[0]), BH_OK);
}

static void cb_fail(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    (void)arguments, (void)count, (void)context;
    CHECK_INT(bh_callback_fail(call, -77, "no %s today", "bread"), BH_OK);
    CHECK_INT(bh_callback_fail(call, 1, "twice"), BH_E_STATE);
}

/* nested(method, …): calls the method of the worker that waits, and hands its answer back */
static void cb_nested(bh_callback_call *call, const bh_value *arguments, size_t count,
                      void *context)
{
    struct scene *scene = context;
    struct bh_problem problem = {0};
    bh_value reply;

    if (bh_callback_depth(call) > scene->deepest)
        scene->deepest = bh_callback_depth(call);
    const char *method = count > 0 ? arguments[0].as.string : "answer_outer";
    scene->error = bh_callback_invoke(call, method, arguments + 1, count > 0 ? count - 1 : 0,
                                      &reply, &problem);
    scene->number = problem.os_error;
    memcpy(scene->text, problem.text, sizeof(problem.text));
    if (scene->error == BH_OK)
        CHECK_INT(bh_callback_reply(call, &reply), BH_OK);
    else
        bh_callback_fail(call, scene->error, "%s", problem.text);
    bh_value_deinit(&reply);
}

/* deeper(): calls "ask" of the worker, which calls this again, until somebody refuses */
static void cb_deeper(bh_callback_call *call, const bh_value *arguments, size_t count,
                      void *context)
{
    struct scene *scene = context;
    bh_value name = bh_value_view("deeper"), reply;
    struct bh_problem problem = {0};

    (void)arguments, (void)count;
    if (bh_callback_depth(call) > scene->deepest)
        scene->deepest = bh_callback_depth(call);
    int error = bh_callback_invoke(call, "ask", &name, 1, &reply, &problem);
    if (error == BH_E_FAILED && problem.os_error == BH_E_DEPTH) {
        scene->error = problem.os_error;
        reply = bh_value_int64(bh_callback_depth(call));
    } else {
        CHECK_INT(error, BH_OK);
    }
    CHECK_INT(bh_callback_reply(call, &reply), BH_OK);
    bh_value_deinit(&reply);
}

static bool is_cancelled(void *call)
{
    return bh_callback_cancelled(call);
}

/* wait(): until nobody waits for it */
static void cb_wait(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct scene *scene = context;

    (void)arguments, (void)count;
    atomic_fetch_add(&scene->called, 1);
    atomic_store(&scene->cancelled, kit_wait_until(is_cancelled, call, 20000));
}

/* sleep(ms) */
static void cb_sleep(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    int64_t ms = 0;

    (void)call, (void)context;
    if (count > 0)
        bh_value_get_int64(&arguments[0], &ms);
    kit_pause_ms(ms);
}

/* Whether the one worker of a pool has ended. */
static bool has_died(void *pool)
{
    struct bh_snapshot snapshot;
    uint64_t deaths = 0;

    CHECK_INT(bh_pool_snapshot(pool, &snapshot), BH_OK);
    for (int i = 0; i < BH_CAUSE_COUNT; i++)
        deaths += snapshot.death[BH_PHASE_REQUEST][i];
    bh_snapshot_deinit(&snapshot);
    return deaths > 0;
}

/* kill(pid): kills the worker, and returns when the pool knows it */
static void cb_kill(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    struct scene *scene = context;
    int64_t pid = 0;

    CHECK(count == 1 && bh_value_get_int64(&arguments[0], &pid) == BH_OK);
    CHECK(kit_pid_kill((int)pid));
    CHECK(kit_wait_until(has_died, scene->pool, 10000));
    CHECK(bh_callback_cancelled(call));
    bh_value reply;
    CHECK_INT(bh_callback_invoke(call, "echo", NULL, 0, &reply, NULL), BH_E_LOST);
    CHECK_INT(bh_callback_reply(call, &arguments[0]), BH_OK);
}

/* own_pool(): everything that would wait for the pool is refused, what does not is not */
static void cb_own_pool(bh_callback_call *call, const bh_value *arguments, size_t count,
                        void *context)
{
    struct scene *scene = context;
    struct bh_request request = BH_REQUEST_INIT;
    struct bh_problem problem = {0};
    struct bh_result result;
    bh_session *session = NULL;
    bh_value methods;

    (void)call, (void)arguments, (void)count;
    request.method = "pid";
    CHECK_INT(bh_pool_call(scene->pool, &request, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_WOULD_DEADLOCK);
    CHECK_CONTAINS(result.text, "must not wait");
    bh_result_deinit(&result);
    CHECK_INT(bh_session_open(&session, scene->pool, NULL, &problem), BH_E_STATE);
    CHECK_CONTAINS(problem.text, "must not wait");
    CHECK_INT(bh_pool_wait_ready(scene->pool, 1, 1000, NULL), BH_E_STATE);
    CHECK_INT(bh_pool_methods(scene->pool, 1000, &methods, NULL), BH_E_STATE);
    CHECK_INT(bh_pool_submit(scene->pool, &request, NULL, NULL), BH_REFUSAL_NONE);
    probe_number(scene->other, "pid");
}

/* other_pool(): a request to the other pool, whose callback wants this one */
static void cb_other_pool(bh_callback_call *call, const bh_value *arguments, size_t count,
                          void *context);

/* room(): whether a nested handler gets a buffer of a third of what a reply may have */
static void cb_room(bh_callback_call *call, const bh_value *arguments, size_t count, void *context)
{
    bh_value third = bh_value_int64(LARGEST_REPLY / 3);
    bh_value reply;

    (void)arguments, (void)count, (void)context;
    CHECK_INT(bh_callback_invoke(call, "room", &third, 1, &reply, NULL), BH_OK);
    reply = bh_value_int64(reply.as.int64 == BH_OK);
    CHECK_INT(bh_callback_reply(call, &reply), BH_OK);
}

static const struct bh_callback callbacks[] = {
    {"room", cb_room, NULL},
    {"echo", cb_echo, NULL},
    {"fail", cb_fail, NULL},
    {"nested", cb_nested, NULL},
    {"deeper", cb_deeper, NULL},
    {"wait", cb_wait, NULL},
    {"sleep", cb_sleep, NULL},
    {"kill", cb_kill, NULL},
    {"own_pool", cb_own_pool, NULL},
    {"other_pool", cb_other_pool, NULL},
    {NULL, NULL, NULL},
};

/* ---- calling ---- */

enum { ARGUMENTS = 4 };

struct asking {
    struct bh_request request;
    bh_value arguments[ARGUMENTS];
};

/* method(texts…) with the callbacks of this file. */
static void asking(struct asking *asking, struct scene *scene, const char *method,
                   const char *first, const char *second, const char *third)
{
    const char *texts[] = {first, second, third};

    asking->request = (struct bh_request)BH_REQUEST_INIT;
    for (size_t i = 0; i < 3 && texts[i]; i++)
        asking->arguments[asking->request.argument_count++] = bh_value_view(texts[i]);
    asking->request.method = method;
    asking->request.arguments = asking->arguments;
    asking->request.callbacks = callbacks;
    asking->request.callback_context = scene;
}

static void ask(struct scene *scene, const char *first, const char *second, const char *third,
                struct bh_result *result)
{
    struct asking question;

    asking(&question, scene, "ask", first, second, third);
    bh_pool_call(scene->pool, &question.request, result);
}

static void check_failed(const struct bh_result *result, int code, const char *text)
{
    talk_expect(result, BH_OUTCOME_FAILED);
    CHECK_INT(result->code, code);
    CHECK_CONTAINS(result->text, text);
}

static void cb_other_pool(bh_callback_call *call, const bh_value *arguments, size_t count,
                          void *context)
{
    struct scene *scene = context;
    struct scene there = {.pool = scene->pool, .other = scene->third};
    struct asking question;
    struct bh_result result;

    (void)call, (void)arguments, (void)count;
    asking(&question, &there, "ask", "own_pool", NULL, NULL);
    bh_pool_call(scene->other, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
}

static uint32_t soon(void)
{
    return 300u * (unsigned)kit_slowdown();
}

/* ---- answers ---- */

TEST(a_callback_gets_arguments_and_its_answer_arrives)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct bh_result result;

    ask(&scene, "echo", "hello", "ignored", &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_STR(result.reply.as.string, "hello");
    CHECK_INT(scene.called, 1);
    CHECK_INT(scene.serial, result.serial);
    bh_result_deinit(&result);
    ask(&scene, "echo", NULL, NULL, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.type, BH_NULL);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

TEST(failures_are_codes_and_the_request_goes_on)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    int64_t pid = probe_number(scene.pool, "pid");
    ask(&scene, "fail", NULL, NULL, &result);
    check_failed(&result, BH_E_FAILED, "BH_E_FAILED/-77: no bread today");
    bh_result_deinit(&result);
    ask(&scene, "nobody", NULL, NULL, &result);
    check_failed(&result, BH_E_NOT_FOUND, "no callback \"nobody\"");
    bh_result_deinit(&result);
    asking(&question, &scene, "ask", "echo", NULL, NULL);
    question.request.callbacks = NULL;
    bh_pool_call(scene.pool, &question.request, &result);
    check_failed(&result, BH_E_NOT_FOUND, "lent no callbacks");
    bh_result_deinit(&result);
    CHECK_INT(probe_number(scene.pool, "pid"), pid);
    bh_pool_close(scene.pool);
}

TEST(a_wrong_table_is_refused)
{
    static const struct bh_callback wrong[] = {{"x", NULL, NULL}, {NULL, NULL, NULL}};
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    asking(&question, &scene, "ask", "x", NULL, NULL);
    question.request.callbacks = wrong;
    CHECK_INT(bh_pool_call(scene.pool, &question.request, &result), BH_OUTCOME_REFUSED);
    CHECK_INT(result.refusal, BH_REFUSAL_INVALID);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

TEST(a_handler_asks_only_on_its_thread_and_before_its_answer)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    asking(&question, &scene, "wrongs", NULL, NULL, NULL);
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.length, 2);
    CHECK_INT(result.reply.as.items[0].as.int64, BH_E_STATE);
    CHECK_INT(result.reply.as.items[1].as.int64, BH_E_STATE);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

TEST(many_callbacks_in_one_request)
{
    enum { MANY = KIT_WINDOWS ? 300 : 5000 };
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    asking(&question, &scene, "ask_many", "echo", NULL, NULL);
    question.arguments[question.request.argument_count++] = bh_value_int64(MANY);
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.as.int64, (int64_t)MANY * (MANY - 1) / 2);
    CHECK_INT(scene.called, MANY);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

/* The request's own arguments, which the handler has in place, stay what they are; whatever lies in
 * the lane or beside it. */
TEST(payloads_of_every_size_go_both_ways)
{
    static const size_t sizes[] = {0, 100, 3000, 30000, 60000, 61000, 61400, 200000, 3000000};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    unsigned char *bytes = malloc(3000000);

    for (size_t i = 0; i < 3000000; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    for (size_t i = 0; i < SIZES * SIZES; i++) {
        if (KIT_WINDOWS && (sizes[i / SIZES] == 3000000 || sizes[i % SIZES] == 3000000))
            continue;
        struct asking question;
        struct bh_result result;
        asking(&question, &scene, "keep", NULL, NULL, NULL);
        question.arguments[0] = bh_value_view_bytes(bytes + 1, sizes[i / SIZES] / 2);
        question.arguments[1] = bh_value_view(i % 2 ? "echo" : "nested");
        question.arguments[2] = bh_value_view("echo");
        question.arguments[3] = bh_value_view_bytes(bytes, sizes[i % SIZES]);
        if (i % 2)
            question.arguments[2] = question.arguments[3];
        question.request.argument_count = i % 2 ? 3 : 4;
        bh_pool_call(scene.pool, &question.request, &result);
        talk_expect(&result, BH_OUTCOME_REPLIED);
        CHECK(result.reply.type == BH_BOOL && result.reply.as.boolean);
        bh_result_deinit(&result);
        asking(&question, &scene, "ask", "echo", NULL, NULL);
        question.arguments[1] = bh_value_view_bytes(bytes, sizes[i % SIZES]);
        question.request.argument_count = 2;
        bh_pool_call(scene.pool, &question.request, &result);
        talk_expect(&result, BH_OUTCOME_REPLIED);
        CHECK(bh_value_equal(&result.reply, &question.arguments[1]));
        bh_result_deinit(&result);
    }
    free(bytes);
    bh_pool_close(scene.pool);
}

TEST(what_is_too_large_is_an_error_code_on_either_side)
{
    struct bh_pool_options options = talk_options(1);
    options.max_reply_bytes = 1 << 20;
    struct scene scene = {.pool = probe_open(&options)};
    unsigned char *bytes = calloc(1, 2 << 20);
    struct asking question;
    struct bh_result result;

    asking(&question, &scene, "ask", "echo", NULL, NULL);
    question.arguments[1] = bh_value_view_bytes(bytes, 2 << 20);
    question.request.argument_count = 2;
    bh_pool_call(scene.pool, &question.request, &result);
    check_failed(&result, BH_E_TOO_LARGE, "BH_E_TOO_LARGE");
    bh_result_deinit(&result);
    free(bytes);
    bh_pool_close(scene.pool);
}

/* ---- nested calls ---- */

TEST(a_callback_calls_the_worker_that_waits_for_it)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct bh_result result;

    ask(&scene, "nested", "echo", "ping", &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_STR(result.reply.as.string, "ping");
    bh_result_deinit(&result);
    ask(&scene, "nested", "nobody", NULL, &result);
    CHECK_INT(scene.error, BH_E_NOT_FOUND);
    bh_result_deinit(&result);
    ask(&scene, "nested", "refuse", NULL, &result);
    CHECK_INT(scene.error, BH_E_FAILED);
    CHECK_STR(scene.text, "as it was told");
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

TEST(the_buffers_of_nested_handlers_go_with_them)
{
    struct bh_pool_options options = talk_options(1);
    struct asking question;
    struct bh_result result;

    options.max_reply_bytes = LARGEST_REPLY;
    struct scene scene = {.pool = probe_open(&options)};
    asking(&question, &scene, "ask_many", "room", NULL, NULL);
    question.arguments[1] = bh_value_int64(20);
    question.request.argument_count = 2;
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.as.int64, 20);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

static void check_depth(uint32_t depth)
{
    struct bh_pool_options options = talk_options(1);
    options.max_callback_depth = depth;
    struct scene scene = {.pool = probe_open(&options)};
    struct bh_result result;

    ask(&scene, "deeper", NULL, NULL, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_INT(result.reply.as.int64, depth); /* of the one that was refused to go deeper */
    CHECK_INT(scene.deepest, depth);
    CHECK_INT(scene.error, BH_E_DEPTH);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

TEST(callbacks_nest_to_the_limit_and_no_further)
{
    struct bh_pool_options defaults;

    bh_pool_options_init(&defaults);
    check_depth(1);
    check_depth(3);
    check_depth(defaults.max_callback_depth);
}

/* ---- what goes wrong ---- */

TEST(a_worker_that_dies_in_a_nested_call_dies_once)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct bh_snapshot snapshot;
    struct bh_result result;

    ask(&scene, "nested", "die", NULL, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result.death.serial, result.serial);
    CHECK_INT(result.attempts, 1);
    CHECK_INT(scene.error, BH_E_LOST);
    bh_result_deinit(&result);
    CHECK_INT(bh_pool_snapshot(scene.pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.outcome[BH_OUTCOME_DIED], 1);
    CHECK_INT(snapshot.submitted, 1);
    bh_snapshot_deinit(&snapshot);
    probe_number(scene.pool, "pid");
    bh_pool_close(scene.pool);
}

TEST(a_worker_that_dies_while_its_callback_runs_dies_once)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct bh_result result;
    struct asking question;

    int64_t pid = probe_number(scene.pool, "pid");
    asking(&question, &scene, "ask", "kill", NULL, NULL);
    question.arguments[question.request.argument_count++] = bh_value_int64(pid);
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DIED);
    CHECK_INT(result.death.phase, BH_PHASE_REQUEST);
    CHECK_INT(result.death.serial, result.serial);
    bh_result_deinit(&result);
    CHECK(probe_number(scene.pool, "pid") != pid);
    bh_pool_close(scene.pool);
}

TEST(the_deadline_ends_a_request_whose_callback_hangs)
{
    struct bh_pool_options options = talk_options(2);
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    CHECK_INT(bh_pool_wait_ready(scene.pool, 2, options.start_timeout_ms, NULL), BH_OK);
    asking(&question, &scene, "stubborn", "wait", NULL, NULL);
    question.request.deadline_ms = soon();
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(scene.cancelled);
    CHECK_INT(scene.called, 1);
    CHECK(result.has_death);
    CHECK_INT(result.death.cause, BH_CAUSE_DEADLINE);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

TEST(a_handler_that_gives_up_after_its_callback_keeps_its_worker)
{
    struct bh_pool_options options = talk_options(1);
    options.grace_ms = options.start_timeout_ms;
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    int64_t pid = probe_number(scene.pool, "pid");
    asking(&question, &scene, "ask", "wait", NULL, NULL);
    question.request.deadline_ms = soon();
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(!result.has_death);
    CHECK_INT(result.delivery, BH_DELIVERY_COMMITTED);
    bh_result_deinit(&result);
    CHECK_INT(probe_number(scene.pool, "pid"), pid);
    bh_pool_close(scene.pool);
}

TEST(endless_callbacks_end_by_deadline)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    asking(&question, &scene, "stubborn", "echo", NULL, NULL);
    question.request.deadline_ms = soon();
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK(result.has_death);
    bh_result_deinit(&result);
    /* One that looks at what it is told gives up by itself. */
    options.grace_ms = options.start_timeout_ms;
    bh_pool_close(scene.pool);
    scene.pool = probe_open(&options);
    int64_t pid = probe_number(scene.pool, "pid");
    asking(&question, &scene, "ask_many", "echo", NULL, NULL);
    question.request.deadline_ms = soon();
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    bh_result_deinit(&result);
    CHECK_INT(probe_number(scene.pool, "pid"), pid);
    bh_pool_close(scene.pool);
}

TEST(the_deadline_ends_a_nested_call_too)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    asking(&question, &scene, "ask", "nested", "hang", NULL);
    question.request.deadline_ms = soon();
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK_INT(scene.error, BH_E_CANCELLED);
    CHECK(result.has_death);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

TEST(a_callback_that_waits_for_its_own_pool_is_refused_at_once)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {.pool = probe_open(&options), .other = probe_open(&options)};
    struct bh_completion completion;
    struct bh_snapshot snapshot;
    struct bh_result result;

    ask(&scene, "own_pool", NULL, NULL, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    CHECK_INT(bh_pool_take(scene.pool, &completion, 1, options.start_timeout_ms), 1);
    talk_expect(&completion.result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&completion.result);
    CHECK_INT(bh_pool_snapshot(scene.pool, &snapshot), BH_OK);
    CHECK_INT(snapshot.refusal[BH_REFUSAL_WOULD_DEADLOCK], 1);
    CHECK_INT(snapshot.submitted, 3);
    bh_snapshot_deinit(&snapshot);
    bh_pool_close(scene.other);
    bh_pool_close(scene.pool);
}

/* The pool's callback calls another pool, whose callback would wait for the first. */
TEST(also_when_another_pool_lies_between)
{
    struct bh_pool_options options = talk_options(1);
    struct scene scene = {
        .pool = probe_open(&options), .other = probe_open(&options), .third = probe_open(&options)};
    struct bh_completion completion;
    struct bh_result result;

    ask(&scene, "other_pool", NULL, NULL, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    CHECK_INT(bh_pool_take(scene.pool, &completion, 1, options.start_timeout_ms), 1);
    bh_result_deinit(&completion.result);
    bh_pool_close(scene.third);
    bh_pool_close(scene.other);
    bh_pool_close(scene.pool);
}

TEST(time_in_a_callback_is_no_silence_of_the_workers)
{
    struct bh_pool_options options = talk_options(1);
    options.no_progress_ms = soon();
    struct scene scene = {.pool = probe_open(&options)};
    struct asking question;
    struct bh_result result;

    asking(&question, &scene, "ask", "sleep", NULL, NULL);
    question.arguments[question.request.argument_count++] = bh_value_int64(3 * soon());
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    bh_result_deinit(&result);
    /* A nested call's is. */
    asking(&question, &scene, "ask", "nested", "hang", NULL);
    bh_pool_call(scene.pool, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    CHECK_INT(result.death.cause, BH_CAUSE_NO_PROGRESS);
    bh_result_deinit(&result);
    bh_pool_close(scene.pool);
}

/* ---- sessions, and requests that nobody waits for ---- */

TEST(sessions_and_submitted_requests_have_callbacks_too)
{
    struct bh_pool_options options = talk_options(2);
    struct scene scene = {.pool = probe_open(&options)};
    struct bh_completion completion;
    struct asking question;
    struct bh_result result;
    bh_session *session;

    asking(&question, &scene, "ask", "nested", "echo", "far");
    CHECK_INT(bh_pool_submit(scene.pool, &question.request, NULL, NULL), BH_REFUSAL_NONE);
    CHECK_INT(bh_pool_take(scene.pool, &completion, 1, options.start_timeout_ms), 1);
    talk_expect(&completion.result, BH_OUTCOME_REPLIED);
    CHECK_STR(completion.result.reply.as.string, "far");
    bh_result_deinit(&completion.result);
    CHECK_INT(bh_session_open(&session, scene.pool, NULL, NULL), BH_OK);
    bh_session_call(session, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_REPLIED);
    CHECK_STR(result.reply.as.string, "far");
    bh_result_deinit(&result);
    asking(&question, &scene, "ask", "wait", NULL, NULL);
    question.request.deadline_ms = soon();
    bh_session_call(session, &question.request, &result);
    talk_expect(&result, BH_OUTCOME_DEADLINE);
    bh_result_deinit(&result);
    bh_session_close(session);
    bh_pool_close(scene.pool);
}
