/* SPDX-License-Identifier: MIT */
/*
 * A worker's greeting and its table of methods.
 *
 * Model: the first message on the control socket is HELLO; with it, the reply half holds the table
 * in wire form. It is copied once, then checked, then indexed by name. After that the control
 * socket is not watched any more: only a lane call reads it, when a reply says that a segment
 * follows.
 *
 * Invariant: a worker is READY with a table in which every name is a non-empty string and stands
 * once; or it broke the protocol and is killed.
 */
#include "nursery.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "socket.h"
#include "support.h"

#include <errno.h>
#include <inttypes.h>

/* ---- the table ---- */

/* Reads the one value that the bytes must be; the bytes are private. */
static int decode(struct bhi_methods *methods, const void *bytes, size_t length,
                  struct bh_problem *problem)
{
    struct bh_value_limits limits = {.depth = 4, .bytes = length};
    bh_value all = bh_value_null();

    int rc = bh_wire_read(&all, bytes, length, &limits, problem);
    if (rc != BH_OK)
        return rc;
    if (all.length == 1) {
        methods->list = all.as.items[0];
        all.as.items[0] = bh_value_null();
    } else {
        rc = bhi_problem_set(problem, BH_E_SYNTAX, 0, "is not one value");
    }
    bh_value_deinit(&all);
    return rc == BH_OK ? bhi_methods_index(methods, problem) : rc;
}

static int read_methods(bhp_worker *worker, uint64_t length, struct bh_problem *problem)
{
    const unsigned char *half = worker->reply_map.at;

    if (length > worker->reply_map.bytes - BHL_HEADER_BYTES)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0, "has %" PRIu64 " bytes", length);
    memcpy(worker->scratch, half + BHL_HEADER_BYTES, (size_t)length);
    return decode(&worker->methods, worker->scratch, (size_t)length, problem);
}

/* ---- the greeting ---- */

static void on_hello(bhp_worker *worker, const struct bhl_control *hello)
{
    struct bh_problem problem;

    int rc = read_methods(worker, hello->length, &problem);
    if (rc == BH_OK) {
        worker->ready = true;
        if (atomic_load(&worker->pid) !=
            0) /* else STARTED, which comes by another way, brings it */
            bhl_queue(worker, BHL_PENDING_READY);
        if (hello->flags & BHL_HELLO_FORK_SAFE)
            bhl_template_want(worker->nursery);
        return;
    }
    bhi_methods_deinit(&worker->methods);
    bhl_worker_broke(worker, "its table of methods %s", problem.text);
}

/* The version comes first: of another one nothing else can be expected to fit. */
static void on_message(bhp_worker *worker, const struct bhl_control *message,
                       const struct bhl_mail *mail)
{
    size_t bytes = (size_t)mail->bytes;

    if (bytes < offsetof(struct bhl_control, flags) || message->magic != BHL_MAGIC)
        bhl_worker_broke(worker, "it greets with something that is no message of ours");
    else if (message->version != BHL_VERSION)
        bhl_worker_broke(worker, "worker speaks protocol version %" PRIu32 ", dispatcher %u",
                         message->version, BHL_VERSION);
    else if (message->type != BHL_CONTROL_HELLO)
        bhl_worker_broke(worker,
                         "it begins with a message of type %" PRIu32 ", not with a greeting",
                         message->type);
    else if (bytes != sizeof(*message) || mail->cut || mail->fd_count > 0 || mail->fds_cut)
        bhl_worker_broke(worker, "its greeting has the wrong size");
    else
        on_hello(worker, message);
}

/** See nursery.h. */
void bhl_hello_read(bhp_worker *worker)
{
    struct bhl_control message = {0};
    struct bhl_mail mail;

    bhl_receive(worker->control, &message, sizeof(message), &mail);
    if (mail.bytes < 0 && errno == EAGAIN)
        return;
    bhl_unwatch(worker->nursery, &worker->control_source);
    if (mail.bytes >
        0) /* else it closed the socket: it is ending, or its start-up takes too long */
        on_message(worker, &message, &mail);
    bhl_mail_drop(&mail);
}
