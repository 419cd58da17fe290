/* SPDX-License-Identifier: MIT */
/*
 * The template as the dispatcher sees it: when there should be one, when it is given up, and what
 * is told of it.
 *
 * Model: NONE → ASKED (the launcher was told to make one) → UP (init() is done; starts may go by
 * it) → DROPPED or at once NONE. A worker that greets as fork-safe makes us want one. The
 * launcher's reports and our own orders name it by a number, so that a report about one that was
 * given up means nothing any more. One that is not ready in a worker's start-up time, or does not
 * fork for too long, is dropped: the launcher then starts plainly who waits for it.
 *
 * Workers that are asked for while it is ASKED are started plainly; where the pool wants a template
 * first, it is asked for with the launcher, and they wait for it.
 *
 * Invariants: every start is complete without a template; nothing that happens to one is held
 * against a worker or a request. One that does not stay is made again later and later, and after a
 * few times that brought no worker no more, until the launcher or the generation is another.
 */
#include "nursery.h"

#include "core/problem.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a template may take to fork a worker; at most half of what a start-up may take. */
#define FORK_PATIENCE (1000 * BHL_MS)
/* Pauses before another template, and how many may fail in a row. */
#define DELAY_FIRST (100 * BHL_MS)
#define DELAY_MOST (10000 * BHL_MS)
#define FAILURES_MOST 5
/* Between tries to send what found no room in the socket. */
#define ROOM_PAUSE BHL_MS
/* Pieces read of its output at once. */
#define READS_MAX 8

/* ---- news ---- */

static void tell(struct bhl_template *t, bool ready, int64_t pid, const char *text)
{
    struct bhp_template_news *news = &t->news[t->news_count];

    if (t->news_count == BHL_COUNT(t->news))
        return;
    t->news_count++;
    *news = (struct bhp_template_news){.ready = ready, .pid = pid};
    bhl_copy_text(news->text, sizeof(news->text), text, strlen(text));
}

/** See platform.h. */
bool bhp_nursery_template(bhp_nursery *nursery, struct bhp_template_news *news)
{
    struct bhl_template *t = &nursery->template;

    if (t->news_count == 0)
        return false;
    *news = t->news[0];
    t->news_count--;
    memmove(t->news, t->news + 1, t->news_count * sizeof(t->news[0]));
    return true;
}

/* ---- output ---- */

/* Keeps the end of it. */
static void keep(struct bhl_template *t, const char *piece, size_t length)
{
    size_t room = sizeof(t->tail) - 1;

    if (length > room) {
        piece += length - room;
        length = room;
    }
    if (t->length + length > room) {
        size_t over = t->length + length - room;
        memmove(t->tail, t->tail + over, t->length - over);
        t->length -= over;
    }
    for (size_t i = 0; i < length; i++)
        t->tail[t->length++] = piece[i] == '\n' ? ' ' : piece[i];
    t->tail[t->length] = '\0';
}

/** See nursery.h. */
void bhl_template_output(bhp_nursery *nursery)
{
    struct bhl_template *t = &nursery->template;
    char piece[4096];

    for (int i = 0; i < READS_MAX && t->output >= 0; i++) {
        ssize_t length = read(t->output, piece, sizeof(piece));
        if (length == 0)
            bhl_unwatch(nursery, &t->output_source);
        if (length <= 0)
            return;
        keep(t, piece, (size_t)length);
    }
}

static void close_output(bhp_nursery *nursery)
{
    struct bhl_template *t = &nursery->template;

    bhl_unwatch(nursery, &t->output_source);
    bhl_close(&t->output);
    t->length = 0;
    t->tail[0] = '\0';
}

/* ---- asking and dropping ---- */

static void plan(bhp_nursery *nursery, int64_t now)
{
    struct bhl_template *t = &nursery->template;
    int64_t delay = DELAY_FIRST << t->failures;

    t->failures++;
    t->due = BHP_FOREVER;
    if (t->failures < FAILURES_MOST)
        t->due = now + (delay < DELAY_MOST ? delay : DELAY_MOST);
}

