/* SPDX-License-Identifier: MIT */
/*
 * Histograms of durations: log-linear, eight buckets for each power of two, so that every duration
 * is known to 1/8 from microseconds to days in one fixed table.
 *
 * Model: durations 0 … 7 have a bucket each; above, bucket 8 × e + m counts the durations whose
 * highest bit is e + 2 and whose three bits below it are m. The last bucket also counts what is
 * larger.
 */
#include "histogram.h"

static unsigned bucket_of(uint64_t us)
{
    unsigned exponent = 0;

    if (us < 8)
        return (unsigned)us;
    while (us >= 16) {
        us >>= 1;
        exponent++;
    }
    unsigned bucket = 8 * (exponent + 1) + (unsigned)(us - 8);
    return bucket < BH_HISTOGRAM_BUCKETS ? bucket : BH_HISTOGRAM_BUCKETS - 1;
}

void bhi_histogram_add(struct bh_histogram *histogram, uint64_t us)
{
    histogram->count++;
    histogram->sum_us += us;
    if (us > histogram->max_us)
        histogram->max_us = us;
    histogram->bucket[bucket_of(us)]++;
}

uint64_t bh_histogram_limit(unsigned i)
{
    if (i >= BH_HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    if (i < 8)
        return i;
    return ((uint64_t)(8 + i % 8 + 1) << (i / 8 - 1)) - 1;
}

uint64_t bh_histogram_percentile(const struct bh_histogram *histogram, double percent)
{
    uint64_t seen = 0;

    if (!histogram || histogram->count == 0)
        return 0;
    if (!(percent > 0))
        percent = 0;
    if (percent > 100)
        percent = 100;
    uint64_t wanted = (uint64_t)((double)histogram->count * percent / 100.0 + 0.5);
    for (unsigned i = 0; i < BH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen > 0 && seen >= wanted) {
            uint64_t limit = bh_histogram_limit(i);
            return limit < histogram->max_us ? limit : histogram->max_us;
        }
    }
    return histogram->max_us;
}
