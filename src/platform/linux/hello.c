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

/* Names that a worker has chosen to collide cost the square of their number. */
#define METHODS_MOST 4096

/* ---- the table ---- */

static uint32_t hash(const char *name, size_t length)
{
    uint32_t h = 2166136261u; /* FNV-1a: names are short, and a worker only harms itself */

    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619u;
    return h;
}

static const bh_value *name_of(const struct bhl_methods *methods, uint32_t position)
{
    return bh_map_get(&methods->list.as.items[position], "name");
}

/* The slot that holds the name, or the empty one where it belongs. */
static uint32_t *slot_of(const struct bhl_methods *methods, const char *name, size_t length)
{
    for (uint32_t at = hash(name, length);; at++) {
        uint32_t *slot = &methods->slots[at & methods->mask];
        if (*slot == 0)
            return slot;
        const bh_value *known = name_of(methods, *slot - 1);
        if (known->length == length && memcmp(known->as.string, name, length) == 0)
            return slot;
    }
}

/** See nursery.h. */
int64_t bhl_methods_find(const struct bhl_methods *methods, const char *name)
{
    return methods->slots != NULL ? (int64_t)*slot_of(methods, name, strlen(name)) - 1 : -1;
}

/** See nursery.h. */
void bhl_methods_deinit(struct bhl_methods *methods)
{
    bh_value_deinit(&methods->list);
    bhi_free(methods->slots);
    methods->slots = NULL;
}

/* What is wrong with one entry, or NULL. */
static const char *entry_flaw(const bh_value *entry)
{
    const bh_value *name = bh_map_get(entry, "name");
    const bh_value *help = bh_map_get(entry, "help");

    if (name == NULL || name->type != BH_STRING || name->length == 0)
        return "has no name";
    if (memchr(name->as.string, '\0', name->length) != NULL)
        return "has a NUL in its name";
    if (help != NULL && help->type != BH_STRING)
        return "has a help text that is no string";
    return NULL;
}

static bool make_slots(struct bhl_methods *methods)
{
    size_t size = 2;

    while (size < methods->list.length * 2)
        size *= 2;
    methods->slots = bhi_alloc(size * sizeof(methods->slots[0]));
    if (methods->slots == NULL)
        return false;
    memset(methods->slots, 0, size * sizeof(methods->slots[0]));
    methods->mask = (uint32_t)size - 1;
    return true;
}

/* Checks the list and makes the index. */
static int index_methods(struct bhl_methods *methods, struct bh_problem *problem)
{
    if (methods->list.type != BH_ARRAY)
        return bhi_problem_set(problem, BH_E_TYPE, 0, "is a %s", bh_type_name(methods->list.type));
    if (methods->list.length > METHODS_MOST)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0, "names more than %d methods",
                               METHODS_MOST);
    if (!make_slots(methods))
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "needs more memory than there is");
    for (uint32_t i = 0; i < methods->list.length; i++) {
        const char *flaw = entry_flaw(&methods->list.as.items[i]);
        if (flaw != NULL)
            return bhi_problem_set(problem, BH_E_TYPE, 0, "entry %" PRIu32 " %s", i, flaw);
        const bh_value *name = name_of(methods, i);
        uint32_t *slot = slot_of(methods, name->as.string, name->length);
        if (*slot != 0)
            return bhi_problem_set(problem, BH_E_DUPLICATE, 0, "names %.*s twice",
                                   (int)(name->length < 64 ? name->length : 64), name->as.string);
        *slot = i + 1;
    }
    return BH_OK;
}

/* Reads the one value that the bytes must be; the bytes are private. */
static int decode(struct bhl_methods *methods, const void *bytes, size_t length,
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
    return rc == BH_OK ? index_methods(methods, problem) : rc;
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
        return;
    }
    bhl_methods_deinit(&worker->methods);
    bhl_worker_broke(worker, "its table of methods %s", problem.text);
}

/* The version comes first: of another one nothing else can be expected to fit. */
static void on_message(bhp_worker *worker, const struct bhl_control *message,
                       const struct bhl_mail *mail)
{
    size_t bytes = (size_t)mail->bytes;

    if (bytes < offsetof(struct bhl_control, reserved) || message->magic != BHL_MAGIC)
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
