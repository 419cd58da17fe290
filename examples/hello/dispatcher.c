/* SPDX-License-Identifier: MIT */
#include <bulkhead/bulkhead.h>
#include <stdio.h>

int main(void)
{
    struct bh_pool_options options;
    struct bh_problem problem;
    bh_pool *pool;

    bh_pool_options_init(&options);
    options.worker = "./hello-worker";
    if (bh_pool_open(&pool, &options, &problem) != BH_OK)
        return fprintf(stderr, "%s\n", problem.text), 1;

    for (int divisor = 2; divisor >= -1; divisor--) {
        bh_value arguments[] = {bh_value_int64(42), bh_value_int64(divisor)};
        struct bh_result result;
        char text[512];

        if (bh_pool_invoke(pool, "divide", arguments, 2, &result) == BH_OUTCOME_REPLIED)
            printf("42 / %d = %lld\n", divisor, (long long)result.reply.as.int64);
        else
            printf("42 / %d: %s\n", divisor,
                   result.has_death ? bh_death_describe(&result.death, text, 512) : result.text);
        bh_result_deinit(&result);
    }
    bh_pool_close(pool);
}
