/* SPDX-License-Identifier: MIT */
/*
 * flaky: many requests to workers that crash at random, and an account that adds up.
 *
 * Model: threads take the numbers of requests from one counter and send them to one pool. A hash of
 * seed and number says beforehand which requests crash their worker and how, so each result can be
 * judged at once: a request told to crash must have died of just that, every other must have got
 * its own answer. Besides, workers crash at start-up and between requests, which must cost no
 * request anything. At the end three accounts must agree: the threads' own, the pool's counters,
 * and the deaths that the event sink was told of.
 *
 * flaky finds flaky-worker in its own directory.
 */
#include "account.h"
#include "flaky.h"
#include "system.h"

#include <bulkhead/bulkhead.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GO_ON = -1, STATUS_USAGE = 2, THREADS_MAX = 256, LARGEST = 200000 };

struct flaky_options flaky_opt = {
    .requests = 20000, .threads = 4, .workers = 4, .rate = 30000, .seed = 1};

static bh_pool *pool;
static atomic_uint_fast64_t next_request;
static atomic_uint_fast64_t finished, died_so_far;
static atomic_bool time_is_over;

/* As the event sink was told of them; the supervisor thread writes. */
static struct flaky_deaths told_of;

static const struct {
    const char *name;
    enum bh_cause cause;
} kinds[] = {
#define KIND(name, cause) {#name, cause},
    FLAKY_KINDS(KIND)
#undef KIND
};

/* ---- judging ----------------------------------------------------------------------------- */

static bool is_answer(const struct bh_result *result, uint64_t answer)
{
    const int64_t *reply;
    size_t count;

    return result->outcome == BH_OUTCOME_REPLIED &&
           bh_value_get_i64(&result->reply, &reply, &count) == BH_OK && count == 2 &&
           (uint64_t)reply[0] == result->serial && (uint64_t)reply[1] == answer;
}

static bool is_death(const struct bh_result *result, int kind)
{
    const struct bh_death *death = &result->death;

    return result->outcome == BH_OUTCOME_DIED && result->has_death &&
           death->phase == BH_PHASE_REQUEST && death->serial == result->serial &&
           death->cause == kinds[kind].cause && death->stack_overflow == (kind == FLAKY_KIND_stack);
}

static void judge(uint64_t number, int kind, uint64_t answer, const struct bh_result *result)
{
    char text[400] = "";

    if (kind == FLAKY_NONE ? is_answer(result, answer) : is_death(result, kind))
        return;
    if (result->text != NULL)
        snprintf(text, sizeof text, "%s", result->text);
    else if (result->has_death)
        bh_death_describe(&result->death, text, sizeof text);
    flaky_complain("request %" PRIu64 " (serial %" PRIu64 ") was told to %s%s and %s: %s", number,
                   result->serial, kind == FLAKY_NONE ? "answer" : "die of ",
                   kind == FLAKY_NONE ? "" : kinds[kind].name, bh_outcome_name(result->outcome),
                   text);
}

/* ---- the load ---------------------------------------------------------------------------- */

/* Most requests are small; one in 64 is too large for the lane and travels in a segment. */
static size_t fill(uint8_t *bytes, uint64_t number)
{
    uint64_t random = flaky_mix(flaky_opt.seed ^ number << 1);
    size_t length = random % 64 == 0 ? LARGEST : random % 2000;

    for (size_t i = 0; i < length; i += 509)
        bytes[i] = (uint8_t)(random >> i % 56);
    return length;
}

static void send_request(struct flaky_account *account, uint64_t number)
{
    int kind = flaky_decide(flaky_opt.seed, FLAKY_REQUEST, number, flaky_opt.rate);
    size_t length = fill(account->bytes, number);
    bh_value arguments[] = {bh_value_int64((int64_t)number), bh_value_int64(kind),
                            bh_value_view_bytes(account->bytes, length)};
    struct bh_result result;
    enum bh_outcome outcome = bh_pool_invoke(pool, "work", arguments, 3, &result);

    account->sent++;
    account->condemned += kind != FLAKY_NONE;
    account->outcome[outcome]++;
    judge(number, kind, flaky_answer(number, account->bytes, length), &result);
    atomic_fetch_add(&finished, 1);
    if (outcome == BH_OUTCOME_DIED)
        atomic_fetch_add(&died_so_far, 1);
    bh_result_deinit(&result);
}

static void send_requests(void *context)
{
    struct flaky_account *account = context;

    while (!atomic_load(&time_is_over)) {
        uint64_t number = atomic_fetch_add(&next_request, 1);

        if (number >= flaky_opt.requests)
            break;
        send_request(account, number);
    }
}

static void note_death(void *context, const struct bh_event *event)
{
    (void)context;
    told_of.count[event->death->phase][event->death->cause]++;
}

