/* SPDX-License-Identifier: MIT */
/*
 * The command line's options, shared by the subcommands.
 *
 * Model: tables. Each option has a name, the commands that take it and a function that sets it. The
 * numeric pool options are not listed here: name, range, default and help come from
 * bh_pool_option_info(). Reading stops at the first argument that is no option, or after a lone --.
 *
 * Texts are not copied: they live in argv, which outlives everything.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* ---- single values ----------------------------------------------------------------------- */

void cli_list_add(struct cli_list *list, const char *text)
{
    const char **items = realloc(list->items, (list->count + 2) * sizeof *items);

    if (items == NULL)
        cli_no_memory();
    list->items = items;
    items[list->count++] = text;
    items[list->count] = NULL;
}

bool cli_parse_number(const char *text, size_t length, uint64_t most, uint64_t *number)
{
    uint64_t result = 0;

    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(text[i] - '0');

        if (text[i] < '0' || text[i] > '9' || result > (most - digit) / 10)
            return false;
        result = result * 10 + digit;
    }
    *number = result;
    return true;
}

static const char *set_worker(struct cli_settings *settings, const char *value,
                              struct bh_problem *problem)
{
    (void)problem;
    settings->worker = value;
    return *value != '\0' ? NULL : "is empty; it must name a program";
}

static const char *set_plugin(struct cli_settings *settings, const char *value,
                              struct bh_problem *problem)
{
    (void)problem;
    settings->plugin = value;
    return *value != '\0' ? NULL : "is empty; it must name a shared library";
}

static const char *set_worker_arg(struct cli_settings *settings, const char *value,
                                  struct bh_problem *problem)
{
    (void)problem;
    cli_list_add(&settings->worker_arguments, value);
    return NULL;
}

static const char *set_json(struct cli_settings *settings, const char *value,
                            struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->json = true;
    return NULL;
}

static const char *set_raw(struct cli_settings *settings, const char *value,
                           struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->raw = true;
    return NULL;
}

static const char *set_files(struct cli_settings *settings, const char *value,
                             struct bh_problem *problem)
{
    (void)problem;
    cli_list_add(&settings->files, value);
    return *value != '\0' ? NULL : "is empty; it must be a pattern such as *.pdf";
}

static const char *set_files_from(struct cli_settings *settings, const char *value,
                                  struct bh_problem *problem)
{
    (void)problem;
    settings->files_from = value;
    return *value != '\0' ? NULL : "is empty; it must name a file, or be - for stdin";
}

static const char *set_paths(struct cli_settings *settings, const char *value,
                             struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->paths = true;
    return NULL;
}

static const char *set_unordered(struct cli_settings *settings, const char *value,
                                 struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->unordered = true;
    return NULL;
}

static const char *set_resume(struct cli_settings *settings, const char *value,
                              struct bh_problem *problem)
{
    (void)problem;
    settings->resume = value;
    return *value != '\0' ? NULL : "is empty; it must name the file of the results";
}

static const char *set_max_deaths(struct cli_settings *settings, const char *value,
                                  struct bh_problem *problem)
{
    (void)problem;
    if (!cli_parse_number(value, strlen(value), UINT64_MAX / 2, &settings->max_deaths))
        return "must be a whole number; 0 is no limit";
    return NULL;
}

static const char *set_verbose(struct cli_settings *settings, const char *value,
                               struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->verbose = true;
    return NULL;
}

static const char *set_help(struct cli_settings *settings, const char *value,
                            struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->help = true;
    return NULL;
}

static const char *set_retries(struct cli_settings *settings, const char *value,
                               struct bh_problem *problem)
{
    uint64_t number;

    (void)problem;
    if (!cli_parse_number(value, strlen(value), UINT32_MAX, &number))
        return "must be a whole number from 0 to 4294967295";
    settings->retries = (uint32_t)number;
    return NULL;
}

static const char *set_name(struct cli_settings *settings, const char *value,
                            struct bh_problem *problem)
{
    (void)problem;
    settings->pool.name = value;
    return NULL;
}

static const char *set_env(struct cli_settings *settings, const char *value,
                           struct bh_problem *problem)
{
    (void)problem;
    if (*value == '\0' || *value == '=')
        return "must be NAME=VALUE, or NAME to remove it";
    cli_list_add(&settings->environment, value);
    return NULL;
}

static const char *set_clear_env(struct cli_settings *settings, const char *value,
                                 struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->pool.clear_environment = true;
    return NULL;
}

static const char *set_directory(struct cli_settings *settings, const char *value,
                                 struct bh_problem *problem)
{
    (void)problem;
    settings->pool.directory = value;
    return NULL;
}

static const char *set_nice(struct cli_settings *settings, const char *value,
                            struct bh_problem *problem)
{
    bool negative = *value == '-';
    const char *digits = value + negative;
    uint64_t number;

