/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a nursery.
 *
 * Model: the constructor fills a zeroed struct step by step; the destructor takes one back that is
 * filled up to any step. What a forked child of the host must not touch says so itself: one page
 * that the kernel wipes on fork.
 *
 * Invariant: when bhp_nursery_close() returns, the launcher is gone, and with it (it kills before
 * it goes) every worker and what they left.
 */
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* How long opening waits for the launcher's greeting, and closing for its end. */
#define GREETING_MS 5000
#define CLOSING_MS 2000

/* ---- the forked child ---- */

static int make_own_page(bhp_nursery *nursery, struct bh_problem *problem)
{
    size_t size = nursery->page_bytes;
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return bhl_problem_errno(problem, "a page of memory");
    nursery->own = page;
    if (madvise(page, size, MADV_WIPEONFORK) != 0)
        return bhl_problem_errno(problem, "MADV_WIPEONFORK");
    atomic_store_explicit((_Atomic uint32_t *)page, 1, memory_order_relaxed);
    return BH_OK;
}

/** See platform.h. */
bool bhp_nursery_forked(const bhp_nursery *nursery)
{
    /* Relaxed: it changes only by fork(). */
    return atomic_load_explicit(nursery->own, memory_order_relaxed) == 0;
}

/* ---- open ---- */

static int make_loop(bhp_nursery *nursery, struct bh_problem *problem)
{
    nursery->epoll = bhl_lift(epoll_create1(EPOLL_CLOEXEC));
    if (nursery->epoll < 0)
        return bhl_problem_errno(problem, "epoll");
    nursery->kick = bhl_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (nursery->kick < 0 || !bhl_watch(nursery, &nursery->kick_source, nursery->kick))
        return bhl_problem_errno(problem, "eventfd");
    return BH_OK;
}

/* Waits for the greeting; the launcher is lost when none comes. */
static int await_greeting(bhp_nursery *nursery, struct bh_problem *problem)
{
    struct bhl_launcher *launcher = &nursery->launcher;
    int64_t until = bhp_now() + GREETING_MS * BHL_MS;

    while (launcher->state == BHL_LAUNCHER_GREETING) {
        struct pollfd p[] = {{.fd = launcher->socket, .events = POLLIN},
                             {.fd = launcher->pidfd, .events = POLLIN}};
        int64_t left = (until - bhp_now()) / BHL_MS;
        int rc = left > 0 ? poll(p, BHL_COUNT(p), (int)left) : 0;
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc <= 0)
            bhl_launcher_lose(nursery, "it does not greet");
        else if (bhl_link_read(nursery) && p[1].revents != 0)
            bhl_launcher_lose(nursery, "it ended before its greeting");
    }
    if (launcher->state == BHL_LAUNCHER_UP)
        return BH_OK;
    return bhi_problem_set(problem, BH_E_SYSTEM, 0, "%s%s%s", launcher->problem.text,
                           nursery->birth.path != NULL ? ": " : "",
                           nursery->birth.path != NULL ? nursery->birth.path : "");
}

static int build(bhp_nursery *nursery, const struct bh_pool_options *options,
                 struct bh_problem *problem)
{
    int rc = bhl_kernel_check(problem);
    if (rc == BH_OK)
        rc = make_own_page(nursery, problem);
    if (rc == BH_OK)
        rc = make_loop(nursery, problem);
    if (rc == BH_OK)
        rc = bhl_birth_init(&nursery->birth, options, problem);
    if (rc == BH_OK)
        rc = bhl_launcher_start(nursery, problem);
    return rc == BH_OK ? await_greeting(nursery, problem) : rc;
}

static struct bhl_source source(enum bhl_source_kind kind)
{
    return (struct bhl_source){.kind = kind, .fd = -1};
}

/** See platform.h. */
int bhp_nursery_open(bhp_nursery **nursery, const struct bh_pool_options *options,
                     struct bh_problem *problem)
{
    bhp_nursery *made = bhi_alloc(sizeof(*made));

    *nursery = NULL;
    if (made == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for a nursery");
    *made = (bhp_nursery){
        .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
        .half_bytes = BHL_HEADER_BYTES + options->lane_bytes,
        .max_request_bytes = options->max_request_bytes,
        .max_reply_bytes = options->max_reply_bytes,
        .max_partial_bytes = options->max_partial_bytes,
        .rearm = options->rearm_handlers,
        .kick = -1,
        .templates = options->templates != 0,
        .template_first = options->templates == 2,
        .start_timeout = (int64_t)options->start_timeout_ms * BHL_MS,
        .template = {.output = -1,
                     .due = BHP_FOREVER,
                     .fork_due = BHP_FOREVER,
                     .output_source = source(BHL_SOURCE_TEMPLATE)},
        .epoll = -1,
        .birth = {.spec = -1, .image = -1, .dispatcher = -1},
        .kick_source = source(BHL_SOURCE_KICK),
        .launcher = {.socket = -1,
                     .pidfd = -1,
                     .due = BHP_FOREVER,
                     .link_source = source(BHL_SOURCE_LINK),
                     .pidfd_source = source(BHL_SOURCE_LAUNCHER)},
    };
    int rc = build(made, options, problem);
    if (rc != BH_OK) {
        bhp_nursery_close(made);
        return rc;
    }
    *nursery = made;
    return BH_OK;
}

/* ---- close ---- */

static bool await_end(int pidfd, int ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int rc;

    do {
        rc = poll(&p, 1, ms);
    } while (rc < 0 && errno == EINTR);
    return rc > 0;
}

static void end_launcher(bhp_nursery *nursery)
{
    struct bhl_launcher *launcher = &nursery->launcher;
    struct bhl_launch message = {
        .magic = BHL_MAGIC, .type = BHL_LAUNCH_CLOSE, .version = BHL_VERSION};

    if (launcher->state == BHL_LAUNCHER_DOWN)
        return;
    bhl_link_send(nursery, &message, NULL, 0);
    bhl_close(&launcher->socket); /* says the same, if the message did not fit */
    if (!await_end(launcher->pidfd, CLOSING_MS)) {
        bhl_pidfd_kill(launcher->pidfd);
        await_end(launcher->pidfd, -1);
    }
    bhl_pidfd_reap(launcher->pidfd);
    bhl_close(&launcher->pidfd);
}

/** See platform.h. */
void bhp_nursery_close(bhp_nursery *nursery)
{
    if (nursery == NULL)
        return;
    end_launcher(nursery);
    bhl_template_forget(nursery);
    bhl_birth_deinit(&nursery->birth);
    bhl_close(&nursery->kick);
    bhl_close(&nursery->epoll);
    if (nursery->own != NULL)
        munmap((void *)(uintptr_t)nursery->own, nursery->page_bytes);
    bhi_free(nursery);
}
