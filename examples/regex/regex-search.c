/* SPDX-License-Identifier: MIT */
/*
 * regex-search: searches lines of text with regular expressions, in worker processes, because the
 * library that matches them can crash.
 *
 * Model: each pair of a pattern and a subject is one request. Threads take pairs from one counter
 * and send them to one pool; a pair that kills its worker is noted with what is known about the
 * death, and the search goes on. With --check every other answer is compared with PCRE 2's.
 *
 * regex-search finds regex-worker in its own directory.
 */
#include "check.h"

#include <bulkhead/bulkhead.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_USAGE = 2, THREADS_MAX = 256, SHOWN = 10 };

static struct {
    const char *patterns;
    const char *subjects;
    const char *killers;
    unsigned threads;
    unsigned workers;
    uint32_t deadline_ms;
    char worker[4096];
    bool check;
    bool json;
} opt = {.threads = 4, .workers = 4, .deadline_ms = 30000};

/* The lines of a file. */
struct lines {
    char *text;
    struct line {
        const char *text;
        size_t length;
    } * line;
    size_t count;
};
static struct lines patterns, subjects;

/* A request that killed its worker. */
struct killer {
    size_t pattern;
    size_t subject;
    struct bh_death death;
};

static struct {
    pthread_mutex_t lock;
    struct killer *items;
    size_t count;
} killers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bh_pool *pool;
static atomic_size_t next_pair;
static atomic_uint_fast64_t *matches; /* per pattern */
static atomic_uint_fast64_t outcomes[BH_OUTCOME_COUNT];
static atomic_uint_fast64_t agreed, differed, no_opinion, complaints;

/* ---- input ------------------------------------------------------------------------------- */

static void *must(void *memory)
{
    if (memory == NULL) {
        fputs("regex-search: no memory\n", stderr);
        exit(1);
    }
    return memory;
}

static char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    size_t capacity = 1 << 16;
    char *text = must(malloc(capacity));

    *length = 0;
    while (file != NULL && !feof(file) && !ferror(file)) {
        *length += fread(text + *length, 1, capacity - *length, file);
        if (*length == capacity)
            text = must(realloc(text, capacity *= 2));
    }
    if (file == NULL || ferror(file)) {
        fprintf(stderr, "regex-search: cannot read %s: %s\n", path, strerror(errno));
        exit(STATUS_USAGE);
    }
    fclose(file);
    return text;
}

/* Splits a file into its lines; empty ones do not count. */
static struct lines read_lines(const char *path)
{
    struct lines lines = {0};
    size_t length, capacity = 0;
    char *at, *end;

    lines.text = read_file(path, &length);
    for (at = lines.text; at < lines.text + length; at = end + 1) {
        end = memchr(at, '\n', (size_t)(lines.text + length - at));
        if (end == NULL)
            end = lines.text + length;
        if (end == at)
            continue;
        if (lines.count == capacity) {
            capacity = capacity == 0 ? 256 : capacity * 2;
            lines.line = must(realloc(lines.line, capacity * sizeof *lines.line));
        }
        lines.line[lines.count++] = (struct line){at, (size_t)(end - at)};
    }
    if (lines.count == 0) {
        fprintf(stderr, "regex-search: there is no line in %s\n", path);
        exit(STATUS_USAGE);
    }
    return lines;
}

static void free_lines(struct lines *lines)
{
    free(lines->line);
    free(lines->text);
}

/* ---- one pair ---------------------------------------------------------------------------- */

static void complain(size_t pattern, size_t subject, const char *text)
{
    if (atomic_fetch_add(&complaints, 1) < SHOWN)
        fprintf(stderr, "regex-search: pattern %zu, subject %zu: %s\n", pattern + 1, subject + 1,
                text);
}