    (void)problem;
    if (!cli_parse_number(digits, strlen(digits), negative ? 20 : 19, &number))
        return "must be a whole number from -20 to 19";
    settings->pool.nice = negative ? -(int)number : (int)number;
    return NULL;
}

static const char *set_affinity(struct cli_settings *settings, const char *value,
                                struct bh_problem *problem)
{
    (void)problem;
    settings->pool.affinity = value;
    return NULL;
}

static const char *set_rearm(struct cli_settings *settings, const char *value,
                             struct bh_problem *problem)
{
    (void)value, (void)problem;
    settings->pool.rearm_handlers = true;
    return NULL;
}

/* ---- the tables -------------------------------------------------------------------------- */

static const struct cli_option worker_options[] = {
    {"worker", "PROGRAM", "the worker program; looked up in PATH when it has no /", CLI_ALL,
     set_worker},
    {"plugin", "LIBRARY", "a shared library with a method table; bulkhead-host serves it", CLI_ALL,
     set_plugin},
    {"worker-arg", "ARG", "an argument for the worker; may be given many times", CLI_ALL,
     set_worker_arg},
    {NULL, NULL, NULL, 0, NULL},
};

static const struct cli_option answer_options[] = {
    {"json", NULL, "print the whole outcome as JSON on one line: reply, error or death record",
     CLI_CALL, set_json},
    {"json", NULL, "print the list as JSON", CLI_METHODS, set_json},
    {"raw", NULL, "write a reply that is bytes or a string as it is", CLI_CALL, set_raw},
    {"retries", "N", "the call may be repeated: send it again up to N times after a death (0)",
     CLI_CALL | CLI_MAP, set_retries},
    {"verbose", NULL, "after a death, show on stderr what the worker wrote last", CLI_ALL,
     set_verbose},
    {"help", NULL, "print this text", CLI_ALL, set_help},
    {NULL, NULL, NULL, 0, NULL},
};

static const struct cli_option batch_options[] = {
    {"files", "PATTERN", "the inputs are the bytes of these files; may be given many times",
     CLI_MAP, set_files},
    {"files0-from", "FILE", "the same for the names in FILE, or in stdin (-), a NUL after each",
     CLI_MAP, set_files_from},
    {"paths", NULL, "send the path of a file instead of its bytes", CLI_MAP, set_paths},
    {"unordered", NULL, "write each result as soon as it is there", CLI_MAP, set_unordered},
    {"resume", "FILE", "write results to FILE, and leave out the inputs that it has already",
     CLI_MAP, set_resume},
    {"max-deaths", "N", "stop after N inputs that killed a worker (0: never)", CLI_MAP,
     set_max_deaths},
    {NULL, NULL, NULL, 0, NULL},
};

static const struct cli_option process_options[] = {
    {"name", "TEXT", "the pool's name in process lists (the program's file name)", CLI_ALL,
     set_name},
    {"env", "NAME=VALUE", "set a variable in the worker's environment, or remove NAME", CLI_ALL,
     set_env},
    {"clear-env", NULL, "begin with an empty environment", CLI_ALL, set_clear_env},
    {"directory", "PATH", "working directory of the worker (the current one)", CLI_ALL,
     set_directory},
    {"nice", "N", "added to the niceness (0; -20 to 19)", CLI_ALL, set_nice},
    {"affinity", "CPUS", "processors to run on, such as 0-3,8", CLI_ALL, set_affinity},
    {"rearm-handlers", NULL, "put the fault handlers back before each request", CLI_ALL, set_rearm},
    {NULL, NULL, NULL, 0, NULL},
};

const struct cli_group cli_groups[] = {
    {"Worker", worker_options},
    {"Answer", answer_options},
    {"Batch", batch_options},
    {"Process (default in parentheses)", process_options},
    {"Process, on this system", cli_system_options},
    {"Pool (default; allowed values)", NULL},
    {NULL, NULL},
};

/* ---- looking up -------------------------------------------------------------------------- */

/* One program needs one worker, unless somebody says otherwise. */
uint64_t cli_option_initial(const struct bh_option_info *info, const struct cli_command *command)
{
    if (strcmp(info->name, "templates") == 0 && command->bit != CLI_MAP)
        return 0;
    return strcmp(info->name, "max-workers") == 0 ? 1 : info->initial;
}

/* What a name stands for: an option of ours, a numeric one, or neither. */
struct found {
    const struct cli_option *own;
    const struct bh_option_info *numeric;
};

static struct found find_option(const struct cli_command *command, const char *name)
{
    struct found found = {NULL, NULL};

    for (const struct cli_group *group = cli_groups; group->title != NULL; group++) {
        for (const struct cli_option *option = group->options;
             option != NULL && option->name != NULL; option++) {
            if ((option->commands & command->bit) && strcmp(option->name, name) == 0)
                found.own = option;
        }
    }
    for (size_t i = 0; found.own == NULL && (found.numeric = bh_pool_option_info(i)) != NULL; i++) {
        if (strcmp(found.numeric->name, name) == 0)
            break;
    }
    return found;
}

enum { NAMES_MAX = 128 };

