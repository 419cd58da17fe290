/* SPDX-License-Identifier: MIT */
/*
 * What is said when a request did not get its reply.
 *
 * Model: one line, "METHOD: what happened; what to do next". What a worker wrote, and what its
 * handler said, is made harmless on the way out (out.c).
 */
#include "cli.h"

#include <string.h>

int cli_report_status(const struct bh_result *result, int signal)
{
    switch (result->outcome) {
    case BH_OUTCOME_REPLIED:
        return CLI_OK;
    case BH_OUTCOME_FAILED:
        return CLI_FAILED;
    case BH_OUTCOME_DIED:
        return CLI_DIED;
    case BH_OUTCOME_DEADLINE:
        return CLI_DEADLINE;
    case BH_OUTCOME_CANCELLED:
        return CLI_SIGNAL + signal;
    default:
        return CLI_REFUSED;
    }
}

static const char *text_of(const struct bh_result *result)
{
    return result->text != NULL && *result->text != '\0' ? result->text : "no reason was given";
}

/* The option that names the worker, as the user gave it. */
static const char *worker_option(const struct cli_settings *settings)
{
    return settings->plugin != NULL ? "--plugin" : "--worker";
}

static const char *worker_name(const struct cli_settings *settings)
{
    return settings->plugin != NULL ? settings->plugin : settings->worker;
}

/* Where more is to be learnt about a death, as the end of a line. */
static const char *more(const struct cli_settings *settings, const struct bh_result *result)
{
    if (settings->json)
        return "";
    if (!settings->verbose && result->death.output_length > 0)
        return "; --verbose shows what it wrote, --json the whole record";
    return "; --json shows the whole record";
}

static void report_death(const char *method, const struct cli_settings *settings,
                         const struct bh_result *result)
{
    char line[512];

    bh_death_describe(&result->death, line, sizeof line);
    if (result->death.cause == BH_CAUSE_MEMORY_LIMIT && result->death.limit_bytes > 0)
        cli_complain("%s: %s; --memory-limit-mib allows it more", method, line);
    else
        cli_complain("%s: %s%s", method, line, more(settings, result));
}

static void report_deadline(const char *method, const struct cli_settings *settings,
                            const struct bh_result *result)
{
    const char *then = result->has_death ? "its worker was killed" : "it gave up when asked to";

    if (result->delivery == BH_DELIVERY_NEVER_STARTED)
        then = "it never began";
    if (result->has_death && result->death.cause == BH_CAUSE_NO_PROGRESS)
        cli_complain("%s: no sign of life for %u ms, %s; --no-progress-ms allows it more", method,
                     settings->pool.no_progress_ms, then);
    else
        cli_complain("%s: no answer within %u ms, %s; --deadline-ms allows it more", method,
                     settings->pool.deadline_ms, then);
}

const char *cli_start_hint(const struct cli_settings *settings, const struct bh_death *death)
{
    if (death == NULL || death->cause == BH_CAUSE_NOT_STARTED)
        return "; check its path and the options for its process";
    if (death->output_length == 0)
        return "; is it a Bulkhead worker, and does it start by hand?";
    return settings->verbose ? "" : "; --verbose shows what it wrote";
}

static void report_refusal(const char *method, const struct cli_settings *settings,
                           const struct bh_result *result)
{
    const char *text = text_of(result);

    switch (result->refusal) {
    case BH_REFUSAL_NO_METHOD:
        cli_complain("%s: %s; bulkhead methods %s %s lists what there is", method, text,
                     worker_option(settings), worker_name(settings));
        break;
    case BH_REFUSAL_CRASH_LOOP:
    case BH_REFUSAL_CANNOT_START:
        cli_complain("%s: %s: %s%s", method, bh_refusal_name(result->refusal), text,
                     cli_start_hint(settings, result->has_death ? &result->death : NULL));
        break;
    case BH_REFUSAL_TOO_LARGE:
        cli_complain("%s: too large: %s; --max-request-mib allows more", method, text);
        break;
    default:
        cli_complain("%s: refused, %s: %s", method, bh_refusal_name(result->refusal), text);
        break;
    }
}

void cli_report(const char *method, const struct cli_settings *settings,
                const struct bh_result *result, int signal)
{
    switch (result->outcome) {
    case BH_OUTCOME_REPLIED:
        break;
    case BH_OUTCOME_FAILED:
        cli_complain("%s: failed with code %d: %s; bulkhead methods %s %s says what it expects",
                     method, result->code, text_of(result), worker_option(settings),
                     worker_name(settings));
        break;
    case BH_OUTCOME_DIED:
        report_death(method, settings, result);
        break;
    case BH_OUTCOME_DEADLINE:
        report_deadline(method, settings, result);
        break;
    case BH_OUTCOME_CANCELLED:
        cli_complain("%s: interrupted by %s; delivery: %s", method, cli_signal_name(signal),
                     bh_delivery_name(result->delivery));
        break;
    default:
        report_refusal(method, settings, result);
        break;
    }
    if (result->partial && !settings->json)
        cli_complain("%s: what was printed is its last partial reply", method);
}

/* Text streams of Windows end a line with two characters. */
static bool ends_with_return(const char *line, size_t length)
{
    return length > 0 && line[length - 1] == '\r';
}

void cli_report_output(const struct bh_death *death)
{
    const char *at = death->output;
    size_t left = death->output_length;

    if (left > 0 && death->output_dropped > 0)
        fprintf(stderr, "  | ... (%llu bytes before this)\n",
                (unsigned long long)death->output_dropped);
    while (left > 0) {
        const char *end = memchr(at, '\n', left);
        size_t length = end != NULL ? (size_t)(end - at) : left;

        fputs("  | ", stderr);
        cli_clean(stderr, at, length - ends_with_return(at, length));
        putc('\n', stderr);
        length += end != NULL;
        at += length;
        left -= length;
    }
}
