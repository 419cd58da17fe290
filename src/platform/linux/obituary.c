/* SPDX-License-Identifier: MIT */
/*
 * Evidence: what the system says about a worker's memory while it lives, and about its end.
 *
 * Invariant: an obituary holds what was reported, never what it may mean; what was not reported is
 * 0.
 */
#include "nursery.h"

#include "core/problem.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Errors that the next try will not heal. */
static bool is_permanent(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case ELIBBAD:
    case ELOOP:
    case ENAMETOOLONG:
    case E2BIG:
    case EINVAL:
        return true;
    default:
        return false;
    }
}

/** See nursery.h. */
void bhl_note_not_started(struct bhp_obituary *obituary, const char *step, int error)
{
    struct bh_problem text; /* makes the step's bytes fit to print */

    obituary->end = BHP_END_NOT_STARTED;
    obituary->os_error = error;
    obituary->permanent = is_permanent(error);
    bhi_problem_set(&text, BH_E_START, error, "%s: %s", step, bhl_error_text(error));
    bhl_copy_text(obituary->detail, sizeof(obituary->detail), text.text, strlen(text.text));
}

/* Those that the worker's fault handlers catch. */
static bool leaves_record(int signal)
{
    switch (signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
    case SIGABRT:
    case SIGSYS:
        return true;
    default:
        return false;
    }
}

/** See nursery.h. */
void bhl_note_exited(struct bhp_obituary *obituary, const struct bhl_launch *message)
{
    int status = message->value;

    obituary->user_us = message->user_us;
    obituary->system_us = message->system_us;
    obituary->max_rss_bytes = message->max_rss_bytes;
    obituary->cgroup_oom = message->oom != 0;
    if (WIFEXITED(status)) {
        obituary->end = BHP_END_EXIT;
        obituary->code = (uint32_t)WEXITSTATUS(status);
    } else if (WIFSIGNALED(status)) {
        obituary->end = BHP_END_SIGNAL;
        obituary->code = (uint32_t)WTERMSIG(status);
        obituary->by_kill = WTERMSIG(status) == SIGKILL;
        obituary->needs_record = leaves_record(WTERMSIG(status));
    }
}

/** See platform.h. */
uint64_t bhp_worker_rss(bhp_worker *worker)
{
    char text[128];
    unsigned long long total;
    unsigned long long resident;
    unsigned long long shared;

    ssize_t length = worker->statm >= 0 ? pread(worker->statm, text, sizeof(text) - 1, 0) : 0;
    if (length <= 0)
        return 0;
    text[length] = '\0';
    if (sscanf(text, "%llu %llu %llu", &total, &resident, &shared) != 3 || shared > resident)
        return 0;
    return (resident - shared) * worker->nursery->page_bytes;
}

/** See platform.h. */
void bhp_worker_obituary(bhp_worker *worker, struct bhp_obituary *obituary)
{
    *obituary = worker->obituary;
    bhp_worker_box(worker, &obituary->box);
}
