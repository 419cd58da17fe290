/* SPDX-License-Identifier: MIT */
/**
 * @file account.h
 * What flaky counts, compares and prints.
 */
#ifndef FLAKY_ACCOUNT_H
#define FLAKY_ACCOUNT_H

#include <bulkhead/bulkhead.h>

/** The command line. */
struct flaky_options {
    uint64_t requests;
    double seconds; /* 0: by number of requests */
    unsigned threads;
    unsigned workers;
    uint64_t rate; /* crashes per million */
    uint64_t seed;
    char worker[4096];
    bool json;
};
extern struct flaky_options flaky_opt;

/** One thread's book, or the sum of all. */
struct flaky_account {
    struct flaky_thread *thread;
    uint64_t outcome[BH_OUTCOME_COUNT];
    uint64_t sent;
    uint64_t condemned; /* told to crash */
    uint8_t *bytes;     /* for the arguments of a request */
};

/** The event sink's book. */
struct flaky_deaths {
    uint64_t count[BH_PHASE_COUNT][BH_CAUSE_COUNT];
};

/** Something is wrong: says so on stderr, the first few times. Any thread. */
void flaky_complain(const char *format, ...) BH_PRINTF(1, 2);
/** How often. Any thread. */
unsigned flaky_complaints(void);

/** The sum of `count` books. */
struct flaky_account flaky_sum(const struct flaky_account *accounts, unsigned count);

/** Compares the three books. `snapshot` was taken when no worker was left. */
void flaky_audit(const struct flaky_account *sum, const struct bh_snapshot *snapshot,
                 const struct flaky_deaths *told_of);

/** The end of the run for people, and for programs, on stdout. */
void flaky_print_summary(const struct flaky_account *sum, const struct bh_snapshot *snapshot,
                         double seconds);
void flaky_print_json(const struct flaky_account *sum, const struct bh_snapshot *snapshot,
                      double seconds);

#endif
