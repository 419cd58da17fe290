/* SPDX-License-Identifier: MIT */
/**
 * @file talk.h
 * Requests to talk_workers, which say something before they answer.
 */
#ifndef BH_TESTS_TALK_H
#define BH_TESTS_TALK_H

#include "probe.h"

#define TALK_WORKER BH_TEST_DIR "/talk_worker"

static inline struct bh_pool_options talk_options(uint32_t workers)
{
    struct bh_pool_options options = probe_options(workers);

    options.worker = TALK_WORKER;
    return options;
}

/** Demands an outcome of a result. */
static inline void talk_expect(const struct bh_result *result, enum bh_outcome expected)
{
    char death[300] = "";

    if (result->outcome == expected)
        return;
    if (result->has_death)
        bh_death_describe(&result->death, death, sizeof(death));
    FAIL("%s instead of %s; %s %s", bh_outcome_name(result->outcome), bh_outcome_name(expected),
         result->text ? result->text : "", death);
}

#endif
