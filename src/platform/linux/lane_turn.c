/* SPDX-License-Identifier: MIT */
/*
 * Callbacks: a request as a conversation, the dispatcher's side. protocol.h has its rules.
 *
 * Model: waiting for the reply is waiting for the worker to speak. Its turn at the outermost level
 * is a callback: it is received, decoded, answered by the core's hook, and the answer said. A
 * nested call from inside the hook says a CALL and listens in the same way, so that the nesting of
 * the conversation is the nesting of the functions here.
 *
 * Invariants: each word of the worker's is loaded once and checked; the payload is copied once and
 * decoded from private memory, so that what a callback is given cannot change. The depth is counted
 * here: no worker can make this side recurse further than the core allows. When the conversation is
 * over, for whatever reason, nothing is said or heard any more, and all levels end with that
 * reason. Memory that this side lacks is never the worker's fault: the payload is drained and the
 * worker is told.
 */
#include "lane.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "core/utf8.h"

#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The longest text of a failure. */
#define TEXT_MOST 4096
/* Where the dispatcher's data begin: a cache line. */
#define ALIGNMENT 64

/* One load of a plain word that another process may write at this moment. */
#define ONCE(word) (*(const volatile __typeof__(word) *)&(word))

/** See lane.h. */
void bhl_talk_begin(struct bhl_talk *talk, bhp_worker *worker, const struct bhp_call *call,
                    const struct bhl_placed *placed, struct bhp_reply *reply)
{
    size_t used = placed->segment == 0 ? (size_t)placed->length : 0;
    size_t at = (BHL_HEADER_BYTES + used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    *talk = (struct bhl_talk){
        .worker = worker,
        .call = call,
        .reply = reply,
        .room_at = offsetof(struct bhl_request_half, aside),
        .room = BHL_ASIDE_BYTES,
        /* Whatever it says by now is of an earlier request. */
        .heard = atomic_load_explicit(&bhl_reply(worker)->turn, memory_order_relaxed),
    };
    if (at + BHL_ASIDE_BYTES > worker->request_map.bytes)
        return;
    talk->room_at = at;
    talk->room = worker->request_map.bytes - at;
}

/* ---- the end of it ---- */

static void finish(struct bhl_talk *talk, enum bhp_lane_end end)
{
    talk->over = true;
    talk->end = end;
}

#define BREAK(talk, ...) finish(talk, bhl_lane_say((talk)->reply, BHP_LANE_BROKEN, __VA_ARGS__))

/* ---- speaking ---- */

static void speak(const struct bhl_talk *talk, struct bhl_turn turn)
{
    struct bhl_request_half *half = bhl_request(talk->worker);

    turn.serial = talk->call->serial;
    turn.at = talk->room_at;
    half->said = turn;
    /* Both pair with the worker's acquire loads: the number after the turn, the bell after both. */
    atomic_fetch_add_explicit(&half->turn, 1, memory_order_release);
    atomic_fetch_add_explicit(&half->bell, 1, memory_order_release);
    syscall(SYS_futex, &half->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- hearing ---- */

static struct bhl_turn load(const struct bhl_reply_half *half)
{
    return (struct bhl_turn){ONCE(half->said.serial), ONCE(half->said.kind),
                             ONCE(half->said.depth),  ONCE(half->said.method),
                             ONCE(half->said.code),   ONCE(half->said.length),
                             ONCE(half->said.piece),  ONCE(half->said.at)};
}

/* Whether a turn is of another request: one that came too late, once. */
static bool is_stale(struct bhl_talk *talk, const struct bhl_turn *turn)
{
    return turn->serial != talk->call->serial && talk->stale++ == 0;
}

/* Waits for the worker's next turn and loads it. @return false: there is none, it is over */
static bool hear(struct bhl_talk *talk, struct bhl_turn *turn)
{
    const struct bhl_reply_half *half = bhl_reply(talk->worker);
    uint64_t last;

    do {
        enum bhl_heard heard = bhl_lane_listen(talk->worker, talk->call, talk->heard);
        if (heard != BHL_HEARD_TURN) {
            finish(talk, heard == BHL_HEARD_COMMIT ? BHP_LANE_REPLIED : BHP_LANE_LOST);
            return false;
        }
        last = talk->heard;
        /* Pairs with the worker's release store. */
        talk->heard = atomic_load_explicit(&half->turn, memory_order_acquire);
        *turn = load(half);
    } while (is_stale(talk, turn));
    if (talk->heard == last + 1 && turn->serial == talk->call->serial)
        return true;
    BREAK(talk, "it spoke out of turn");
    return false;
}

/* Copies one piece, if it makes sense. */
static bool take_piece(struct bhl_talk *talk, const struct bhl_turn *turn, unsigned char *to,
                       uint64_t left)
{
    const struct bhl_mapping *map = &talk->worker->reply_map;

    if (turn->piece > left || (turn->piece == 0 && left > 0) || turn->at < BHL_HEADER_BYTES ||
        turn->at > map->bytes || turn->piece > map->bytes - turn->at) {
        BREAK(talk, "a piece of %" PRIu64 " bytes at %" PRIu64 " of its turn makes no sense",
              turn->piece, turn->at);
        return false;
    }
    if (to != NULL)
        memcpy(to, (const unsigned char *)map->at + turn->at, (size_t)turn->piece);
    return true;
}

/* Receives the payload of a turn. @param[out] bytes to be freed; NULL: no memory for it
 * @return false: it is over */
static bool receive(struct bhl_talk *talk, const struct bhl_turn *first, uint64_t most,
                    unsigned char **bytes)
{
    struct bhl_turn turn = *first;
    uint64_t length = turn.length;

    *bytes = NULL;
    if (length > most) {
        BREAK(talk, "it says %" PRIu64 " bytes, and %" PRIu64 " are allowed", length, most);
        return false;
    }
    unsigned char *memory = bhi_alloc((size_t)length + 1);
    for (uint64_t got = 0;;) {
        if (!take_piece(talk, &turn, memory != NULL ? memory + got : NULL, length - got))
            break;
        got += turn.piece;
        if (got == length) {
            *bytes = memory;
            return true;
        }
        speak(talk, (struct bhl_turn){.kind = BHL_TURN_MORE});
        if (!hear(talk, &turn))
            break;
        if (turn.kind != BHL_TURN_PIECE) {
            BREAK(talk, "it spoke out of turn");
            break;
        }
    }
    bhi_free(memory);
    return false;
}

/* ---- saying much ---- */

/* Says something with a payload, in as many pieces as it takes. */
static void tell(struct bhl_talk *talk, struct bhl_turn turn, const void *bytes, size_t size)
{
    unsigned char *room = (unsigned char *)talk->worker->request_map.at + talk->room_at;
    struct bhl_turn heard;
    size_t done = 0;

    turn.length = size;
    for (;;) {
        size_t piece = size - done < talk->room ? size - done : talk->room;
        if (piece > 0)
            memcpy(room, (const unsigned char *)bytes + done, piece);
        turn.piece = piece;
        speak(talk, turn);
        done += piece;
        if (done == size || !hear(talk, &heard))
            return;
        if (heard.kind != BHL_TURN_MORE) {
            BREAK(talk, "it spoke out of turn");
            return;
        }
        turn.kind = BHL_TURN_PIECE;
    }
}

static void tell_text(struct bhl_talk *talk, enum bhl_turn_kind kind, int32_t code,
                      const char *text)
{
    size_t length = text != NULL ? bhi_utf8_valid_prefix(text, strlen(text)) : 0;

    tell(talk, (struct bhl_turn){.kind = kind, .code = code}, text,
         length < TEXT_MOST ? length : TEXT_MOST);
}

/* The same for values. Nothing was said unless it returns BH_OK. */
static int tell_values(struct bhl_talk *talk, struct bhl_turn turn, const bh_value *values,
                       size_t count)
{
    struct bh_value_limits limits = {.bytes = talk->worker->nursery->max_request_bytes};
    size_t size;
    int rc = bh_wire_size(values, count, &limits, &size);

    if (rc != BH_OK)
        return rc;
    if (size <= talk->room) {
        rc = bh_wire_write((unsigned char *)talk->worker->request_map.at + talk->room_at, size,
                           values, count);
        turn.length = turn.piece = size;
        if (rc == BH_OK)
            speak(talk, turn);
        return rc;
    }
    void *bytes = bhi_alloc(size);
    rc = bytes == NULL ? BH_E_MEMORY : bh_wire_write(bytes, size, values, count);
    if (rc == BH_OK)
        tell(talk, turn, bytes, size);
    bhi_free(bytes);
    return rc;
}

/* ---- callbacks ---- */

/* Finds the flaws of what should be a name and arguments. @return whether the name was taken */
static const char *name_of(const bh_value *all)
{
    const bh_value *first = all->as.items;

    if (all->length == 0 || first->type != BH_STRING ||
        memchr(first->as.string, '\0', first->length) != NULL)
        return NULL;
    return first->as.string;
}

static void answer(struct bhl_talk *talk, struct bhp_callback *callback)
{
    struct bhl_turn turn = {.kind = BHL_TURN_REPLIED};
    int rc;

    if (callback->end != BHP_CALLBACK_REPLIED) {
        tell_text(talk, callback->end == BHP_CALLBACK_FAILED ? BHL_TURN_FAILED : BHL_TURN_REFUSED,
                  callback->code, callback->text);
        return;
    }
    rc = tell_values(talk, turn, &callback->value, 1);
    if (rc != BH_OK)
        tell_text(talk, BHL_TURN_REFUSED, rc, bh_error_text(rc));
}

static void run(struct bhl_talk *talk, const char *name, const bh_value *arguments, size_t count)
{
    struct bhp_callback callback = {.name = name,
                                    .arguments = arguments,
                                    .count = count,
                                    .depth = ++talk->depth,
                                    .lane = talk,
                                    .value = bh_value_null()};

    talk->call->callback(talk->call->callback_context, &callback);
    talk->depth--;
    if (!talk->over)
        answer(talk, &callback);
    bh_value_deinit(&callback.value);
    bhi_free(callback.text);
}

static void serve_values(struct bhl_talk *talk, const unsigned char *bytes, size_t length)
{
    struct bh_value_limits limits = {.bytes = talk->worker->nursery->max_reply_bytes};
    struct bh_problem problem;
    bh_value all = bh_value_null();
    int rc = bytes == NULL ? BH_E_MEMORY : bh_wire_read(&all, bytes, length, &limits, &problem);

    if (rc == BH_E_MEMORY) {
        tell_text(talk, BHL_TURN_REFUSED, rc, "the dispatcher has no memory for the arguments");
        return;
    }
    if (rc != BH_OK) {
        BREAK(talk, "its callback is malformed: %s", problem.text);
        return;
    }
    const char *name = name_of(&all);
    if (name != NULL)
        run(talk, name, all.as.items + 1, all.length - 1);
    else
        BREAK(talk, "its callback has no name");
    bh_value_deinit(&all);
}

static void serve(struct bhl_talk *talk, const struct bhl_turn *turn)
{
    unsigned char *bytes;

    if (talk->call->callback == NULL) {
        BREAK(talk, "it called back, and was lent no callbacks");
    } else if (turn->kind != BHL_TURN_CALLBACK) {
        BREAK(talk, "it spoke out of turn");
    } else if (turn->depth != talk->depth + 1 || turn->depth > talk->call->callback_depth) {
        BREAK(talk, "it called back at depth %" PRIu32 ", after %" PRIu32 " of at most %" PRIu32,
              turn->depth, talk->depth, talk->call->callback_depth);
    } else if (receive(talk, turn, talk->worker->nursery->max_reply_bytes, &bytes)) {
        serve_values(talk, bytes, (size_t)turn->length);
        bhi_free(bytes);
    }
}

/** See lane.h. */
enum bhp_lane_end bhl_talk_wait(struct bhl_talk *talk)
{
    struct bhl_turn turn;

    while (!talk->over) {
        if (hear(talk, &turn))
            serve(talk, &turn);
    }
    return talk->end;
}

/* ---- nested calls ---- */

static enum bhp_lane_end read_value(struct bhl_talk *talk, const unsigned char *bytes,
                                    size_t length, struct bhp_reply *reply)
{
    struct bh_value_limits limits = {.bytes = talk->worker->nursery->max_reply_bytes};
    struct bh_problem problem;
    bh_value all = bh_value_null();
    int rc = bytes == NULL ? BH_E_MEMORY : bh_wire_read(&all, bytes, length, &limits, &problem);

    if (rc == BH_E_MEMORY)
        return bhl_lane_say(reply, BHP_LANE_UNREADABLE, "no memory for a reply of %zu bytes",
                            length);
    bool one = rc == BH_OK && all.length == 1;
    if (one) {
        reply->value = all.as.items[0];
        all.as.items[0] = bh_value_null();
    } else {
        BREAK(talk, "its reply to a nested call is malformed: %s",
              rc == BH_OK ? "not one value" : problem.text);
    }
    bh_value_deinit(&all);
    return one ? BHP_LANE_REPLIED : BHP_LANE_LOST;
}

static enum bhp_lane_end read_text(struct bhl_talk *talk, const struct bhl_turn *turn,
                                   const unsigned char *bytes, struct bhp_reply *reply)
{
    const char *text = bytes != NULL ? (const char *)bytes : "";
    size_t length = bytes != NULL ? (size_t)turn->length : 0;

    if (!bhi_utf8_valid(text, length) || memchr(text, '\0', length) != NULL) {
        BREAK(talk, "the text of its failure is not UTF-8");
        return BHP_LANE_LOST;
    }
    reply->code = turn->code;
    return bhl_lane_say(reply, turn->kind == BHL_TURN_FAILED ? BHP_LANE_FAILED : BHP_LANE_MEMORY,
                        "%.*s", (int)length, text);
}

/* Listens until the answer comes; the callbacks that come before it are served. */
static enum bhp_lane_end await_answer(struct bhl_talk *talk, struct bhp_reply *reply)
{
    struct bhl_turn turn;
    unsigned char *bytes;
    enum bhp_lane_end end = BHP_LANE_LOST;

    do {
        if (!hear(talk, &turn))
            return BHP_LANE_LOST;
        if (turn.kind == BHL_TURN_CALLBACK)
            serve(talk, &turn);
    } while (turn.kind == BHL_TURN_CALLBACK && !talk->over);
    if (talk->over)
        return BHP_LANE_LOST;
    if (turn.kind == BHL_TURN_REPLIED) {
        if (!receive(talk, &turn, talk->worker->nursery->max_reply_bytes, &bytes))
            return BHP_LANE_LOST;
        end = read_value(talk, bytes, (size_t)turn.length, reply);
        bhi_free(bytes);
    } else if (turn.kind == BHL_TURN_FAILED || turn.kind == BHL_TURN_REFUSED) {
        if (!receive(talk, &turn, TEXT_MOST, &bytes))
            return BHP_LANE_LOST;
        end = read_text(talk, &turn, bytes, reply);
        bhi_free(bytes);
    } else {
        BREAK(talk, "it spoke out of turn");
    }
    return end;
}

/** See platform.h. */
enum bhp_lane_end bhp_lane_nested(struct bhp_callback *callback, const char *method,
                                  const bh_value *arguments, size_t argument_count,
                                  struct bhp_reply *reply)
{
    struct bhl_talk *talk = callback->lane;
    int64_t position = bhi_methods_find(&talk->worker->methods, method);
    struct bhl_turn turn = {.kind = BHL_TURN_CALL, .method = (uint32_t)position};

    if (talk->over)
        return BHP_LANE_LOST;
    if (position < 0)
        return BHP_LANE_NO_METHOD;
    switch (tell_values(talk, turn, arguments, argument_count)) {
    case BH_OK:
        return talk->over ? BHP_LANE_LOST : await_answer(talk, reply);
    case BH_E_TOO_LARGE:
        return bhl_lane_say(reply, BHP_LANE_TOO_LARGE,
                            "the arguments of %.100s are too large: more than %" PRIu64
                            " bytes, or more values than a message can hold",
                            method, talk->worker->nursery->max_request_bytes);
    case BH_E_MEMORY:
        return BHP_LANE_MEMORY;
    default:
        return BHP_LANE_INVALID;
    }
}