static void note_killer(size_t pattern, size_t subject, const struct bh_death *death)
{
    struct killer *killer;

    pthread_mutex_lock(&killers.lock);
    killers.items = must(realloc(killers.items, (killers.count + 1) * sizeof *killers.items));
    killer = &killers.items[killers.count++];
    killer->pattern = pattern;
    killer->subject = subject;
    if (bh_death_copy(&killer->death, death) != BH_OK)
        must(NULL);
    pthread_mutex_unlock(&killers.lock);
}

/* Takes [start, end] apart. @return false: the reply is null, no match */
static bool take_range(const bh_value *reply, size_t *start, size_t *end)
{
    const bh_value *items;
    uint64_t from, to;
    size_t count;

    if (bh_value_get_array(reply, &items, &count) != BH_OK || count != 2 ||
        bh_value_get_uint64(&items[0], &from) != BH_OK ||
        bh_value_get_uint64(&items[1], &to) != BH_OK)
        return false;
    *start = from;
    *end = to;
    return true;
}

/* Compares an answer (or the refusal of a pattern) with the second opinion. */
static void compare(struct checker *checker, size_t pattern, size_t subject,
                    const struct bh_result *result)
{
    const struct line *p = &patterns.line[pattern], *s = &subjects.line[subject];
    size_t start = 0, end = 0, their_start = 0, their_end = 0;
    enum check_answer mine = CHECK_INVALID, theirs;
    char text[200];

    if (result->outcome == BH_OUTCOME_REPLIED)
        mine = take_range(&result->reply, &start, &end) ? CHECK_MATCH : CHECK_NONE;
    theirs = check_match(checker, pattern, p->text, p->length, s->text, s->length, &their_start,
                         &their_end);
    if (theirs == CHECK_GAVE_UP) {
        atomic_fetch_add(&no_opinion, 1);
    } else if (mine == theirs && start == their_start && end == their_end) {
        atomic_fetch_add(&agreed, 1);
    } else {
        atomic_fetch_add(&differed, 1);
        snprintf(text, sizeof text, "PCRE 1 says %d, %zu to %zu, PCRE 2 says %d, %zu to %zu", mine,
                 start, end, theirs, their_start, their_end);
        complain(pattern, subject, text);
    }
}

static void search(struct checker *checker, size_t pattern, size_t subject)
{
    const struct line *p = &patterns.line[pattern], *s = &subjects.line[subject];
    bh_value arguments[] = {bh_value_view_bytes(p->text, p->length),
                            bh_value_view_bytes(s->text, s->length)};
    struct bh_result result;
    size_t start, end;

    bh_pool_invoke(pool, "match", arguments, 2, &result);
    atomic_fetch_add(&outcomes[result.outcome], 1);
    switch (result.outcome) {
    case BH_OUTCOME_REPLIED:
        if (take_range(&result.reply, &start, &end))
            atomic_fetch_add(&matches[pattern], 1);
        break;
    case BH_OUTCOME_FAILED:
        break;
    case BH_OUTCOME_DIED:
        note_killer(pattern, subject, &result.death);
        break;
    default:
        complain(pattern, subject,
                 result.text != NULL ? result.text : bh_outcome_name(result.outcome));
        break;
    }
    if (checker != NULL &&
        (result.outcome == BH_OUTCOME_REPLIED || result.outcome == BH_OUTCOME_FAILED))
        compare(checker, pattern, subject, &result);
    bh_result_deinit(&result);
}

/* ---- all pairs --------------------------------------------------------------------------- */

