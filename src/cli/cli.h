/* SPDX-License-Identifier: MIT */
/**
 * @file cli.h
 * What the files of the `bulkhead` program share. The program stands on the public API alone.
 */
#ifndef BULKHEAD_CLI_H
#define BULKHEAD_CLI_H

#include <bulkhead/bulkhead.h>

#include <stdio.h>

/** Exit statuses; `bulkhead help` lists them. A signal's is CLI_SIGNAL plus its number. */
enum cli_status {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the handler said so */
    CLI_USAGE = 2,
    CLI_DIED = 3,
    CLI_DEADLINE = 4,
    CLI_REFUSED = 5,
    CLI_OUTPUT = 6, /* stdout cannot be written */
    CLI_SIGNAL = 128
};

/** A subcommand. Which options it takes: its bit in cli_option.commands. */
struct cli_command {
    const char *name;
    const char *synopsis; /* what follows the name in a usage line */
    const char *summary;  /* one line for the list of commands */
    const char *about;    /* paragraphs for its own help, already wrapped */
    unsigned bit;
    int (*run)(const struct cli_command *command, int argc, char **argv);
};

enum { CLI_CALL = 1, CLI_METHODS = 2, CLI_MAP = 4, CLI_ALL = CLI_CALL | CLI_METHODS | CLI_MAP };

/** All subcommands; ends with an entry without a name. */
extern const struct cli_command cli_commands[];

int cli_call(const struct cli_command *command, int argc, char **argv);
int cli_methods(const struct cli_command *command, int argc, char **argv);
int cli_map(const struct cli_command *command, int argc, char **argv);
int cli_help(const struct cli_command *command, int argc, char **argv);

/** The help of the program and of one command, on stdout. @return CLI_OK */
int cli_help_program(void);
int cli_help_command(const struct cli_command *command);

/* ---- out.c: everything that is printed --------------------------------------------------- */

/** One line on stderr, "bulkhead: …". Control characters in it are made visible. */
void cli_complain(const char *format, ...) BH_PRINTF(1, 2);

/** A usage error: one line on stderr that names the command. @return CLI_USAGE */
int cli_usage(const struct cli_command *command, const char *format, ...) BH_PRINTF(2, 3);

/** Writes to stdout. */
void cli_write(const void *bytes, size_t length);
void cli_print(const char *format, ...) BH_PRINTF(1, 2);
/** Sends what was written on its way. */
void cli_flush(void);
/** Writes text of a worker to a stream, control characters but tab made visible. */
void cli_clean(FILE *out, const char *text, size_t length);
/** Writes a value as JSON and a newline: pretty on a terminal unless `one_line`. @return false, and
 * it has complained, when the value has no JSON */
bool cli_write_json(const bh_value *value, bool one_line);
/** Whether all that was written to stdout so far could be. */
bool cli_can_write(void);
/** The status to leave with: `status`, or CLI_OUTPUT, with a complaint, if stdout was not written.
 */
int cli_finish(int status);

/** Text that turns bold, or "", as stdout is a terminal and NO_COLOR is not set. */
const char *cli_bold(void);
const char *cli_plain(void);

/** No memory for ourselves: says so and ends the program. */
_Noreturn void cli_no_memory(void);

/* ---- options.c: the command line --------------------------------------------------------- */

/** A NULL-terminated list of texts that belong to others. */
struct cli_list {
    const char **items;
    size_t count;
};
void cli_list_add(struct cli_list *list, const char *text);

enum { CLI_RLIMITS = 8 };

/** What a command line says. */
struct cli_settings {
    struct bh_pool_options pool; /* complete after cli_settings_worker() */
    const char *worker;
    const char *plugin;
    struct cli_list worker_arguments;
    struct cli_list environment;
    struct bh_rlimit rlimits[CLI_RLIMITS];
    char *host;             /* path of bulkhead-host, owned */
    struct cli_list files;  /* patterns */
    const char *files_from; /* a file with names; "-": stdin */
    const char *resume;
    uint64_t max_deaths; /* 0: no limit */
    uint32_t retries;
    bool json;
    bool raw;
    bool paths;
    bool unordered;
    bool verbose;
    bool help;
    bool max_workers_given;
    int rest;     /* index of the first argument that is no option */
    bool literal; /* … and a lone -- stood before it */
};

/** An option of the program's own; the pool's numeric ones come from bh_pool_option_info(). */
struct cli_option {
    const char *name;
    const char *value; /* placeholder of its value; NULL: it takes none */
    const char *help;  /* NULL: this system has no such thing, which set() says */
    unsigned commands; /* bits of the commands that take it */
    /** @return NULL, or what is wrong with the value, static or in problem->text */
    const char *(*set)(struct cli_settings *settings, const char *value,
                       struct bh_problem *problem);
};

