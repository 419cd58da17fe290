/* SPDX-License-Identifier: MIT */
/*
 * A pool's options, made ready for CreateProcess once and for all.
 *
 * Model: texts are built in buffers that grow; a failed allocation is remembered and asked for
 * once, at the end. Every worker's command line and environment are these texts with one thing of
 * its own.
 *
 * Invariants: what comes out needs no working directory and no PATH any more. Arguments survive
 * the way: Windows hands a program one line, which the C library takes apart again, and they are
 * quoted for exactly that.
 */
#include "environment.h"
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "core/utf8.h"
#include "text16.h"

#include <stdlib.h>
#include <string.h>

/* ---- what Windows does not have ---- */

static int refuse_foreign(const struct bh_pool_options *options, struct bh_problem *problem)
{
    if (options->user != NULL)
        return bhi_problem_set(problem, BH_E_UNSUPPORTED, 0,
                               "user: on Windows workers run as the dispatcher's user");
    if (options->rlimit_count > 0)
        return bhi_problem_set(problem, BH_E_UNSUPPORTED, 0,
                               "rlimits: Windows has no such limits; memory-limit-mib is there");
    if (options->launcher != NULL)
        return bhi_problem_set(problem, BH_E_UNSUPPORTED, 0,
                               "launcher: on Windows workers are started without one");
    return BH_OK;
}

/* ---- paths ---- */

static int no_memory(struct bh_problem *problem)
{
    return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the start specification");
}

static int widen(const char *text, const char *what, WCHAR **out, struct bh_problem *problem)
{
    if (!bhi_utf8_valid(text, strlen(text)))
        return bhi_problem_set(problem, BH_E_UTF8, 0, "%s is not UTF-8", what);
    *out = (WCHAR *)bhw_text16_new(text);
    return *out != NULL ? BH_OK : no_memory(problem);
}

/* A relative path, made absolute: owned; NULL and the last error on failure. */
static WCHAR *absolute(const WCHAR *path)
{
    DWORD units = GetFullPathNameW(path, 0, NULL, NULL);
    WCHAR *full = units > 0 ? bhi_alloc(units * sizeof(WCHAR)) : NULL;

    if (full != NULL && GetFullPathNameW(path, units, full, NULL) < units)
        return full;
    if (units > 0 && full == NULL)
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    bhi_free(full);
    return NULL;
}

/* As SearchPath: in a list of directories or, with NULL, as named; ".exe" may be left out. */
static WCHAR *search(const WCHAR *directories, const WCHAR *name)
{
    DWORD units = SearchPathW(directories, name, L".exe", 0, NULL, NULL);
    WCHAR *found = units > 0 ? bhi_alloc(units * sizeof(WCHAR)) : NULL;

    if (found != NULL && SearchPathW(directories, name, L".exe", units, found, NULL) < units)
        return found;
    bhi_free(found);
    return NULL;
}

static WCHAR *search_in_path(const WCHAR *name)
{
    DWORD units = GetEnvironmentVariableW(L"PATH", NULL, 0);
    WCHAR *directories = units > 0 ? bhi_alloc(units * sizeof(WCHAR)) : NULL;
    WCHAR *found = NULL;

    if (directories != NULL && GetEnvironmentVariableW(L"PATH", directories, units) < units)
        found = search(directories, name);
    bhi_free(directories);
    return found;
}

/* CreateProcess would run it with the command interpreter, which reads quotes its own way. */
static bool is_batch(const WCHAR *program)
{
    size_t length = wcslen(program);

    return length > 4 && (_wcsicmp(program + length - 4, L".bat") == 0 ||
                          _wcsicmp(program + length - 4, L".cmd") == 0);
}

/* One that is not there stays as it is named: the first worker's start says so. */
static int add_program(struct bhw_spec *spec, const char *worker, struct bh_problem *problem)
{
    WCHAR *name = NULL;

    int rc = widen(worker, "the worker's path", &name, problem);
    if (rc != BH_OK)
        return rc;
    bool bare = wcspbrk(name, L"/\\:") == NULL;
    WCHAR *full = bare ? NULL : absolute(name);
    spec->program = bare ? search_in_path(name) : full != NULL ? search(NULL, full) : NULL;
    if (spec->program == NULL && bare) {
        rc = bhi_problem_set(problem, BH_E_SYSTEM, ERROR_FILE_NOT_FOUND, "no program %s in PATH",
                             worker);
    } else if (spec->program == NULL) {
        spec->program = full;
        full = NULL;
    }
    bhi_free(full);
    bhi_free(name);
    if (rc == BH_OK && spec->program == NULL)
        return bhw_problem_last(problem, "the worker's path");
    if (rc == BH_OK && is_batch(spec->program))
        return bhi_problem_set(problem, BH_E_UNSUPPORTED, 0, "a batch file cannot be a worker: %s",
                               worker);
    return rc;
}