static void *search_pairs(void *context)
{
    struct checker *checker = opt.check ? must(check_new(patterns.count)) : NULL;
    size_t pair;

    (void)context;
    while ((pair = atomic_fetch_add(&next_pair, 1)) < patterns.count * subjects.count)
        search(checker, pair / subjects.count, pair % subjects.count);
    check_free(checker);
    return NULL;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* @return seconds it took */
static double search_all(void)
{
    pthread_t threads[THREADS_MAX];
    double start = now();
    unsigned running = 0;

    while (running < opt.threads &&
           pthread_create(&threads[running], NULL, search_pairs, NULL) == 0)
        running++;
    if (running == 0)
        search_pairs(NULL);
    for (unsigned i = 0; i < running; i++)
        pthread_join(threads[i], NULL);
    return now() - start;
}

/* ---- telling ----------------------------------------------------------------------------- */

static int by_request(const void *a, const void *b)
{
    const struct killer *x = a, *y = b;

    if (x->pattern != y->pattern)
        return x->pattern < y->pattern ? -1 : 1;
    return x->subject < y->subject ? -1 : x->subject > y->subject;
}

/* A pattern for the terminal: no control characters, not too long. */
static void print_pattern(size_t number)
{
    const struct line *pattern = &patterns.line[number];

    for (size_t i = 0; i < pattern->length && i < 60; i++)
        putchar((unsigned char)pattern->text[i] < 0x20 ? '?' : pattern->text[i]);
}

static void print_killers(void)
{
    if (killers.count == 0)
        return;
    printf("\n  %zu request%s killed a worker, and nothing else was lost:\n", killers.count,
           killers.count == 1 ? "" : "s");
    for (size_t i = 0; i < killers.count && i < SHOWN; i++) {
        const struct killer *killer = &killers.items[i];

        printf("    subject %zu (%zu bytes), ", killer->subject + 1,
               subjects.line[killer->subject].length);
        print_pattern(killer->pattern);
        printf(": %s, %s%s at address 0x%" PRIx64 "\n", bh_cause_name(killer->death.cause),
               killer->death.signal_name, killer->death.stack_overflow ? ", stack overflow" : "",
               killer->death.address);
    }
    if (killers.count > SHOWN)
        printf("    ... and %zu more\n", killers.count - SHOWN);
}

static void print_summary(double seconds)
{
    size_t pairs = patterns.count * subjects.count;

    printf("regex-search: %zu patterns, %zu subjects, %zu requests from %u threads to %u workers "
           "in %.1f s (%.0f a second)\n\n    matches  pattern\n",
           patterns.count, subjects.count, pairs, opt.threads, opt.workers, seconds,
           (double)pairs / seconds);
    for (size_t i = 0; i < patterns.count; i++) {
        printf("  %9" PRIuFAST64 "  ", atomic_load(&matches[i]));
        print_pattern(i);
        printf("\n");
    }
    if (outcomes[BH_OUTCOME_FAILED] > 0)
        printf("\n  %" PRIuFAST64
               " requests failed: the pattern is invalid, or took too much work\n",
               outcomes[BH_OUTCOME_FAILED]);
    print_killers();
    if (opt.check)
        printf("\n  %" PRIuFAST64 " answers are the same as PCRE 2's, %" PRIuFAST64
               " differ (no opinion on %" PRIuFAST64 ")\n",
               agreed, differed, no_opinion);
}

static bh_value killer_value(const struct killer *killer)
{
    bh_value map = bh_value_map(), death, pattern, number;

    number = bh_value_int64((int64_t)killer->subject + 1);
    if (bh_value_new_string(&pattern, patterns.line[killer->pattern].text,
                            patterns.line[killer->pattern].length) != BH_OK &&
        bh_value_new_bytes(&pattern, patterns.line[killer->pattern].text,
                           patterns.line[killer->pattern].length) != BH_OK)
        must(NULL);
    if (bh_death_to_value(&killer->death, &death) != BH_OK ||
        bh_map_set(&map, "pattern", &pattern) != BH_OK ||
        bh_map_set(&map, "subject", &number) != BH_OK || bh_map_set(&map, "death", &death) != BH_OK)
        must(NULL);
    return map;
}

/* All killers, one JSON object a line. @return false, and it has complained, if it cannot */
static bool write_killers(const char *path)
{
    FILE *file = fopen(path, "w");
    char *text;

    for (size_t i = 0; file != NULL && i < killers.count; i++) {
        bh_value map = killer_value(&killers.items[i]);

        if (bh_json_write(&map, BH_JSON_COMPACT, &text, NULL) == BH_OK) {
            fprintf(file, "%s\n", text);
            bh_free(text);
        }
        bh_value_deinit(&map);
    }
    if (file != NULL && fclose(file) == 0)
        return true;
    fprintf(stderr, "regex-search: cannot write %s: %s\n", path, strerror(errno));
    return false;
}

static void put(bh_value *map, const char *key, bh_value value)
{
    if (bh_map_set(map, key, &value) != BH_OK)
        must(NULL);
}

static void put_count(bh_value *map, const char *key, uint64_t count)
{
    put(map, key, bh_value_int64((int64_t)count));
}

static void print_json(double seconds)
{
    bh_value map = bh_value_map(), list = bh_value_array(), counts = bh_value_array();
    bh_value ends = bh_value_map();
    char *text;

    for (size_t i = 0; i < patterns.count; i++) {
        bh_value count = bh_value_int64((int64_t)atomic_load(&matches[i]));

        if (bh_array_push(&counts, &count) != BH_OK)
            must(NULL);
    }
    for (size_t i = 0; i < killers.count; i++) {
        bh_value killer = killer_value(&killers.items[i]);

        if (bh_array_push(&list, &killer) != BH_OK)
            must(NULL);
    }
    for (unsigned i = 0; i < BH_OUTCOME_COUNT; i++)
        put_count(&ends, bh_outcome_name(i), atomic_load(&outcomes[i]));
    put_count(&map, "patterns", patterns.count);
    put_count(&map, "subjects", subjects.count);
    put(&map, "seconds", bh_value_double(seconds));
    put(&map, "outcomes", ends);
    put(&map, "matches", counts);
    put(&map, "killers", list);
    if (opt.check) {
        put_count(&map, "agreed", atomic_load(&agreed));
        put_count(&map, "differed", atomic_load(&differed));
        put_count(&map, "no_opinion", atomic_load(&no_opinion));
    }
    put(&map, "ok", bh_value_bool(atomic_load(&complaints) == 0));
    if (bh_json_write(&map, BH_JSON_COMPACT, &text, NULL) == BH_OK) {
        puts(text);
        bh_free(text);
    }
    bh_value_deinit(&map);
}

/* ---- the command line -------------------------------------------------------------------- */

static int usage(FILE *out, int status)
{
    fputs("usage: regex-search --patterns FILE --subjects FILE [OPTION...]\n"
          "Searches each line of one file with each pattern of another, in worker processes.\n\n"
          "  --patterns FILE    regular expressions, one a line\n"
          "  --subjects FILE    texts, one a line\n"
          "  --killers FILE     write there what killed a worker, one JSON object a line\n"
          "  --check            compare every answer with PCRE 2's\n"
          "  --threads N        that send requests (4)\n"
          "  --workers N        that serve them (4)\n"
          "  --deadline-ms N    for one request (30000)\n"
          "  --worker PATH      the worker program (regex-worker beside this program)\n"
          "  --json             the summary as JSON on one line\n"
          "  --help, --version\n\n"
          "Exit status: 0 every request was answered or killed its worker, 1 some were not or an\n"
          "answer differs from PCRE 2's, 2 wrong usage.\n",
          out);
    return status;
}

static bool take_number(const char *text, unsigned long most, unsigned long *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *number = strtoul(text, &end, 10);
    return *end == '\0' && *number >= 1 && *number <= most;
}

static bool take_option(int option)
{
    unsigned long number = 1;
    bool good = true;

    switch (option) {
    case 'p':
        opt.patterns = optarg;
        break;
    case 's':
        opt.subjects = optarg;
        break;
    case 'k':
        opt.killers = optarg;
        break;
    case 'c':
        opt.check = true;
        break;
    case 't':
        good = take_number(optarg, THREADS_MAX, &number);
        opt.threads = (unsigned)number;
        break;
    case 'w':
        good = take_number(optarg, THREADS_MAX, &number);
        opt.workers = (unsigned)number;
        break;
    case 'd':
        good = take_number(optarg, 86400000, &number);
        opt.deadline_ms = (uint32_t)number;
        break;
    case 'x':
        good = snprintf(opt.worker, sizeof opt.worker, "%s", optarg) < (int)sizeof opt.worker;
        break;
    default:
        opt.json = true;
        break;
    }
    return good;
}

static int check_options(int argc, char **argv)
{
    if (optind < argc)
        fprintf(stderr, "regex-search: takes no arguments, and \"%s\" is one\n", argv[optind]);
    else if (opt.patterns == NULL)
        fputs("regex-search: --patterns FILE is missing; see regex-search --help\n", stderr);
    else if (opt.subjects == NULL)
        fputs("regex-search: --subjects FILE is missing; see regex-search --help\n", stderr);
    else if (opt.check && !check_available())
        fputs("regex-search: was built without PCRE 2, so there is no --check\n", stderr);
    else
        return -1;
    return STATUS_USAGE;
}

/* @return -1 to go on, or the exit status */
static int read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"patterns", required_argument, NULL, 'p'},
        {"subjects", required_argument, NULL, 's'},
        {"killers", required_argument, NULL, 'k'},
        {"check", no_argument, NULL, 'c'},
        {"threads", required_argument, NULL, 't'},
        {"workers", required_argument, NULL, 'w'},
        {"deadline-ms", required_argument, NULL, 'd'},
        {"worker", required_argument, NULL, 'x'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int option, index = 0;

    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (option == 'h')
            return usage(stdout, 0);
        if (option == 'v')
            return printf("regex-search %s, %s PCRE 2\n", bh_version(),
                          check_available() ? "with" : "without") < 0;
        if (option == '?')
            return STATUS_USAGE;
        if (!take_option(option)) {
            fprintf(stderr, "regex-search: --%s cannot be \"%s\"; see regex-search --help\n",
                    options[index].name, optarg);
            return STATUS_USAGE;
        }
    }
    return check_options(argc, argv);
}

