/* SPDX-License-Identifier: MIT */
/*
 * The report: a text file that a person reads and pastes, with one line of JSON at its end.
 *
 * Model: every line goes to the file at once, so that a crash or a hang of this program leaves what
 * was known before. The console shows the same without the details of what passed. A watchdog ends
 * the program when a part takes too long: a report must come of every run.
 */
#include "selftest.h"

#include <io.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "bulkhead-selftest.txt"
/* The longest part, ten times over. */
#define PART_MS 300000
#define PATIENCE_STEP_MS 500

static FILE *file;
static char file_path[MAX_PATH];
static CRITICAL_SECTION lock;
static bh_value members, checks;
static unsigned passed, failed, untestable;
static const char *part = "";
static ULONGLONG part_began;
static bool coloured;

/* ---- lines ----------------------------------------------------------------------------------- */

static void put(FILE *out, const char *format, ...) BH_PRINTF(2, 3);
static void put(FILE *out, const char *format, ...)
{
    va_list arguments;

    if (out == NULL)
        return;
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    fflush(out);
}

void report_note(const char *format, ...)
{
    char text[2000];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    EnterCriticalSection(&lock);
    put(file, "    %s\n", text);
    put(stdout, "    %s\n", text);
    LeaveCriticalSection(&lock);
}

void report_part(const char *title)
{
    EnterCriticalSection(&lock);
    part = title;
    part_began = GetTickCount64();
    put(file, "\n%s\n", title);
    put(stdout, "\n%s\n", title);
    LeaveCriticalSection(&lock);
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* Bytes that are no UTF-8 are of no use in JSON. */
static void add_text(bh_value *map, const char *key, const char *text)
{
    bh_value value;

    if (bh_value_new_string(&value, text, strlen(text)) != BH_OK)
        bh_value_new_string(&value, "?", 1);
    if (bh_map_set(map, key, &value) != BH_OK)
        bh_value_deinit(&value);
}

/* With the lock held. */
static void count_check(const char *result, const char *name, const char *detail)
{
    bh_value check = bh_value_map();

    add_text(&check, "part", part);
    add_text(&check, "name", name);
    add_text(&check, "result", result);
    if (*detail != '\0')
        add_text(&check, "detail", detail);
    if (bh_array_push(&checks, &check) != BH_OK)
        bh_value_deinit(&check);
}

static void show(const char *result, const char *colour, const char *name, const char *detail)
{
    put(file, "  %-12s %s\n", result, name);
    put(stdout, "  %s%-12s%s %s\n", coloured ? colour : "", result, coloured ? "\x1b[0m" : "",
        name);
    if (*detail != '\0')
        put(file, "               %s\n", detail);
    if (*detail != '\0' && strcmp(result, "passed") != 0)
        put(stdout, "               %s\n", detail);
}

bool report_check(bool good, const char *name, const char *format, ...)
{
    char detail[1200] = "";
    va_list arguments;

    if (format != NULL) {
        va_start(arguments, format);
        vsnprintf(detail, sizeof detail, format, arguments);
        va_end(arguments);
    }
    EnterCriticalSection(&lock);
    passed += good;
    failed += !good;
    count_check(good ? "passed" : "failed", name, detail);
    show(good ? "passed" : "FAILED", good ? "\x1b[32m" : "\x1b[31m", name, detail);
    LeaveCriticalSection(&lock);
    return good;
}

void report_untestable(const char *name, const char *why)
{
    EnterCriticalSection(&lock);
    untestable++;
    count_check("not testable here", name, why);
    show("not testable", "\x1b[33m", name, why);
    LeaveCriticalSection(&lock);
}

void report_add(const char *key, bh_value *value)
{
    if (bh_map_set(&members, key, value) != BH_OK)
        bh_value_deinit(value);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void add_number(const char *key, unsigned number)
{
    bh_value value = bh_value_int64(number);

    report_add(key, &value);
}

static void write_json(void)
{
    char *text;

    add_number("passed", passed);
    add_number("failed", failed);
    add_number("not_testable", untestable);
    report_add("checks", &checks);
    if (bh_json_write(&members, BH_JSON_COMPACT, &text, NULL) == BH_OK) {
        put(file, "\n%s\n", text);
        bh_free(text);
    }
    bh_value_deinit(&members);
}

int report_close(void)
{
    EnterCriticalSection(&lock);
    if (untestable > 0) {
        put(file, "\n%u not testable here\n", untestable);
        put(stdout, "\n%u not testable here\n", untestable);
    }
    write_json();
    put(file, "%u passed, %u failed\n", passed, failed);
    put(stdout, "%u passed, %u failed\n", passed, failed);
    if (file != NULL)
        fclose(file);
    file = NULL;
    put(stdout, "The report is in %s\n", file_path);
    /* Nobody may write any more: the lock is kept. */
    return failed == 0 && passed > 0 ? 0 : 1;
}

_Noreturn void report_give_up(const char *why)
{
    int status;

    report_check(false, part, "%s", why);
    status = report_close();
    TerminateProcess(GetCurrentProcess(), (UINT)status);
    for (;;)
        Sleep(INFINITE);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static DWORD WINAPI watch(void *nothing)
{
    (void)nothing;
    for (;;) {
        Sleep(PATIENCE_STEP_MS);
        EnterCriticalSection(&lock);
        bool over = GetTickCount64() - part_began > PART_MS;
        LeaveCriticalSection(&lock);
        if (over)
            report_give_up("this part does not end: the program gives up");
    }
    return 0;
}

static LONG WINAPI on_crash(EXCEPTION_POINTERS *pointers)
{
    char why[120];

    snprintf(why, sizeof why, "this program itself has crashed: exception 0x%08lx at %p",
             (unsigned long)pointers->ExceptionRecord->ExceptionCode,
             pointers->ExceptionRecord->ExceptionAddress);
    report_give_up(why);
}

/* Beside the program, which may lie where nobody may write. */
static void open_somewhere(void)
{
    DWORD length = GetModuleFileNameA(NULL, file_path, sizeof file_path - sizeof FILE_NAME);

    while (length > 0 && file_path[length - 1] != '\\')
        length--;
    strcpy(file_path + length, FILE_NAME);
    file = fopen(file_path, "w");
    if (file != NULL)
        return;
    length = GetTempPathA(sizeof file_path - sizeof FILE_NAME, file_path);
    strcpy(file_path + length, FILE_NAME);
    file = fopen(file_path, "w");
}

/* Windows 10 has escape sequences, but asks to be asked for them. */
static bool takes_colour(void)
{
    HANDLE console = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD mode;

    return getenv("NO_COLOR") == NULL && GetConsoleMode(console, &mode) &&
           SetConsoleMode(console, mode | 4 /* ENABLE_VIRTUAL_TERMINAL_PROCESSING */);
}

bool report_open(const char *path)
{
    InitializeCriticalSection(&lock);
    members = bh_value_map();
    checks = bh_value_array();
    coloured = takes_colour();
    if (path != NULL) {
        snprintf(file_path, sizeof file_path, "%s", path);
        file = fopen(path, "w");
    } else {
        open_somewhere();
    }
    if (file == NULL) {
        fprintf(stderr, "bulkhead-selftest: cannot write %s\n", file_path);
        return false;
    }
    part_began = GetTickCount64();
    SetUnhandledExceptionFilter(on_crash);
    CloseHandle(CreateThread(NULL, 0, watch, NULL, 0, NULL));
    return true;
}
