/* SPDX-License-Identifier: MIT */
/*
 * Pool options: every one by its name, its least and its most; the pool's own copy; what an older
 * program passes; error texts that say what is allowed.
 */
#include "check.h"

#include "core/options.h"
#include "platform/fake/fake.h"

#include <stdio.h>
#include <string.h>

static struct bh_pool_options good(void)
{
    struct bh_pool_options options;

    bh_pool_options_init(&options);
    options.worker = "worker";
    return options;
}

static void expect_refusal(const struct bh_pool_options *options, int code, const char *part)
{
    struct bh_pool_options own;
    struct bh_problem problem = {0};

    CHECK_INT(bhi_options_take(&own, options, &problem), code);
    CHECK_INT(problem.code, code);
    CHECK_CONTAINS(problem.text, part);
}

static void expect_range(const struct bh_option_info *info, const char *text)
{
    struct bh_pool_options options = good();
    struct bh_problem problem = {0};
    char allowed[80];

    CHECK_INT(bh_pool_options_set(&options, info->name, text, &problem), BH_E_RANGE);
    snprintf(allowed, sizeof(allowed), "%s is %s; allowed are %llu to %llu", info->name, text,
             (unsigned long long)info->minimum, (unsigned long long)info->maximum);
    CHECK_STR(problem.text, allowed);
}

static void number_text(char text[32], uint64_t number)
{
    snprintf(text, 32, "%llu", (unsigned long long)number);
}

TEST(every_option_takes_its_least_and_its_most_by_name_and_no_more)
{
    const struct bh_option_info *info;
    size_t count = 0;

    for (size_t i = 0; (info = bh_pool_option_info(i)); i++, count++) {
        struct bh_pool_options options = good();
        struct bh_problem problem = {0};
        char text[32];
        CHECK(info->help[0] && info->minimum <= info->initial && info->initial <= info->maximum);
        number_text(text, info->minimum);
        CHECK_INT(bh_pool_options_set(&options, info->name, text, &problem), BH_OK);
        number_text(text, info->maximum);
        CHECK_INT(bh_pool_options_set(&options, info->name, text, &problem), BH_OK);
        number_text(text, info->maximum + 1);
        expect_range(info, text);
        if (info->minimum == 0)
            continue;
        number_text(text, info->minimum - 1);
        expect_range(info, text);
    }
#define ONE(...) +1
    CHECK_INT(count, 0 BH_POOL_OPTION_LIST(ONE));
}

/* Set by name and compared with the field of the same line of the list. */
TEST(a_name_sets_its_own_field_and_in_its_own_unit)
{
#define LINE(field, type, initial, least, most, name, factor, text)                                \
    do {                                                                                           \
        struct bh_pool_options options = good(), expected = good();                                \
        char number[32];                                                                           \
        number_text(number, (uint64_t)(most) / (factor));                                          \
        CHECK_INT(bh_pool_options_set(&options, name, number, NULL), BH_OK);                       \
        CHECK(options.field == (most) / (factor) * (factor));                                      \
        expected.field = options.field;                                                            \
        CHECK_BYTES(&options, &expected, sizeof(options));                                         \
    } while (0);
    BH_POOL_OPTION_LIST(LINE)
}