static int add_directory(struct bhw_spec *spec, const char *directory, struct bh_problem *problem)
{
    WCHAR *name = NULL;

    int rc = widen(directory != NULL ? directory : ".", "the directory", &name, problem);
    if (rc != BH_OK)
        return rc;
    spec->directory = absolute(name);
    bhi_free(name);
    return spec->directory != NULL ? BH_OK : bhw_problem_last(problem, "the directory");
}

static int add_dumps(struct bhw_spec *spec, const char *directory, struct bh_problem *problem)
{
    WCHAR *name = NULL;

    if (directory == NULL)
        return BH_OK;
    int rc = widen(directory, "the dump directory", &name, problem);
    if (rc != BH_OK)
        return rc;
    spec->dumps = absolute(name);
    bhi_free(name);
    DWORD attributes =
        spec->dumps != NULL ? GetFileAttributesW(spec->dumps) : INVALID_FILE_ATTRIBUTES;
    if (attributes == INVALID_FILE_ATTRIBUTES)
        return bhw_problem_last(problem, "the dump directory");
    return attributes & FILE_ATTRIBUTE_DIRECTORY
               ? BH_OK
               : bhi_problem_set(problem, BH_E_INVALID, 0, "no directory: %s", directory);
}

/* ---- the command line ---- */

static bool needs_quotes(const WCHAR *argument)
{
    return *argument == L'\0' || wcspbrk(argument, L" \t\n\v\"") != NULL;
}

/* Backslashes mean themselves but before a quotation mark: there, and before the closing one, they
 * are doubled. */
static void add_quoted(struct bhw_text *line, const WCHAR *argument)
{
    bhw_text_add(line, L"\"", 1);
    while (*argument != L'\0') {
        size_t slashes = wcsspn(argument, L"\\");
        bhw_text_add(line, argument, slashes);
        argument += slashes;
        if (*argument == L'\0' || *argument == L'"')
            bhw_text_add(line, argument - slashes, slashes);
        if (*argument == L'"')
            bhw_text_add(line, L"\\", 1);
        if (*argument != L'\0')
            bhw_text_add(line, argument++, 1);
    }
    bhw_text_add(line, L"\"", 1);
}

static int add_argument(struct bhw_text *line, const char *argument, struct bh_problem *problem)
{
    WCHAR *wide = NULL;

    int rc = widen(argument, "an argument", &wide, problem);
    if (rc != BH_OK)
        return rc;
    if (line->length > 0)
        bhw_text_add(line, L" ", 1);
    if (needs_quotes(wide))
        add_quoted(line, wide);
    else
        bhw_text_add(line, wide, wcslen(wide));
    bhi_free(wide);
    return BH_OK;
}

static int add_command(struct bhw_spec *spec, const struct bh_pool_options *options,
                       struct bh_problem *problem)
{
    struct bhw_text line = {0};

    if (strchr(options->worker, '"') != NULL)
        return bhi_problem_set(problem, BH_E_INVALID, 0, "the worker's path has a quotation mark");
    int rc = add_argument(&line, options->worker, problem);
    for (const char *const *a = options->arguments; rc == BH_OK && a && *a; a++)
        rc = add_argument(&line, *a, problem);
    bhw_text_add(&line, L"", 1);
    spec->command = line.units;
    return rc == BH_OK && line.failed ? no_memory(problem) : rc;
}

/** See nursery.h. */
WCHAR *bhw_spec_command(const struct bhw_spec *spec, const WCHAR *argument)
{
    struct bhw_text line = {0};

    bhw_text_add(&line, spec->command, wcslen(spec->command));
    bhw_text_add(&line, L" ", 1);
    bhw_text_add(&line, argument, wcslen(argument) + 1);
    return bhw_text_take(&line);
}

