/* SPDX-License-Identifier: MIT */
/*
 * Callbacks: a request as a conversation, the worker's side. protocol.h has its rules.
 *
 * Model: a handler that calls back says a turn and waits for the dispatcher's, which is the answer,
 * or a call of a method: that is served right here, nested on the handler's stack, and its answer
 * is said. What does not fit into one turn goes in pieces, through private memory on both sides, so
 * that the outer handlers' arguments stay where they are.
 *
 * Invariants: a nested answer is kept privately until its handler has returned. Lack of memory is
 * an error code of the callback, or of the nested call, and nothing else: what cannot be kept is
 * drained. Once the request is cancelled nobody waits here any more: all levels return, nothing
 * more is said, and the half of the room that the dispatcher may still read is left alone. The
 * dispatcher is trusted, but one that makes no sense ends the process, as everywhere.
 */
#include "worker_end.h"

#include "core/alloc.h"
#include "core/problem.h"
#include "worker/channel.h"

#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct bhi_channel_owner *owner;
static bool deserted; /* a turn was said whose answer nobody waits for */

/* A payload in private memory. */
struct payload {
    unsigned char *bytes; /* NULL: there was no memory */
    size_t length;
};

/* The answer of the nested request at hand. */
static struct {
    enum bhl_turn_kind kind;
    int32_t code;
    struct payload payload;
} answer;

/* ---- the room -------------------------------------------------------------------------------- */

static size_t whole_room(void)
{
    return (size_t)bhl_worker_end.request->reply_bytes - BHL_HEADER_BYTES;
}

/* Of the data, the part below the room for turns. */
static size_t lower_room(void)
{
    return whole_room() / 2 / 8 * 8;
}

void bhl_worker_turns_for(const struct bhi_channel_owner *new_owner)
{
    owner = new_owner;
}