TEST(defaults_are_those_of_the_list)
{
    struct bh_pool_options options, own;

    bhf_set_processors(3);
    options = good();
#define SAME(field, type, initial, ...)                                                            \
    if (strcmp(#field, "max_workers") != 0)                                                        \
        CHECK(options.field == (initial));
    BH_POOL_OPTION_LIST(SAME)
    CHECK_INT(options.max_workers, 3);
    CHECK_INT(options.size, sizeof(options));
    CHECK_INT(bhi_options_take(&own, &options, NULL), BH_OK);
}

TEST(more_processors_than_workers_are_allowed_is_no_error)
{
    struct bh_pool_options options, own;
    struct bh_problem problem = {0};

    bhf_set_processors(4096);
    options = good();
    CHECK_INT(options.max_workers, 1024);
    if (bhi_options_take(&own, &options, &problem))
        FAIL("%s", problem.text);
}

TEST(an_unknown_name_is_named)
{
    struct bh_pool_options options = good();
    struct bh_problem problem = {0};

    CHECK_INT(bh_pool_options_set(&options, "min_workers", "1", &problem), BH_E_NOT_FOUND);
    CHECK_CONTAINS(problem.text, "min_workers");
    CHECK_INT(bh_pool_options_set(&options, "", "1", NULL), BH_E_NOT_FOUND);
}

TEST(text_that_is_no_whole_number_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {
        "", " 1", "1 ", "-1", "+1", "0x1", "1e3", "1.0", "ten", "1ms", "18446744073709551616"};
    struct bh_pool_options options = good(), before = good();

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bh_problem problem = {0};
        CHECK_INT(bh_pool_options_set(&options, "deadline-ms", bad[i], &problem), BH_E_SYNTAX);
        CHECK_CONTAINS(problem.text, "deadline-ms");
        CHECK_CONTAINS(problem.text, "from 0 to 2147483647");
    }
    CHECK_BYTES(&options, &before, sizeof(options));
    CHECK_INT(bh_pool_options_set(&options, "deadline-ms", "0000000000000000000000042", NULL),
              BH_OK);
    CHECK_INT(options.deadline_ms, 42);
}

/* The field itself, without the way over its name. */
TEST(fields_out_of_range_are_found_when_the_pool_opens)
{
#define BAD(field, type, initial, least, most, name, factor, text)                                 \
    do {                                                                                           \
        struct bh_pool_options options = good();                                                   \
        options.field = (BH_OPTION_TYPE_##type)((most) + UINT64_C(1));                             \
        expect_refusal(&options, BH_E_RANGE, name " is ");                                         \
        if ((least) > 0) {                                                                         \
            options = good();                                                                      \
            options.field = 0;                                                                     \
            expect_refusal(&options, BH_E_RANGE, name " is 0; allowed are ");                      \
        }                                                                                          \
    } while (0);
    BH_POOL_OPTION_LIST(BAD)
}

TEST(what_does_not_fit_together_is_refused_with_both_values)
{
    struct bh_pool_options options = good();

    options.worker = NULL;
    expect_refusal(&options, BH_E_INVALID, "no worker program");
    options.worker = "";
    expect_refusal(&options, BH_E_INVALID, "no worker program");
    options = good();
    options.min_workers = 9;
    options.max_workers = 2;
    expect_refusal(&options, BH_E_INVALID, "min-workers is 9, more than max-workers, which is 2");
    options = good();
    options.backoff_initial_ms = 6000;
    expect_refusal(&options, BH_E_INVALID, "backoff-initial-ms is 6000");
    options = good();
    options.nice = 20;
    expect_refusal(&options, BH_E_RANGE, "nice is 20; allowed are -20 to 19");
    options.nice = -21;
    expect_refusal(&options, BH_E_RANGE, "nice is -21");
}

TEST(a_pool_that_could_never_serve_is_refused)
{
    struct bh_pool_options options = good(), own;

    options.queue_length = 0;
    options.min_workers = 0;
    expect_refusal(&options, BH_E_INVALID, "queue-length is 0");
    options.standby_workers = 1;
    CHECK_INT(bhi_options_take(&own, &options, NULL), BH_OK);
}

TEST(an_older_and_smaller_struct_keeps_the_defaults_of_the_rest)
{
    struct bh_pool_options options = good(), own;

    options.max_reply_bytes = 1 << 20;
    options.deadline_ms = 77;
    options.size = offsetof(struct bh_pool_options, max_reply_bytes);
    CHECK_INT(bhi_options_take(&own, &options, NULL), BH_OK);
    CHECK_INT(own.deadline_ms, 77);
    CHECK_INT(own.max_reply_bytes, good().max_reply_bytes);
    CHECK_INT(own.size, sizeof(own));
}

TEST(a_newer_and_larger_struct_is_read_as_far_as_it_is_known)
{
    struct {
        struct bh_pool_options options;
        char more[64];
    } newer = {good(), {1}};
    struct bh_pool_options own;

    newer.options.size = sizeof(newer);
    CHECK_INT(bhi_options_take(&own, &newer.options, NULL), BH_OK);
    CHECK_INT(own.size, sizeof(own));
}

TEST(options_that_were_never_initialised_are_refused)
{
    struct bh_pool_options options, own;

    memset(&options, 0, sizeof(options));
    expect_refusal(&options, BH_E_INVALID, "bh_pool_options_init");
    CHECK_INT(bhi_options_take(&own, NULL, NULL), BH_E_INVALID);
}