/* The names of all options that a command takes. */
static size_t list_names(const struct cli_command *command, const char *names[NAMES_MAX])
{
    const struct bh_option_info *info;
    size_t count = 0;

    for (const struct cli_group *group = cli_groups; group->title != NULL; group++) {
        for (const struct cli_option *option = group->options;
             option != NULL && option->name != NULL && count < NAMES_MAX; option++) {
            if (option->commands & command->bit)
                names[count++] = option->name;
        }
    }
    for (size_t i = 0; count < NAMES_MAX && (info = bh_pool_option_info(i)) != NULL; i++)
        names[count++] = info->name;
    return count;
}

static int unknown_option(const struct cli_command *command, const char *name)
{
    const char *names[NAMES_MAX];
    const char *near = cli_suggest(name, names, list_names(command, names));

    if (near != NULL)
        return cli_usage(command, "unknown option --%s; did you mean --%s?", name, near);
    return cli_usage(command, "unknown option --%s; bulkhead help %s lists them all", name,
                     command->name);
}

/* ---- reading ----------------------------------------------------------------------------- */

static int apply(struct cli_settings *settings, const struct cli_command *command,
                 struct found found, const char *value)
{
    struct bh_problem problem = {0};
    const char *wrong;

    if (found.numeric != NULL) {
        if (bh_pool_options_set(&settings->pool, found.numeric->name, value, &problem) != BH_OK)
            return cli_usage(command, "--%s", problem.text);
        if (strcmp(found.numeric->name, "max-workers") == 0)
            settings->max_workers_given = true;
        return CLI_OK;
    }
    wrong = found.own->set(settings, value, &problem);
    if (wrong != NULL)
        return cli_usage(command, "--%s is \"%s\"; it %s", found.own->name, value, wrong);
    return CLI_OK;
}

/* Reads the option at argv[*i], and its value, which may be the next argument. */
static int read_option(struct cli_settings *settings, const struct cli_command *command,
                       char **argv, int *i)
{
    const char *text = argv[*i] + 2;
    size_t length = strcspn(text, "=");
    char name[64];
    struct found found;
    const char *value = text[length] == '=' ? text + length + 1 : NULL;
    bool takes_value;

    snprintf(name, sizeof name, "%.*s", (int)length, text);
    found = find_option(command, name);
    if (found.own == NULL && found.numeric == NULL)
        return unknown_option(command, name);
    takes_value = found.numeric != NULL || found.own->value != NULL;
    if (!takes_value && value != NULL)
        return cli_usage(command, "--%s takes no value", name);
    if (takes_value && value == NULL && (value = argv[++*i]) == NULL)
        return cli_usage(command, "--%s needs a value", name);
    return apply(settings, command, found, value != NULL ? value : "");
}

int cli_settings_read(struct cli_settings *settings, const struct cli_command *command, int argc,
                      char **argv)
{
    int i = 1;
    int status = CLI_OK;

    memset(settings, 0, sizeof *settings);
    bh_pool_options_init(&settings->pool);
    settings->pool.min_workers = 1;
    if (command->bit != CLI_MAP) { /* there one worker is enough, and it starts once */
        settings->pool.max_workers = 1;
        settings->pool.templates = 0;
    }
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            settings->literal = true;
            i++;
            break;
        }
        if (strcmp(argv[i], "-h") == 0)
            settings->help = true;
        else if (argv[i][1] != '-')
            return cli_usage(command, "unknown option %s; options begin with --", argv[i]);
        else if ((status = read_option(settings, command, argv, &i)) != CLI_OK)
            return status;
    }
    settings->rest = i;
    return CLI_OK;
}

int cli_settings_worker(struct cli_settings *settings, const struct cli_command *command)
{
    struct cli_list arguments = {NULL, 0};

    if (settings->worker != NULL && settings->plugin != NULL)
        return cli_usage(command, "--worker and --plugin exclude each other");
    if (settings->worker == NULL && settings->plugin == NULL)
        return cli_usage(command, "which worker? Give --worker PROGRAM or --plugin LIBRARY");
    if (!settings->max_workers_given && settings->pool.min_workers > settings->pool.max_workers)
        settings->pool.max_workers = settings->pool.min_workers;
    settings->pool.worker = settings->worker;
    if (settings->plugin != NULL) {
        settings->host = cli_host_path();
        settings->pool.worker = settings->host;
        cli_list_add(&arguments, settings->plugin);
    }
    for (size_t i = 0; i < settings->worker_arguments.count; i++)
        cli_list_add(&arguments, settings->worker_arguments.items[i]);
    free(settings->worker_arguments.items);
    settings->worker_arguments = arguments;
    settings->pool.arguments = arguments.items;
    settings->pool.environment = settings->environment.items;
    return CLI_OK;
}

void cli_settings_deinit(struct cli_settings *settings)
{
    free(settings->worker_arguments.items);
    free(settings->environment.items);
    free(settings->files.items);
    free(settings->host);
}