/* The program of that name in the directory of this one. */
static void find_beside(char *path, size_t size, const char *name)
{
    ssize_t length = readlink("/proc/self/exe", path, size - strlen(name) - 1);

    while (length > 0 && path[length - 1] != '/')
        length--;
    strcpy(path + (length > 0 ? length : 0), name);
}

/* ---- all of it --------------------------------------------------------------------------- */

static int open_pool(void)
{
    struct bh_pool_options options;
    struct bh_problem problem;

    bh_pool_options_init(&options);
    options.worker = opt.worker;
    options.min_workers = opt.workers;
    options.max_workers = opt.workers;
    options.deadline_ms = opt.deadline_ms;
    if (bh_pool_open(&pool, &options, &problem) == BH_OK)
        return 0;
    fprintf(stderr, "regex-search: %s\n", problem.text);
    return 1;
}

int main(int argc, char **argv)
{
    double seconds;
    int status;

    find_beside(opt.worker, sizeof opt.worker, "regex-worker");
    status = read_options(argc, argv);
    if (status >= 0)
        return status;
    patterns = read_lines(opt.patterns);
    subjects = read_lines(opt.subjects);
    matches = must(calloc(patterns.count, sizeof *matches));
    if (open_pool() != 0)
        return 1;
    seconds = search_all();
    bh_pool_close(pool);

    if (killers.count > 0)
        qsort(killers.items, killers.count, sizeof *killers.items, by_request);
    if (opt.json)
        print_json(seconds);
    else
        print_summary(seconds);
    status = atomic_load(&complaints) != 0 || fflush(stdout) != 0;
    if (opt.killers != NULL && !write_killers(opt.killers))
        status = 1;
    for (size_t i = 0; i < killers.count; i++)
        bh_death_deinit(&killers.items[i].death);
    free(killers.items);
    free(matches);
    free_lines(&patterns);
    free_lines(&subjects);
    return status;
}