static void show_progress(double elapsed)
{
    uint64_t done = atomic_load(&finished);

    fprintf(stderr, "\r\033[K  %" PRIu64, done);
    if (flaky_opt.seconds > 0)
        fprintf(stderr, " requests, %.1f of %.0f s", elapsed, flaky_opt.seconds);
    else
        fprintf(stderr, " of %" PRIu64 " requests", flaky_opt.requests);
    fprintf(stderr, ", %" PRIu64 " killed their worker, %.0f a second",
            (uint64_t)atomic_load(&died_so_far), (double)done / (elapsed > 0 ? elapsed : 1));
    fflush(stderr);
}

/* Runs the load and watches it. @return seconds it took */
static double run_load(struct flaky_account *accounts)
{
    bool terminal = flaky_is_terminal(stderr) && !flaky_opt.json;
    double start = flaky_now();
    double elapsed = 0;
    unsigned running = 0;

    while (running < flaky_opt.threads &&
           (accounts[running].thread = flaky_thread_start(send_requests, &accounts[running])))
        running++;
    if (running < flaky_opt.threads)
        flaky_complain("only %u of %u threads could be started", running, flaky_opt.threads);
    while (flaky_opt.seconds > 0 ? elapsed < flaky_opt.seconds
                                 : atomic_load(&finished) < flaky_opt.requests) {
        flaky_pause_ms(20);
        elapsed = flaky_now() - start;
        if (terminal)
            show_progress(elapsed);
    }
    atomic_store(&time_is_over, true);
    for (unsigned i = 0; i < running; i++)
        flaky_thread_join(accounts[i].thread);
    if (terminal)
        fputs("\r\033[K", stderr);
    return flaky_now() - start;
}

/* ---- the end ----------------------------------------------------------------------------- */

/* Waits until every worker has gone, so that the counters are final. */
static void drain(struct bh_snapshot *snapshot)
{
    double until = flaky_now() + 30;

    bh_pool_drain(pool);
    for (;;) {
        if (bh_pool_snapshot(pool, snapshot) != BH_OK) {
            flaky_complain("no snapshot");
            return;
        }
        if (snapshot->worker_count == 0 || flaky_now() > until)
            break;
        bh_snapshot_deinit(snapshot);
        flaky_pause_ms(1);
    }
    if (snapshot->worker_count != 0)
        flaky_complain("%zu workers left after the drain", snapshot->worker_count);
}

/* ---- the command line -------------------------------------------------------------------- */

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: flaky [OPTION...]\n"
            "Sends requests to workers that crash at random, and checks that each request has\n"
            "exactly one outcome, the right one.\n\n"
            "  --requests N     how many (20000)\n"
            "  --seconds S      for so long instead\n"
            "  --threads N      that send them (4)\n"
            "  --workers N      that serve them (4)\n"
            "  --crash-rate R   how often a worker crashes, at start-up, in a request and between\n"
            "                   requests alike: a percentage as in 3%% or a fraction as in 0.03; "
            "at most 50%% (3%%)\n"
            "  --seed N         other numbers, other crashes (1)\n"
            "  --worker PATH    the worker program (flaky-worker beside this program)\n"
            "  --json           the summary as JSON on one line\n"
            "  --help, --version\n\n"
            "Exit status: 0 all is well, 1 an account does not add up, 2 wrong usage.\n");
    return status;
}

static bool take_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && *number >= least && *number <= most;
}

static bool take_rate(const char *text)
{
    char *end;
    double rate = strtod(text, &end);

    if (strcmp(end, "%") == 0)
        rate /= 100;
    else if (*end != '\0')
        return false;
    flaky_opt.rate = (uint64_t)(rate * 1000000 + 0.5);
    return end != text && rate >= 0 && rate <= 0.5;
}

static bool take_seconds(const char *text)
{
    char *end;

    flaky_opt.seconds = strtod(text, &end);
    flaky_opt.requests = UINT64_MAX;
    return end != text && *end == '\0' && flaky_opt.seconds > 0 && flaky_opt.seconds < 1e6;
}

static bool take_requests(const char *text)
{
    return take_number(text, 1, UINT64_MAX - THREADS_MAX, &flaky_opt.requests);
}

static bool take_few(const char *text, unsigned *number)
{
    uint64_t taken = 0;
    bool good = take_number(text, 1, THREADS_MAX, &taken);

    *number = (unsigned)taken;
    return good;
}

static bool take_threads(const char *text)
{
    return take_few(text, &flaky_opt.threads);
}

static bool take_workers(const char *text)
{
    return take_few(text, &flaky_opt.workers);
}

static bool take_seed(const char *text)
{
    return take_number(text, 0, UINT64_MAX, &flaky_opt.seed);
}

