/* SPDX-License-Identifier: MIT */
/*
 * Reading a committed reply: everything here is hostile input.
 *
 * Model: the head of the reply is loaded once, word by word, into a private struct; it is checked;
 * the message is copied once into private memory and decoded there. Large payloads lie beside it,
 * in the worker's segment (lane_view.c): they are copied once, straight to where they stay, or left
 * where they are for a caller who wants to borrow them.
 *
 * Invariants: no byte that the worker can still change is looked at twice. A flaw is BROKEN and
 * says what was wrong; a lack of memory on this side is UNREADABLE and nobody's fault.
 */
#include "lane.h"

#include "core/alloc.h"
#include "core/utf8.h"
#include "core/wire.h"

#include <inttypes.h>
#include <string.h>

/* The longest text of a failure. */
#define TEXT_MOST 4096

/* One load of a plain word that another process may write at this moment. */
#define ONCE(word) (*(const volatile __typeof__(word) *)&(word))

struct head {
    uint32_t status;
    int32_t code;
    uint64_t length;
    uint64_t segment;
    uint64_t segment_bytes;
    uint64_t place;
    uint64_t dropped;
    uint32_t mails;
};

static struct head load_head(const bhp_worker *worker)
{
    const struct bhl_reply_half *half = bhl_reply(worker);

    return (struct head){ONCE(half->status),          ONCE(half->code),          ONCE(half->length),
                         ONCE(half->segment),         ONCE(half->segment_bytes), ONCE(half->place),
                         ONCE(half->segment_dropped), ONCE(half->mails)};
}

static const void *half_data(const bhp_worker *worker)
{
    return (const unsigned char *)worker->reply_map.at + BHL_HEADER_BYTES;
}

static uint64_t half_room(const bhp_worker *worker)
{
    return worker->reply_map.bytes - BHL_HEADER_BYTES;
}

/* ---- values ---- */

/* The memory beside a message: none of it is believed to stay as it is. */
static struct bhi_wire_side side_of(const bhp_memory *view)
{
    return view != NULL ? (struct bhi_wire_side){view->map.at, view->bytes, false}
                        : (struct bhi_wire_side){NULL, 0, false};
}

static enum bhp_lane_end no_memory(uint64_t length, struct bhp_reply *reply)
{
    return bhl_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for a reply of %" PRIu64 " bytes",
                        length);
}

/* Takes over the one value that a message must be. */
static enum bhp_lane_end take(const bh_value *all, const struct bhi_wire_side *side, bool borrow,
                              uint64_t length, struct bhp_reply *reply, bool *borrowed)
{
    if (all->length != 1)
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "its reply is %" PRIu64 " values, not one",
                            all->length);
    switch (bhi_wire_own(&reply->value, &all->as.items[0], side, borrow ? borrowed : NULL)) {
    case BH_OK:
        return BHP_LANE_REPLIED;
    case BH_E_UTF8:
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply is malformed: a string beside it is not valid UTF-8");
    default:
        return no_memory(length, reply);
    }
}

/* Decodes private bytes. `view`: the segment beside them, or NULL. */
static enum bhp_lane_end decode(const bhp_worker *worker, const void *bytes, uint64_t length,
                                bhp_memory *view, bool borrow, struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = worker->nursery->max_reply_bytes};
    const struct bhi_wire_side side = side_of(view);
    struct bh_problem problem;
    bh_value all = bh_value_null();
    bool borrowed = false;

    int rc = bhi_wire_aside_view(&all, bytes, (size_t)length, view != NULL ? &side : NULL, &limits,
                                 &problem);
    if (rc == BH_E_MEMORY)
        return no_memory(length, reply);
    if (rc != BH_OK)
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "its reply is malformed: %s", problem.text);
    enum bhp_lane_end end = take(&all, &side, borrow, length, reply, &borrowed);
    bh_value_deinit(&all);
    if (borrowed && end == BHP_LANE_REPLIED)
        reply->borrowed = bhl_memory_use(view);
    return end;
}

/* ---- where the message is ---- */

/* In `room` bytes of the half at `data`. */
static enum bhp_lane_end decode_at(bhp_worker *worker, const void *data, uint64_t room,
                                   uint64_t length, bhp_memory *view, bool borrow,
                                   struct bhp_reply *reply)
{
    if (length > room)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply has %" PRIu64 " bytes where %" PRIu64 " fit", length, room);
    memcpy(worker->scratch, data, (size_t)length);
    return decode(worker, worker->scratch, length, view, borrow, reply);
}

static enum bhp_lane_end decode_in_half(bhp_worker *worker, const struct head *head,
                                        const struct bhp_call *call, struct bhp_reply *reply)
{
    return decode_at(worker, half_data(worker), half_room(worker), head->length,
                     head->segment != 0 ? worker->view : NULL, call->borrow, reply);
}