/* Whether the order is out. */
static bool send_drop(bhp_nursery *nursery)
{
    struct bhl_template *t = &nursery->template;
    const struct bhl_launch message = {.magic = BHL_MAGIC,
                                       .type = BHL_LAUNCH_TEMPLATE_DROP,
                                       .version = BHL_VERSION,
                                       .template = t->drop};

    if (t->drop != 0 && !bhl_link_send(nursery, &message, NULL, 0))
        return false;
    t->drop = 0;
    return true;
}

/* Its end is reported as that of any template, and then `why` is told with it. */
static void drop(bhp_nursery *nursery, const char *why)
{
    struct bhl_template *t = &nursery->template;

    t->state = BHL_TEMPLATE_DROPPED;
    t->due = t->fork_due = BHP_FOREVER;
    t->drop = t->number;
    snprintf(t->why, sizeof(t->why), "%s", why);
    send_drop(nursery);
}

static bool send_order(bhp_nursery *nursery, uint32_t number, int output)
{
    const struct bhl_launch message = {.magic = BHL_MAGIC,
                                       .type = BHL_LAUNCH_TEMPLATE,
                                       .version = BHL_VERSION,
                                       .template = number};

    return bhl_link_send(nursery, &message, &output, 1);
}

/* Asks for one; what cannot be had now is tried again later. */
static void ask(bhp_nursery *nursery, int64_t now)
{
    struct bhl_template *t = &nursery->template;
    int pair[2] = {-1, -1};

    close_output(nursery);
    t->due = now + DELAY_FIRST;
    if (!send_drop(nursery) || !bhl_pipe(pair))
        return;
    t->output = pair[0];
    if (bhl_watch(nursery, &t->output_source, t->output) &&
        send_order(nursery, t->number + 1, pair[1])) {
        t->number++;
        t->state = BHL_TEMPLATE_ASKED;
        t->why[0] = '\0';
        /* Who waits for it must have time for a plain start. */
        t->due = now + nursery->start_timeout / (nursery->template_first ? 2 : 1);
    }
    bhl_close(&pair[1]);
}

/** See nursery.h. */
void bhl_template_want(bhp_nursery *nursery)
{
    struct bhl_template *t = &nursery->template;

    if (nursery->templates && t->state == BHL_TEMPLATE_NONE && t->due == BHP_FOREVER &&
        t->failures == 0 && nursery->launcher.state == BHL_LAUNCHER_UP)
        ask(nursery, bhp_now());
}

/** See platform.h. */
void bhp_nursery_renew(bhp_nursery *nursery)
{
    struct bhl_template *t = &nursery->template;

    if (t->state == BHL_TEMPLATE_ASKED || t->state == BHL_TEMPLATE_UP)
        drop(nursery, "");
    if (t->state == BHL_TEMPLATE_DROPPED)
        t->number++; /* its end is of no interest */
    t->state = BHL_TEMPLATE_NONE;
    t->failures = 0;
    t->due = BHP_FOREVER;
    if (nursery->template_first)
        bhl_template_want(nursery);
}

/** See nursery.h. */
void bhl_template_forget(bhp_nursery *nursery)
{
    struct bhl_template *t = &nursery->template;

    close_output(nursery);
    t->state = BHL_TEMPLATE_NONE;
    t->due = t->fork_due = BHP_FOREVER;
    t->drop = 0;
    t->failures = 0;
}

/* ---- workers ---- */

/** See nursery.h. */
uint32_t bhl_template_for(bhp_worker *worker)
{
    bhp_nursery *nursery = worker->nursery;
    struct bhl_template *t = &nursery->template;
    int64_t patience = nursery->start_timeout / 2;
    bool waits = t->state == BHL_TEMPLATE_ASKED && nursery->template_first;

    if (t->state != BHL_TEMPLATE_UP && !waits)
        return 0;
    patience = patience < FORK_PATIENCE ? patience : FORK_PATIENCE;
    worker->fork_due = (waits ? t->due : bhp_now()) + patience;
    if (worker->fork_due < t->fork_due)
        t->fork_due = worker->fork_due;
    return t->number;
}

