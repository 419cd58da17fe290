/* SPDX-License-Identifier: MIT */
/*
 * Pools of workers that are this program, and their results in words.
 */
#include "selftest.h"

#include <stdio.h>

const char *pool_own_path(void)
{
    static char path[MAX_PATH];

    if (path[0] == '\0')
        GetModuleFileNameA(NULL, path, sizeof path);
    return path;
}

struct bh_pool_options pool_options(uint32_t workers, const char *argument)
{
    static const char *arguments[3];
    struct bh_pool_options options;

    arguments[0] = WORKER_MARK;
    arguments[1] = argument;
    bh_pool_options_init(&options);
    options.name = "selftest";
    options.worker = pool_own_path();
    options.arguments = arguments;
    options.min_workers = options.max_workers = workers;
    options.start_timeout_ms = POOL_READY_MS;
    options.backoff_initial_ms = 1;
    options.backoff_max_ms = 10;
    return options;
}

bh_pool *pool_open(const struct bh_pool_options *options, const char *name)
{
    struct bh_problem problem = {0};
    bh_pool *pool = NULL;

    if (bh_pool_open(&pool, options, &problem) != BH_OK)
        report_check(false, name, "the pool cannot be opened: %s", problem.text);
    return pool;
}

enum bh_outcome pool_call_text(bh_pool *pool, const char *method, const char *text,
                               struct bh_result *result)
{
    bh_value argument = bh_value_view(text != NULL ? text : "");

    return bh_pool_invoke(pool, method, &argument, text != NULL, result);
}

const char *pool_describe(const struct bh_result *result, char *text, size_t size)
{
    char death[500] = "";

    if (result->has_death)
        bh_death_describe(&result->death, death, sizeof death);
    snprintf(text, size, "%s, %s%s%s%s%s", bh_outcome_name(result->outcome),
             bh_delivery_name(result->delivery), result->text != NULL ? ": " : "",
             result->text != NULL ? result->text : "", result->has_death ? "; " : "", death);
    return text;
}

/* The first lines say most. */
void pool_show_output(const struct bh_death *death)
{
    char line[200];
    size_t length = 0;

    for (size_t i = 0; i < death->output_length && i < 600; i++) {
        char c = death->output[i];
        if (c == '\n' || length == sizeof line - 1) {
            report_note("it wrote: %.*s", (int)length, line);
            length = 0;
        }
        if (c >= ' ')
            line[length++] = c;
    }
    if (length > 0)
        report_note("it wrote: %.*s", (int)length, line);
}

bool pool_run(void)
{
    struct bh_pool_options options = pool_options(1, NULL);
    struct bh_result result;
    char text[700];

    report_part("A worker");
    options.crash_loop_limit = 2;
    bh_pool *pool = pool_open(&options, "a worker starts");
    if (pool == NULL)
        return false;
    bool good = bh_pool_invoke(pool, "pid", NULL, 0, &result) == BH_OUTCOME_REPLIED;
    report_check(good, "a worker starts and answers", "%s",
                 pool_describe(&result, text, sizeof text));
    if (result.has_death)
        pool_show_output(&result.death);
    bh_result_deinit(&result);
    bh_pool_close(pool);
    return good;
}