static enum bhp_lane_end decode_in_segment(bhp_worker *worker, const struct head *head,
                                           const struct bhp_call *call, struct bhp_reply *reply)
{
    size_t length = (size_t)head->length;
    bhp_memory *view = worker->view;

    unsigned char *bytes = bhi_alloc(length > 0 ? length : 1);
    if (bytes == NULL)
        return no_memory(length, reply);
    memcpy(bytes, (const unsigned char *)view->map.at + head->place, length);
    enum bhp_lane_end end = decode(worker, bytes, length, view, call->borrow, reply);
    bhi_free(bytes);
    return end;
}

static enum bhp_lane_end read_beside(bhp_worker *worker, const struct head *head,
                                     const struct bhp_call *call, struct bhp_reply *reply)
{
    bool in_half = head->place == BHL_IN_HALF;

    if (!in_half &&
        (head->place > head->segment_bytes || head->length > head->segment_bytes - head->place))
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply of %" PRIu64 " bytes is in a segment of %" PRIu64,
                            head->length, head->segment_bytes);
    enum bhp_lane_end end =
        bhl_lane_view(worker, head->segment, head->segment_bytes, head->mails, reply);
    if (end != BHP_LANE_REPLIED)
        return end;
    reply->large = true;
    return (in_half ? decode_in_half : decode_in_segment)(worker, head, call, reply);
}

/* ---- the two kinds of reply ---- */

static enum bhp_lane_end read_value(bhp_worker *worker, const struct bhp_call *call,
                                    const struct head *head, struct bhp_reply *reply)
{
    uint64_t most = worker->nursery->max_reply_bytes;

    if (head->length > most)
        return bhl_lane_say(reply, BHP_LANE_BROKEN,
                            "its reply has %" PRIu64 " bytes, and %" PRIu64 " are allowed",
                            head->length, most);
    return (head->segment != 0 ? read_beside : decode_in_half)(worker, head, call, reply);
}

static enum bhp_lane_end read_failure(int32_t code, const void *data, uint64_t room,
                                      uint64_t length, struct bhp_reply *reply)
{
    if (length > TEXT_MOST || length > room)
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "the text of its failure has %" PRIu64 " bytes",
                            length);
    char *text = bhi_alloc((size_t)length + 1);
    if (text == NULL)
        return bhl_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for the text of a failure");
    memcpy(text, data, (size_t)length);
    text[length] = '\0';
    if (!bhi_utf8_valid(text, (size_t)length) || memchr(text, '\0', (size_t)length) != NULL) {
        bhi_free(text);
        return bhl_lane_say(reply, BHP_LANE_BROKEN, "the text of its failure is not UTF-8");
    }
    reply->code = code;
    reply->text = text;
    return BHP_LANE_FAILED;
}

static enum bhp_lane_end unknown_status(uint32_t status, struct bhp_reply *reply)
{
    return bhl_lane_say(reply, BHP_LANE_BROKEN, "its reply has the unknown status %" PRIu32,
                        status);
}

static enum bhp_lane_end read_reply(bhp_worker *worker, const struct bhp_call *call,
                                    const struct head *head, struct bhp_reply *reply)
{
    switch (head->status) {
    case BHL_REPLIED:
        return read_value(worker, call, head, reply);
    case BHL_FAILED:
        return read_failure(head->code, half_data(worker), half_room(worker),
                            head->segment != 0 ? UINT64_MAX : head->length, reply);
    default:
        return unknown_status(head->status, reply);
    }
}

/** See lane.h. */
enum bhp_lane_end bhl_lane_read(bhp_worker *worker, const struct bhp_call *call,
                                struct bhp_reply *reply)
{
    struct head head = load_head(worker);

    enum bhp_lane_end end = read_reply(worker, call, &head, reply);
    if (head.mails != worker->mails && (end == BHP_LANE_REPLIED || end == BHP_LANE_FAILED)) {
        struct bhp_reply flaw = {0};
        if (bhl_lane_view(worker, 0, 0, head.mails, &flaw) != BHP_LANE_REPLIED) {
            bh_value_deinit(&reply->value);
            bhp_memory_free(reply->borrowed);
            bhi_free(reply->text);
            *reply = flaw;
            return BHP_LANE_BROKEN;
        }
    }
    if (worker->view != NULL && worker->view->id <= head.dropped)
        bhl_lane_forget(worker);
    return end;
}

/** See lane.h. */
enum bhp_lane_end bhl_lane_read_slot(bhp_worker *worker, const struct bhl_slot_head *head,
                                     const void *data, struct bhp_reply *reply)
{
    switch (head->status) {
    case BHL_REPLIED:
        return decode_at(worker, data, BHL_SLOT_BYTES, head->length, NULL, false, reply);
    case BHL_FAILED:
        return read_failure(head->code, data, BHL_SLOT_BYTES, head->length, reply);
    default:
        return unknown_status(head->status, reply);
    }
}