void bhl_worker_turns_begin(void)
{
    struct bhl_worker_end *end = &bhl_worker_end;

    /* Whatever it says by now is of an earlier request. */
    end->heard = atomic_load_explicit(&end->request->turn, memory_order_relaxed);
    end->depth = 0;
    end->reply_room = whole_room();
    deserted = false;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void speak(struct bhl_turn turn)
{
    struct bhl_reply_half *half = bhl_worker_end.reply;

    turn.serial = bhl_worker_end.taken;
    turn.at = BHL_HEADER_BYTES + lower_room();
    half->said = turn;
    /* Both pair with the dispatcher's acquire loads: the number after the turn, the bell after
     * both.
     */
    atomic_fetch_add_explicit(&half->turn, 1, memory_order_release);
    atomic_fetch_add_explicit(&half->bell, 1, memory_order_release);
    syscall(SYS_futex, &half->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Waits for the dispatcher's turn. NULL: the request is cancelled, nobody waits any more. */
static const struct bhl_turn *hear(void)
{
    struct bhl_worker_end *end = &bhl_worker_end;

    while (!deserted) {
        /* Each pairs with the dispatcher's release: a bell that is newer than the look says so. */
        uint32_t bell = atomic_load_explicit(&end->request->bell, memory_order_acquire);
        uint64_t turn = atomic_load_explicit(&end->request->turn, memory_order_acquire);

        if (turn != end->heard) {
            end->heard = turn;
            if (end->request->said.serial != end->taken)
                bhl_worker_die("a turn of request %" PRIu64 " in request %" PRIu64,
                               end->request->said.serial, end->taken);
            return &end->request->said;
        }
        if (bhi_channel_cancelled(end->taken)) {
            deserted = true;
            end->reply_room = lower_room(); /* the rest may be read at this moment */
        } else {
            bhl_worker_wait(bell);
        }
    }
    return NULL;
}

/* ---- payloads -------------------------------------------------------------------------------- */

/* Marshals values. @return BH_OK or an error with a problem */
static int marshal(const bh_value *values, size_t count, struct payload *out,
                   struct bh_problem *problem)
{
    struct bh_value_limits limits = {.bytes = UINT64_MAX};
    int error = bh_wire_size(values, count, &limits, &out->length);

    out->bytes = NULL;
    if (error == BH_OK && out->length > bhl_worker_end.max_reply)
        return bhi_problem_set(problem, BH_E_TOO_LARGE, 0,
                               "%zu bytes are more than the pool's limit of %" PRIu64, out->length,
                               bhl_worker_end.max_reply);
    if (error == BH_OK && (out->bytes = bhi_alloc(out->length + 1)) == NULL)
        error = BH_E_MEMORY;
    if (error == BH_OK)
        error = bh_wire_write(out->bytes, out->length, values, count);
    if (error == BH_OK)
        return BH_OK;
    bhi_free(out->bytes);
    out->bytes = NULL;
    return bhi_problem_set(problem, error, 0, "%s", bh_error_text(error));
}

/* Says something with a payload. @return false: cancelled */
static bool tell(struct bhl_turn turn, const struct payload *payload)
{
    unsigned char *room = bhl_worker_end.reply_data + lower_room();
    size_t most = whole_room() - lower_room();
    size_t done = 0;

    turn.length = payload->length;
    if (deserted)
        return false;
    for (;;) {
        size_t left = payload->length - done;
        turn.piece = left < most ? left : most;
        if (turn.piece > 0)
            memcpy(room, payload->bytes + done, turn.piece);
        speak(turn);
        done += turn.piece;
        if (done == payload->length)
            return true;
        const struct bhl_turn *heard = hear();
        if (heard == NULL)
            return false;
        if (heard->kind != BHL_TURN_MORE)
            bhl_worker_die("turn %" PRIu32 " where more was to be said", heard->kind);
        turn.kind = BHL_TURN_PIECE;
    }
}

/* Receives the payload of a turn. @return false: cancelled, nothing to free */
static bool receive(const struct bhl_turn *turn, struct payload *out)
{
    const unsigned char *half = (const unsigned char *)bhl_worker_end.request;
    size_t done = 0;

    out->length = (size_t)turn->length;
    out->bytes = bhi_alloc(out->length + 1);
    for (;;) {
        if (turn->at > bhl_worker_end.request->bytes ||
            turn->piece > bhl_worker_end.request->bytes - turn->at ||
            turn->piece > out->length - done)
            bhl_worker_die("a piece of %" PRIu64 " bytes does not fit", turn->piece);
        if (out->bytes != NULL)
            memcpy(out->bytes + done, half + turn->at, turn->piece);
        done += turn->piece;
        if (done == out->length)
            return true;
        speak((struct bhl_turn){.kind = BHL_TURN_MORE});
        turn = hear();
        if (turn == NULL)
            break;
        if (turn->kind != BHL_TURN_PIECE || turn->piece == 0)
            bhl_worker_die("turn %" PRIu32 " where a piece was to come", turn->kind);
    }
    bhi_free(out->bytes);
    return false;
}

/* ---- nested requests ------------------------------------------------------------------------- */

bool bhl_worker_nested(void)
{
    return bhl_worker_end.depth > 0;
}

int bhl_worker_nested_reply(const bh_value *value, struct bh_problem *problem)
{
    int error = marshal(value, 1, &answer.payload, problem);

    if (error == BH_OK)
        answer.kind = BHL_TURN_REPLIED;
    return error;
}

void bhl_worker_nested_fail(int32_t code, const char *text, size_t length)
{
    answer.kind = BHL_TURN_FAILED;
    answer.code = code;
    answer.payload.bytes = bhi_alloc(length + 1);
    answer.payload.length = answer.payload.bytes != NULL ? length : 0; /* better none than no end */
    if (answer.payload.bytes != NULL)
        memcpy(answer.payload.bytes, text, length);
}

static bool refuse(int code)
{
    const struct payload nothing = {NULL, 0};

    return tell((struct bhl_turn){.kind = BHL_TURN_REFUSED, .code = code}, &nothing);
}

/* @return false: cancelled */
static bool say_answer(void)
{
    struct bhl_turn turn = {.kind = answer.kind, .code = answer.code};
    struct payload payload = answer.payload;

    memset(&answer, 0, sizeof answer);
    bool said = tell(turn, &payload);
    bhi_free(payload.bytes);
    return said;
}

/* Has a method called that the dispatcher asks for. @return false: cancelled */
static bool serve_call(const struct bhl_turn *turn)
{
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    struct bhi_request request = {.serial = bhl_worker_end.taken, .method = turn->method};
    struct bh_problem problem;
    struct payload payload;
    bh_value arguments = bh_value_null();

    if (request.method >= owner->method_count)
        bhl_worker_die("there is no method number %" PRIu32, request.method);
    if (!receive(turn, &payload))
        return false;
    int error = payload.bytes == NULL
                    ? BH_E_MEMORY
                    : bh_wire_view(&arguments, payload.bytes, payload.length, &limits, &problem);
    if (error != BH_OK && error != BH_E_MEMORY)
        bhl_worker_die("malformed arguments: %s", problem.text);
    if (error == BH_OK) {
        bh_value_get_array(&arguments, &request.arguments, &request.count);
        const struct bhl_arena_mark mark = bhl_worker_arena_mark();
        owner->request(owner->context, &request);
        bhl_worker_arena_reset(&mark);
        if (bhi_channel_forked())
            bhl_worker_die("a forked child of the worker returned from a handler");
    }
    bh_value_deinit(&arguments);
    bhi_free(payload.bytes);
    return error == BH_OK ? say_answer() : refuse(error);
}

/* ---- calling back ---------------------------------------------------------------------------- */

static int cancelled(struct bh_problem *problem)
{
    return bhi_problem_set(problem, BH_E_CANCELLED, 0, "%s", bh_error_text(BH_E_CANCELLED));
}

static int take_value(const struct payload *payload, bh_value *reply, struct bh_problem *problem)
{
    const struct bh_value_limits limits = {.bytes = UINT64_MAX};
    bh_value all;
    int error = payload->bytes == NULL
                    ? bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the answer")
                    : bh_wire_read(&all, payload->bytes, payload->length, &limits, problem);

    if (error != BH_OK)
        return error;
    if (all.length != 1)
        bhl_worker_die("an answer of %zu values", (size_t)all.length);
    *reply = all.as.items[0];
    all.as.items[0] = bh_value_null();
    bh_value_deinit(&all);
    return BH_OK;
}

/* What the dispatcher's answer means. */
static int take_answer(const struct bhl_turn *turn, bh_value *reply, struct bh_problem *problem)
{
    enum bhl_turn_kind kind = turn->kind;
    int32_t code = turn->code;
    struct payload payload;
    int error;

    if (!receive(turn, &payload))
        return cancelled(problem);
    if (kind == BHL_TURN_REPLIED)
        error = take_value(&payload, reply, problem);
    else
        error = bhi_problem_set(problem, kind == BHL_TURN_FAILED ? BH_E_FAILED : code,
                                kind == BHL_TURN_FAILED ? code : 0, "%.*s", (int)payload.length,
                                payload.bytes != NULL ? (const char *)payload.bytes : "");
    bhi_free(payload.bytes);
    return error;
}

static int await_answer(bh_value *reply, struct bh_problem *problem)
{
    for (;;) {
        const struct bhl_turn *turn = hear();

        if (turn == NULL)
            return cancelled(problem);
        switch (turn->kind) {
        case BHL_TURN_REPLIED:
        case BHL_TURN_FAILED:
        case BHL_TURN_REFUSED:
            return take_answer(turn, reply, problem);
        case BHL_TURN_CALL:
            if (!serve_call(turn))
                return cancelled(problem);
            break;
        default:
            bhl_worker_die("turn %" PRIu32 " where an answer was to come", turn->kind);
        }
    }
}

/* The name and the arguments as one message. */
static int marshal_question(const struct bhi_question *question, struct payload *payload,
                            struct bh_problem *problem)
{
    bh_value *all = bhi_alloc((question->count + 1) * sizeof *all);
    int error;

    if (all == NULL)
        return bhi_problem_set(problem, BH_E_MEMORY, 0, "no memory for the arguments");
    all[0] = bh_value_view(question->name);
    if (question->count > 0)
        memcpy(all + 1, question->arguments, question->count * sizeof *all);
    error = marshal(all, question->count + 1, payload, problem);
    bhi_free(all);
    return error;
}

int bhi_channel_call_back(const struct bhi_question *question, bh_value *reply,
                          struct bh_problem *problem)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    struct payload payload;
    int error;

    if (end->slot != NULL || end->request->callbacks == 0)
        return bhi_problem_set(problem, BH_E_NOT_FOUND, 0, "the caller lent no callbacks");
    if (end->depth >= end->request->callbacks)
        return bhi_problem_set(problem, BH_E_DEPTH, 0,
                               "callbacks nest deeper than the pool's limit of %" PRIu32,
                               end->request->callbacks);
    if (deserted || bhi_channel_cancelled(end->taken))
        return cancelled(problem);
    error = marshal_question(question, &payload, problem);
    if (error != BH_OK)
        return error;
    end->depth++;
    bool said = tell((struct bhl_turn){.kind = BHL_TURN_CALLBACK, .depth = end->depth}, &payload);
    bhi_free(payload.bytes);
    error = said ? await_answer(reply, problem) : cancelled(problem);
    end->depth--;
    return error;
}