static bool take_worker(const char *text)
{
    size_t length = strlen(text);

    if (length >= sizeof flaky_opt.worker)
        return false;
    memcpy(flaky_opt.worker, text, length + 1);
    return true;
}

/* What `--name VALUE` or `--name=VALUE` does with its value. */
struct option {
    const char *name;
    bool (*take)(const char *text);
};

static const struct option known_options[] = {
    {"requests", take_requests}, {"seconds", take_seconds}, {"threads", take_threads},
    {"workers", take_workers},   {"crash-rate", take_rate}, {"seed", take_seed},
    {"worker", take_worker},
};

static const struct option *find_option(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof known_options / sizeof known_options[0]; i++) {
        if (strlen(known_options[i].name) == length &&
            memcmp(known_options[i].name, name, length) == 0)
            return &known_options[i];
    }
    return NULL;
}

/* Complains about the command line. */
static int wrong(const char *format, ...) BH_PRINTF(1, 2);
static int wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("flaky: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("; see flaky --help\n", stderr);
    va_end(arguments);
    return STATUS_USAGE;
}

/* Reads the option at argv[*i], and its value, which may be the next word. @return GO_ON or the
 * exit status */
static int read_option(char **argv, int *i)
{
    const char *name = argv[*i] + 2;
    size_t length = strcspn(name, "=");
    const struct option *option = find_option(name, length);
    const char *value = name[length] == '=' ? name + length + 1 : NULL;

    if (option == NULL)
        return wrong("there is no option %s", argv[*i]);
    if (value == NULL && (value = argv[++*i]) == NULL)
        return wrong("--%s needs a value", option->name);
    return option->take(value) ? GO_ON : wrong("--%s cannot be \"%s\"", option->name, value);
}

/* @return GO_ON or the exit status */
static int read_options(int argc, char **argv)
{
    int status = GO_ON;

    for (int i = 1; i < argc && status == GO_ON; i++) {
        if (strcmp(argv[i], "--help") == 0)
            status = usage(stdout, 0);
        else if (strcmp(argv[i], "--version") == 0)
            status = printf("flaky %s\n", bh_version()) < 0;
        else if (strcmp(argv[i], "--json") == 0)
            flaky_opt.json = true;
        else if (strncmp(argv[i], "--", 2) == 0)
            status = read_option(argv, &i);
        else
            status = wrong("it takes no arguments, and \"%s\" is one", argv[i]);
    }
    return status;
}

/* ---- all of it --------------------------------------------------------------------------- */

static int open_pool(void)
{
    char seed[24], rate[24];
    const char *arguments[] = {seed, rate, NULL};
    struct bh_pool_options options;
    struct bh_problem problem;

    snprintf(seed, sizeof seed, "%" PRIu64, flaky_opt.seed);
    snprintf(rate, sizeof rate, "%" PRIu64, flaky_opt.rate);
    bh_pool_options_init(&options);
    options.name = "flaky";
    options.worker = flaky_opt.worker;
    options.arguments = arguments;
    options.min_workers = flaky_opt.workers;
    options.max_workers = flaky_opt.workers;
    options.deadline_ms = 60000;
    /* Start-ups fail by chance here, so a few in a row mean nothing. */
    options.crash_loop_limit = 200;
    options.backoff_initial_ms = 1;
    options.backoff_max_ms = 10;
    options.on_event = note_death;
    options.event_mask = 1u << BH_EVENT_DIED;
    if (bh_pool_open(&pool, &options, &problem) == BH_OK)
        return 0;
    fprintf(stderr, "flaky: %s\n", problem.text);
    return 1;
}

int main(int argc, char **argv)
{
    static struct flaky_account accounts[THREADS_MAX];
    struct bh_snapshot snapshot = {0};
    struct flaky_account sum;
    double seconds;
    int status;

    flaky_find_beside(flaky_opt.worker, sizeof flaky_opt.worker, "flaky-worker");
    status = read_options(argc, argv);
    if (status != GO_ON)
        return status;
    if (open_pool() != 0)
        return 1;
    for (unsigned i = 0; i < flaky_opt.threads; i++) {
        accounts[i].bytes = calloc(1, LARGEST);
        if (accounts[i].bytes == NULL)
            return fprintf(stderr, "flaky: no memory\n"), 1;
    }
    seconds = run_load(accounts);
    drain(&snapshot);
    bh_pool_close(pool);
    sum = flaky_sum(accounts, flaky_opt.threads);
    flaky_audit(&sum, &snapshot, &told_of);
    if (flaky_opt.json)
        flaky_print_json(&sum, &snapshot, seconds);
    else
        flaky_print_summary(&sum, &snapshot, seconds);
    bh_snapshot_deinit(&snapshot);
    for (unsigned i = 0; i < flaky_opt.threads; i++)
        free(accounts[i].bytes);
    return flaky_complaints() != 0 || fflush(stdout) != 0;
}
