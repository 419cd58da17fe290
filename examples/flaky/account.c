/* SPDX-License-Identifier: MIT */
/*
 * flaky's account: what came of the requests, whether it adds up, and how it is told.
 *
 * Model: three books are kept by three parties, the threads that send, the pool's counters and the
 * event sink. The audit compares them line by line; each difference is a complaint, and one
 * complaint is enough to fail.
 */
#include "account.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

enum { COMPLAINTS = 10 };

static atomic_uint complaints;

void flaky_complain(const char *format, ...)
{
    char text[512];
    va_list arguments;

    if (atomic_fetch_add(&complaints, 1) >= COMPLAINTS)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "flaky: WRONG: %s\n", text);
}

unsigned flaky_complaints(void)
{
    return atomic_load(&complaints);
}

/* ---- the audit --------------------------------------------------------------------------- */

struct flaky_account flaky_sum(const struct flaky_account *accounts, unsigned count)
{
    struct flaky_account sum = {0};

    for (unsigned i = 0; i < count; i++) {
        sum.sent += accounts[i].sent;
        sum.condemned += accounts[i].condemned;
        for (unsigned o = 0; o < BH_OUTCOME_COUNT; o++)
            sum.outcome[o] += accounts[i].outcome[o];
    }
    return sum;
}

static void equal(const char *what, uint64_t a, const char *name_a, uint64_t b, const char *name_b)
{
    if (a != b)
        flaky_complain("%s: %" PRIu64 " %s, %" PRIu64 " %s", what, a, name_a, b, name_b);
}

static uint64_t deaths_in(const struct bh_snapshot *snapshot, unsigned phase)
{
    uint64_t sum = 0;

    for (unsigned cause = 0; cause < BH_CAUSE_COUNT; cause++)
        sum += snapshot->death[phase][cause];
    return sum;
}

static uint64_t deaths_of(const struct bh_snapshot *snapshot, unsigned cause)
{
    uint64_t sum = 0;

    for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++)
        sum += snapshot->death[phase][cause];
    return sum;
}

static uint64_t deaths_in_all(const struct bh_snapshot *snapshot)
{
    uint64_t sum = 0;

    for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++)
        sum += deaths_in(snapshot, phase);
    return sum;
}

/* Threads' account, pool's counters, events: do they tell the same story? */
void flaky_audit(const struct flaky_account *sum, const struct bh_snapshot *snapshot,
                 const struct flaky_deaths *told_of)
{
    uint64_t outcomes = 0;

    for (unsigned o = 0; o < BH_OUTCOME_COUNT; o++) {
        outcomes += sum->outcome[o];
        equal(bh_outcome_name(o), sum->outcome[o], "by the threads' account", snapshot->outcome[o],
              "by the pool's");
    }
    equal("requests", sum->sent, "sent", outcomes, "outcomes");
    equal("requests", sum->sent, "sent", snapshot->submitted, "submitted to the pool");
    equal("at the end", snapshot->queued, "queued", snapshot->running, "running");
    equal("died", sum->condemned, "told to", sum->outcome[BH_OUTCOME_DIED], "did");
    equal("died", sum->condemned, "requests", deaths_in(snapshot, BH_PHASE_REQUEST),
          "deaths during a request");
    equal("workers", snapshot->starts, "started", deaths_in_all(snapshot) + snapshot->quits,
          "died or quit");
    for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++) {
        for (unsigned cause = 0; cause < BH_CAUSE_COUNT; cause++)
            equal(bh_cause_name(cause), told_of->count[phase][cause], "events",
                  snapshot->death[phase][cause], "counted by the pool");
    }
}

/* ---- telling ----------------------------------------------------------------------------- */

/* A number with separators, right-aligned. */
static const char *thousands(uint64_t number, char text[32])
{
    char plain[24];
    int length = snprintf(plain, sizeof plain, "%" PRIu64, number);
    char *at = text;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *at++ = ',';
        *at++ = plain[i];
    }
    *at = '\0';
    return text;
}

static void print_number(uint64_t number, int width)
{
    char text[32];

    printf("%*s", width, thousands(number, text));
}

static void print_deaths(const struct bh_snapshot *snapshot)
{
    printf("\n  deaths        ");
    for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++)
        printf("%18s", bh_phase_name(phase));
    printf("%12s\n", "all");
    for (unsigned cause = 0; cause < BH_CAUSE_COUNT; cause++) {
        if (deaths_of(snapshot, cause) == 0)
            continue;
        printf("    %-12s", bh_cause_name(cause));
        for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++)
            print_number(snapshot->death[phase][cause], 18);
        print_number(deaths_of(snapshot, cause), 12);
        printf("\n");
    }
    printf("    %-12s", "all");
    for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++)
        print_number(deaths_in(snapshot, phase), 18);
    print_number(deaths_in_all(snapshot), 12);
    printf("\n");
}