/** See nursery.h. */
WCHAR *bhw_spec_environment(const struct bhw_spec *spec, const WCHAR *variable)
{
    struct bhw_text block = {0};
    size_t split = spec->environment_split;

    bhw_text_add(&block, spec->environment, split);
    bhw_text_add(&block, variable, wcslen(variable) + 1);
    bhw_text_add(&block, spec->environment + split, spec->environment_units - split);
    bhw_text_add(&block, L"", 1);
    return bhw_text_take(&block);
}

/* ---- priority, processors, name ---- */

/* Windows has classes where Linux has 40 steps; a step in either direction is felt. */
static DWORD priority_of(int nice)
{
    if (nice == 0)
        return 0;
    if (nice >= 10)
        return IDLE_PRIORITY_CLASS;
    if (nice > 0)
        return BELOW_NORMAL_PRIORITY_CLASS;
    return nice > -10 ? ABOVE_NORMAL_PRIORITY_CLASS : HIGH_PRIORITY_CLASS;
}

/* Reads "3" or "0-3". */
static bool read_range(const char **text, DWORD_PTR *mask)
{
    unsigned long bound[2] = {0, 0};

    for (int i = 0; i < 2; i++) {
        char *end;
        if (**text < '0' || **text > '9')
            return false;
        bound[i] = strtoul(*text, &end, 10);
        *text = end;
        if (i == 0 && *end != '-')
            bound[++i] = bound[0];
        else if (i == 0)
            ++*text;
    }
    if (bound[1] < bound[0] || bound[1] >= 8 * sizeof(*mask))
        return false;
    for (unsigned long cpu = bound[0]; cpu <= bound[1]; cpu++)
        *mask |= (DWORD_PTR)1 << cpu;
    return true;
}

static int add_affinity(struct bhw_spec *spec, const char *list, struct bh_problem *problem)
{
    const char *at = list;
    DWORD_PTR mine = 0;
    DWORD_PTR all = 0;

    while (at != NULL && read_range(&at, &spec->affinity) && *at == ',')
        at++;
    if (at != NULL && (*at != '\0' || spec->affinity == 0 || at[-1] == ','))
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "\"%s\" is no list of processors like 0-3,8", list);
    if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) && (spec->affinity & ~all) != 0)
        return bhi_problem_set(problem, BH_E_INVALID, 0,
                               "\"%s\" names processors that are not there", list);
    return BH_OK;
}

/* The pool's name as one word that splits no command line and no comma-separated list. */
static void add_pool(struct bhw_spec *spec, const char *name)
{
    const char *last = name;
    size_t i = 0;

    for (; *name != '\0'; name++) {
        if (*name == '/' || *name == '\\')
            last = name + 1;
    }
    for (; i + 1 < sizeof(spec->pool) && last[i] != '\0'; i++) {
        bool plain = last[i] > ' ' && last[i] < 0x7f && strchr(",\"\\", last[i]) == NULL;
        spec->pool[i] = plain ? last[i] : '_';
    }
}

/* ---- all of it ---- */

/** See nursery.h. */
int bhw_spec_init(struct bhw_spec *spec, const struct bh_pool_options *options,
                  struct bh_problem *problem)
{
    *spec = (struct bhw_spec){.priority = priority_of(options->nice)};
    add_pool(spec, options->name != NULL ? options->name : options->worker);
    int rc = refuse_foreign(options, problem);
    if (rc == BH_OK)
        rc = add_program(spec, options->worker, problem);
    if (rc == BH_OK)
        rc = add_directory(spec, options->directory, problem);
    if (rc == BH_OK)
        rc = add_dumps(spec, options->dump_directory, problem);
    if (rc == BH_OK)
        rc = add_command(spec, options, problem);
    if (rc == BH_OK)
        rc = add_affinity(spec, options->affinity, problem);
    if (rc == BH_OK)
        rc = bhw_environment_make(options, spec, problem);
    return rc;
}

/** See nursery.h. */
void bhw_spec_deinit(struct bhw_spec *spec)
{
    bhi_free(spec->program);
    bhi_free(spec->command);
    bhi_free(spec->environment);
    bhi_free(spec->directory);
    bhi_free(spec->dumps);
    *spec = (struct bhw_spec){0};
}
