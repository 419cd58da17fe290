/* SPDX-License-Identifier: MIT */
/*
 * Histograms: every duration lands in the one bucket whose limits contain it, and percentiles are
 * right to an eighth.
 */
#include "check.h"

#include "core/histogram.h"

#include <math.h>
#include <string.h>

static unsigned bucket_of(uint64_t us)
{
    struct bh_histogram histogram = {0};
    unsigned i = 0;

    bhi_histogram_add(&histogram, us);
    while (i < BH_HISTOGRAM_BUCKETS && histogram.bucket[i] == 0)
        i++;
    return i;
}

TEST(limits_ascend)
{
    for (unsigned i = 1; i < BH_HISTOGRAM_BUCKETS; i++)
        CHECK(bh_histogram_limit(i) > bh_histogram_limit(i - 1));
    CHECK_INT(bh_histogram_limit(0), 0);
    CHECK(bh_histogram_limit(BH_HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
    CHECK(bh_histogram_limit(BH_HISTOGRAM_BUCKETS) == UINT64_MAX);
}

TEST(each_limit_is_the_last_of_its_bucket)
{
    for (unsigned i = 0; i + 1 < BH_HISTOGRAM_BUCKETS; i++) {
        CHECK_INT(bucket_of(bh_histogram_limit(i)), i);
        CHECK_INT(bucket_of(bh_histogram_limit(i) + 1), i + 1);
    }
    CHECK_INT(bucket_of(UINT64_MAX), BH_HISTOGRAM_BUCKETS - 1);
}

TEST(buckets_are_no_wider_than_an_eighth)
{
    CHECK(bh_histogram_limit(BH_HISTOGRAM_BUCKETS - 2) >= UINT64_C(1) << 40);
    for (unsigned i = 8; i + 1 < BH_HISTOGRAM_BUCKETS; i++) {
        uint64_t first = bh_histogram_limit(i - 1) + 1;
        CHECK((bh_histogram_limit(i) - first) * 8 <= first);
    }
}

TEST(an_empty_histogram_has_no_percentiles)
{
    struct bh_histogram histogram = {0};

    CHECK_INT(bh_histogram_percentile(&histogram, 50), 0);
    CHECK_INT(bh_histogram_percentile(NULL, 50), 0);
}

TEST(percentiles_are_right_to_an_eighth_and_never_above_the_maximum)
{
    struct bh_histogram histogram = {0};

    for (uint64_t us = 1; us <= 1000; us++)
        bhi_histogram_add(&histogram, us);
    CHECK_INT(histogram.count, 1000);
    CHECK_INT(histogram.sum_us, 500500);
    CHECK_INT(histogram.max_us, 1000);
    for (int percent = 1; percent <= 100; percent++) {
        uint64_t exact = (uint64_t)percent * 10;
        uint64_t got = bh_histogram_percentile(&histogram, percent);
        CHECK(got >= exact && got <= 1000 && (got - exact) * 8 <= exact);
    }
    CHECK_INT(bh_histogram_percentile(&histogram, 100), 1000);
    CHECK_INT(bh_histogram_percentile(&histogram, 0), 1);
}

TEST(percentages_out_of_range_are_taken_for_the_nearest)
{
    struct bh_histogram histogram = {0};

    bhi_histogram_add(&histogram, 3);
    bhi_histogram_add(&histogram, 700);
    CHECK_INT(bh_histogram_percentile(&histogram, -5), 3);
    CHECK_INT(bh_histogram_percentile(&histogram, (double)NAN), 3);
    CHECK_INT(bh_histogram_percentile(&histogram, 1e9), 700);
    CHECK_INT(bh_histogram_percentile(&histogram, (double)INFINITY), 700);
}

TEST(one_entry_is_every_percentile)
{
    struct bh_histogram histogram = {0};

    bhi_histogram_add(&histogram, 12345);
    CHECK_INT(bh_histogram_percentile(&histogram, 1), 12345);
    CHECK_INT(bh_histogram_percentile(&histogram, 50), 12345);
    CHECK_INT(bh_histogram_percentile(&histogram, 99.9), 12345);
}
