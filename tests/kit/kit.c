/* SPDX-License-Identifier: MIT */
/*
 * The neutral half of the kit: the list of tests, the checks, the report.
 *
 * The report is TAP with a last line for people and scripts, "N passed, N failed". What a test said
 * is shown, each line after a "# ", only when it did not pass.
 */
#include "kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kit_settings kit_settings = {.slowdown = 1, .until = INT64_MAX};

static struct kit_test *tests;

/* ---- the list -------------------------------------------------------------------------------- */

static bool comes_before(const struct kit_test *a, const struct kit_test *b)
{
    int order = strcmp(a->file, b->file);
    return order != 0 ? order < 0 : a->line < b->line;
}

/* Constructors run in an order that differs between systems, hence the sorting. */
void kit_register(struct kit_test *test)
{
    struct kit_test **at = &tests;
    while (*at && comes_before(*at, test))
        at = &(*at)->next;
    test->next = *at;
    *at = test;
}

/* Without names every test is wanted, with names those that contain one of them. */
static bool wanted(const struct kit_test *test, int argc, char **argv)
{
    bool named = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-')
            continue;
        named = true;
        if (strstr(test->name, argv[i]))
            return true;
    }
    return !named;
}

const struct kit_test *kit_find(const char *name)
{
    const struct kit_test *test = tests;
    while (test && strcmp(test->name, name) != 0)
        test = test->next;
    return test;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void print_commented(const char *text)
{
    while (*text) {
        int length = (int)strcspn(text, "\n");
        printf("# %.*s\n", length, text);
        text += length + (text[length] == '\n');
    }
}

static void report(int number, const struct kit_test *test, enum kit_verdict verdict,
                   const char *said)
{
    printf("%sok %d - %s%s\n", verdict == KIT_FAILED ? "not " : "", number, test->name,
           verdict == KIT_SKIPPED ? " # SKIP" : "");
    if (said && verdict != KIT_PASSED)
        print_commented(said);
    fflush(stdout);
}

static int list_tests(void)
{
    for (const struct kit_test *test = tests; test; test = test->next)
        puts(test->name);
    return 0;
}

static int run_tests(int argc, char **argv)
{
    int count[3] = {0};
    int number = 0;
    for (const struct kit_test *test = tests; test; test = test->next) {
        if (!wanted(test, argc, argv))
            continue;
        char *said = NULL;
        enum kit_verdict verdict = kit_supervise(test, &said);
        report(++number, test, verdict, said);
        free(said);
        count[verdict]++;
    }
    printf("1..%d\n%d passed, %d failed\n", number, count[KIT_PASSED], count[KIT_FAILED]);
    if (number == 0)
        fprintf(stderr, "no such test\n");
    if (number != 0 && number == count[KIT_SKIPPED])
        return KIT_SKIP_STATUS;
    return number == 0 || count[KIT_FAILED] != 0;
}

static int positive_from_environment(const char *name, int otherwise)
{
    const char *text = getenv(name);
    int number = text ? atoi(text) : 0;
    return number > 0 ? number : otherwise;
}

int kit_main(int argc, char **argv)
{
    bool list = false;
    kit_settings.slowdown = positive_from_environment("KIT_SLOWDOWN", 1);
    kit_take_over(argc, argv);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            list = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            kit_settings.verbose = true;
        } else if (strcmp(argv[i], "--in-process") == 0) {
            kit_settings.in_process = true;
        } else if (argv[i][0] == '-') {
            fprintf(stderr, "usage: %s [--list] [--verbose] [--in-process] [PART-OF-A-NAME ...]\n",
                    argv[0]);
            return 2;
        }
    }
    int budget_s = positive_from_environment("KIT_BUDGET_S", 0);
    if (budget_s)
        kit_settings.until = kit_now_ms() + budget_s * INT64_C(1000);
    return list ? list_tests() : run_tests(argc, argv);
}

/* ---- tests in this process ------------------------------------------------------------------- */

/* For debuggers and valgrind: a check that fails jumps out of its test. */

static jmp_buf leave_test;
static _Thread_local bool is_test_thread;

enum kit_verdict kit_run_in_process(const struct kit_test *test)
{
    is_test_thread = true;
    int left = setjmp(leave_test);
    if (left)
        return (enum kit_verdict)(left - 1);
    test->run();
    return KIT_PASSED;
}

/* Only the test's own thread can jump; for another one the whole program ends. */
void kit_leave(enum kit_verdict verdict)
{
    if (!kit_settings.in_process)
        kit_end_process(verdict);
    if (!is_test_thread)
        exit(1);
    longjmp(leave_test, (int)verdict + 1);
}

/* ---- checks ---------------------------------------------------------------------------------- */

KIT_PRINTF(3, 0)
_Noreturn static void say_and_leave(enum kit_verdict verdict, const char *where, const char *format,
                                    va_list arguments)
{
    fflush(stdout);
    fputs(where, stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    fflush(stderr);
    kit_leave(verdict);
}

void kit_fail(const char *file, int line, const char *format, ...)
{
    char where[300];
    snprintf(where, sizeof where, "%s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    say_and_leave(KIT_FAILED, where, format, arguments);
}

void kit_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_and_leave(KIT_SKIPPED, "", format, arguments);
}

void kit_check_int(const char *file, int line, const char *a_text, const char *b_text, long long a,
                   long long b)
{
    if (a != b)
        kit_fail(file, line, "CHECK_INT(%s, %s): %lld is not %lld", a_text, b_text, a, b);
}

void kit_check_str(const char *file, int line, const char *a_text, const char *b_text,
                   const char *a, const char *b)
{
    if (a == b || (a && b && strcmp(a, b) == 0))
        return;
    kit_fail(file, line, "CHECK_STR(%s, %s):\n  \"%s\"\nis not\n  \"%s\"", a_text, b_text,
             a ? a : "(NULL)", b ? b : "(NULL)");
}

void kit_check_contains(const char *file, int line, const char *text_text, const char *text,
                        const char *part)
{
    if (text && part && strstr(text, part))
        return;
    kit_fail(file, line, "CHECK_CONTAINS(%s):\n  \"%s\"\ndoes not contain\n  \"%s\"", text_text,
             text ? text : "(NULL)", part ? part : "(NULL)");
}

void kit_check_bytes(const char *file, int line, const char *a_text, const char *b_text,
                     const void *a, const void *b, size_t size)
{
    const unsigned char *left = a, *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i])
            kit_fail(file, line, "CHECK_BYTES(%s, %s): byte %zu of %zu: 0x%02x is not 0x%02x",
                     a_text, b_text, i, size, left[i], right[i]);
    }
}

int kit_slowdown(void)
{
    return kit_settings.slowdown;
}

uint32_t kit_templates(void)
{
    const char *wish = getenv("BH_TEST_TEMPLATES");

    return wish == NULL || strcmp(wish, "0") != 0;
}