static void print_outcomes(const struct flaky_account *sum)
{
    printf("\n  outcomes\n");
    for (unsigned o = 0; o < BH_OUTCOME_COUNT; o++) {
        if (sum->outcome[o] == 0 && o != BH_OUTCOME_DIED)
            continue;
        printf("    %-12s", bh_outcome_name(o));
        print_number(sum->outcome[o], 18);
        if (o == BH_OUTCOME_DIED) {
            printf("  of ");
            print_number(sum->condemned, 0);
            printf(" told to crash");
        }
        printf("\n");
    }
}

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

void flaky_print_summary(const struct flaky_account *sum, const struct bh_snapshot *snapshot,
                         double seconds)
{
    printf("flaky: ");
    print_number(sum->sent, 0);
    printf(" requests from %u threads to %u workers in %.1f s (%.0f a second), crash rate %g %%, "
           "seed %" PRIu64 "\n",
           flaky_opt.threads, flaky_opt.workers, seconds, (double)sum->sent / seconds,
           (double)flaky_opt.rate / 10000, flaky_opt.seed);
    print_outcomes(sum);
    print_deaths(snapshot);
    printf("\n  workers       ");
    print_number(snapshot->starts, 0);
    printf(" started, ");
    print_number(snapshot->ready, 0);
    printf(" became ready, ");
    print_number(snapshot->quits, 0);
    printf(" quit in order\n  requeued      ");
    print_number(snapshot->requeued, 0);
    printf(" requests whose worker died before it began them\n"
           "  latency       half below %.2f ms, 99 %% below %.2f ms, all below %.2f ms\n\n",
           ms(bh_histogram_percentile(&snapshot->latency, 50)),
           ms(bh_histogram_percentile(&snapshot->latency, 99)), ms(snapshot->latency.max_us));
    if (flaky_complaints() == 0)
        printf("Every request had exactly one outcome, the right one, and the accounts agree.\n");
    else
        printf("%u things are WRONG; the first are on stderr.\n", flaky_complaints());
}

/* Adds to a map; out of memory shows as a missing member. */
static void put(bh_value *map, const char *key, bh_value value)
{
    if (bh_map_set(map, key, &value) != BH_OK)
        bh_value_deinit(&value);
}

static void put_count(bh_value *map, const char *key, uint64_t count)
{
    put(map, key, bh_value_int64((int64_t)count));
}

static bh_value deaths_value(const struct bh_snapshot *snapshot)
{
    bh_value phases = bh_value_map();

    for (unsigned phase = 0; phase < BH_PHASE_COUNT; phase++) {
        bh_value causes = bh_value_map();

        for (unsigned cause = 0; cause < BH_CAUSE_COUNT; cause++) {
            if (snapshot->death[phase][cause] > 0)
                put_count(&causes, bh_cause_name(cause), snapshot->death[phase][cause]);
        }
        put(&phases, bh_phase_name(phase), causes);
    }
    return phases;
}

void flaky_print_json(const struct flaky_account *sum, const struct bh_snapshot *snapshot,
                      double seconds)
{
    bh_value map = bh_value_map(), outcomes = bh_value_map(), latency = bh_value_map();
    char *text;

    for (unsigned o = 0; o < BH_OUTCOME_COUNT; o++)
        put_count(&outcomes, bh_outcome_name(o), sum->outcome[o]);
    put_count(&latency, "p50", bh_histogram_percentile(&snapshot->latency, 50));
    put_count(&latency, "p99", bh_histogram_percentile(&snapshot->latency, 99));
    put_count(&latency, "max", snapshot->latency.max_us);
    put_count(&map, "requests", sum->sent);
    put(&map, "seconds", bh_value_double(seconds));
    put(&map, "outcomes", outcomes);
    put_count(&map, "told_to_crash", sum->condemned);
    put(&map, "deaths", deaths_value(snapshot));
    put_count(&map, "starts", snapshot->starts);
    put_count(&map, "ready", snapshot->ready);
    put_count(&map, "quits", snapshot->quits);
    put_count(&map, "requeued", snapshot->requeued);
    put(&map, "latency_us", latency);
    put_count(&map, "wrong", flaky_complaints());
    put(&map, "ok", bh_value_bool(flaky_complaints() == 0));
    if (bh_json_write(&map, BH_JSON_COMPACT, &text, NULL) == BH_OK) {
        puts(text);
        bh_free(text);
    }
    bh_value_deinit(&map);
}