/** A titled group of options, for the help. */
struct cli_group {
    const char *title;
    const struct cli_option
        *options; /* ends with an entry without a name; NULL: the numeric ones */
};
extern const struct cli_group cli_groups[]; /* ends with an entry without a title */

/** Fills in the defaults and reads options until the first other argument.
 * @return CLI_OK or, after a complaint, CLI_USAGE */
int cli_settings_read(struct cli_settings *settings, const struct cli_command *command, int argc,
                      char **argv);
/** Makes worker or plug-in and the rest into settings->pool. @return as above */
int cli_settings_worker(struct cli_settings *settings, const struct cli_command *command);
void cli_settings_deinit(struct cli_settings *settings);

/** A whole number in decimal digits: no sign, no blank. @return false when it is none, or more than
 * `most` */
bool cli_parse_number(const char *text, size_t length, uint64_t most, uint64_t *number);

/** The default of a numeric option for a command, in the unit of its name. */
uint64_t cli_option_initial(const struct bh_option_info *info, const struct cli_command *command);

/** The text in `names` (`count` of them) that `text` was probably meant to be, or NULL. */
const char *cli_suggest(const char *text, const char *const *names, size_t count);

/** Where bulkhead-host is: beside this program, in libexec, or in PATH. Owned. */
char *cli_host_path(void);

/* ---- arguments.c ------------------------------------------------------------------------- */

/** Makes the values of a call from the rest of the command line. @param[out] values an array, to be
 * freed with bh_value_deinit(). @return CLI_OK or, after a complaint, CLI_USAGE */
int cli_arguments(const struct cli_command *command, const struct cli_settings *settings, int argc,
                  char **argv, bh_value *values);

/** All bytes of a file, at most `most`; to be freed. @return NULL: errno; EFBIG: there are more */
char *cli_read_file(const char *path, size_t most, size_t *length);

/* ---- deaths.c ---------------------------------------------------------------------------- */

struct cli_deaths;
/** Collects the deaths that the pool's event sink tells of. */
struct cli_deaths *cli_deaths_new(struct bh_pool_options *options);
/** After bh_pool_close(): adds {"deaths":[…]} to the map when there are any but that of worker
 * `cookie`. */
void cli_deaths_add(struct cli_deaths *deaths, uint64_t cookie, bh_value *map);
/** The last one, or NULL. */
const struct bh_death *cli_deaths_last(const struct cli_deaths *deaths);
void cli_deaths_free(struct cli_deaths *deaths);

/* ---- posix/, windows/: what the program asks of the operating system ------------------------- */

/* system.c */

/** Before anything else: the standard streams take bytes, and no file of ours can be mistaken for
 * one of them; a closed stdout becomes one that cannot be written. @return the command line in
 * UTF-8, `*argc` words and a NULL, which lives as long as the program; NULL, and it has complained,
 * when the command line is no text */
char **cli_system_begin(int *argc, char **argv);
bool cli_is_terminal(FILE *stream);
/** Whether escape sequences do what they say there. */
bool cli_takes_colour(FILE *stream);
/** From now on writing to a pipe that nobody reads fails and does no more than that. */
void cli_survive_closed_pipes(void);
/** Opens a file for reading its bytes. The path is UTF-8. @return NULL: errno */
FILE *cli_open(const char *path);
/** The folder that this program lies in, with a separator at its end. Owned; NULL: not known. */
char *cli_own_folder(void);
/** Whether there is a program of that path, as bh_pool_open() would look for it. */
bool cli_is_program(const char *path);
/** How a plug-in's file name ends: ".so". */
extern const char cli_plugin_suffix[];

/* options.c */

/** Options for the worker's process that not every system has. */
extern const struct cli_option cli_system_options[];

/* interrupt.c */

/** From now on the user's wish that the program end (Ctrl-C and its like) calls act(context), once,
 * on a thread of its own; the second ends the program at once. */
void cli_interrupt_begin(void (*act)(void *context), void *context);
/** Everything is as before. @return the number of the signal that came, or 0 */
int cli_interrupt_end(void);
/** What the user knows it as: "SIGTERM". Static. */
const char *cli_signal_name(int signal);

/* ---- report.c ---------------------------------------------------------------------------- */

/** The exit status for a result. */
int cli_report_status(const struct bh_result *result, int signal);
/** One line on stderr: how the request ended and what to do next. Nothing if it was replied. */
void cli_report(const char *method, const struct cli_settings *settings,
                const struct bh_result *result, int signal);
/** What to do about a worker that does not start, as the end of a line. `death` may be NULL. */
const char *cli_start_hint(const struct cli_settings *settings, const struct bh_death *death);
/** The tail of a dead worker's output, indented, on stderr. */
void cli_report_output(const struct bh_death *death);

#endif