/** See nursery.h. */
void bhl_template_forked(bhp_worker *worker, uint32_t number)
{
    worker->forked = number != 0;
    worker->fork_due = BHP_FOREVER;
    if (number != 0 && number == worker->nursery->template.number)
        worker->nursery->template.failures = 0;
}

static void look_for_overdue(bhp_nursery *nursery, int64_t now)
{
    struct bhl_template *t = &nursery->template;

    t->fork_due = BHP_FOREVER;
    for (const bhp_worker *w = nursery->workers; w != NULL; w = w->next) {
        if (!w->reported && w->fork_due < t->fork_due)
            t->fork_due = w->fork_due;
    }
    if (t->fork_due <= now && (t->state == BHL_TEMPLATE_UP || t->state == BHL_TEMPLATE_ASKED))
        drop(nursery, "it does not fork");
}

/** See nursery.h. */
void bhl_template_hurry(bhp_worker *worker)
{
    if (worker->fork_due == BHP_FOREVER || worker->reported)
        return;
    worker->fork_due = 0;
    worker->nursery->template.fork_due = 0;
}

/* ---- reports ---- */

static void describe_end(const struct bhl_launch *message, char *text, size_t size)
{
    int status = message->value;

    if (message->type == BHL_LAUNCH_NOT_STARTED)
        snprintf(text, size, "%s: %s", message->step, bhl_error_text(status));
    else if (WIFSIGNALED(status))
        snprintf(text, size, "%s", bhp_signal_name(WTERMSIG(status)));
    else
        snprintf(text, size, "exit %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void on_end(bhp_nursery *nursery, const struct bhl_launch *message)
{
    struct bhl_template *t = &nursery->template;
    struct bh_problem text; /* makes its bytes fit to print */
    char end[sizeof(message->step) + 64];

    bhl_template_output(nursery);
    describe_end(message, end, sizeof(end));
    bhi_problem_set(&text, BH_E_START, 0, "%s%s%s", t->why[0] != '\0' ? t->why : end,
                    t->length > 0 ? ": " : "", t->tail);
    tell(t, false, message->pid, text.text);
    close_output(nursery);
    t->state = BHL_TEMPLATE_NONE;
    t->fork_due = BHP_FOREVER;
    plan(nursery, bhp_now());
}

static void on_ready(struct bhl_template *t, int64_t pid)
{
    if (t->state != BHL_TEMPLATE_ASKED)
        return;
    t->state = BHL_TEMPLATE_UP;
    t->due = BHP_FOREVER;
    t->pid = pid;
    tell(t, true, pid, "");
}

/** See nursery.h. */
bool bhl_template_message(bhp_nursery *nursery, const struct bhl_launch *message)
{
    struct bhl_template *t = &nursery->template;
    bool present = message->template == t->number;

    switch (message->type) {
    case BHL_LAUNCH_TEMPLATE_READY:
        if (present)
            on_ready(t, message->pid);
        return true;
    case BHL_LAUNCH_NOT_STARTED:
    case BHL_LAUNCH_EXITED:
        if (present)
            on_end(nursery, message);
        return true;
    default:
        return false;
    }
}

/* ---- what is due ---- */

/** See nursery.h. */
int64_t bhl_template_tick(bhp_nursery *nursery, int64_t now)
{
    struct bhl_template *t = &nursery->template;

    if (nursery->launcher.state != BHL_LAUNCHER_UP)
        return BHP_FOREVER;
    if (t->due <= now && t->state == BHL_TEMPLATE_ASKED)
        drop(nursery, "it is not ready in time");
    else if (t->due <= now)
        ask(nursery, now);
    if (t->fork_due <= now)
        look_for_overdue(nursery, now);
    int64_t due = t->due < t->fork_due ? t->due : t->fork_due;
    if (!send_drop(nursery) && now + ROOM_PAUSE < due)
        due = now + ROOM_PAUSE;
    return due;
}
