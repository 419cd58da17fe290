/* SPDX-License-Identifier: MIT */
#include <bulkhead/bulkhead.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = argc > 1 ? argv[1] : "./hello-worker";
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        return fprintf(stderr, "%s\n", problem.text), 1;

    for (int divisor = 2; divisor >= -1; divisor--) {
        bh_value arguments[] = {bh_value_int64(42), bh_value_int64(divisor)};
        struct bh_result result;
        char *json, text[512];

        bh_call(pool, "divide", arguments, 2, &result);
        if (result.outcome == BH_OUTCOME_REPLIED && !bh_json_write(&result.reply, 0, &json, NULL))
            printf("42 / %d = %s\n", divisor, json), bh_free(json);
        else if (result.has_death)
            printf("42 / %d: %s\n", divisor, bh_death_describe(&result.death, text, sizeof text));
        bh_result_deinit(&result);
    }
    bh_pool_close(pool);
}
