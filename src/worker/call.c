/* SPDX-License-Identifier: MIT */
/*
 * The call object and what a handler does with it.
 *
 * Model: an answer is encoded at once, by the channel, into memory that the dispatcher sees only
 * when the handler has returned. So the handler keeps its value, and the object needs no memory of
 * its own.
 *
 * Invariants: `answered` becomes true once and stays; nothing is encoded after that, nor while the
 * handler waits for a callback, when the one that speaks is a nested handler. A forked child
 * of the worker holds a copy of the object and may call everything here, but changes nothing.
 */
#include "call.h"

#include "core/problem.h"
#include "core/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of a failure's text. */
#define TEXT_MAX 4096

void bhi_call_init(bh_call *call, uint64_t serial, const char *method)
{
    call->serial = serial;
    call->method = method;
    call->answered = false;
    call->waits = false;
    call->thread = bhi_channel_thread();
    call->refused.code = BH_OK;
}

void bhi_call_finish(bh_call *call)
{
    bh_value nothing = bh_value_null();

    if (call->answered)
        return;
    if (call->refused.code != BH_OK)
        bh_call_fail(call, call->refused.code, "the reply could not be sent: %s",
                     call->refused.text);
    else if (bh_call_reply(call, &nothing) != BH_OK)
        bh_call_fail(call, call->refused.code, "%s", call->refused.text);
}

/* Whether nothing more can be said for this call, or not now. */
static bool cannot_speak(const bh_call *call)
{
    return call->answered || call->waits || bhi_channel_forked();
}

int bh_call_reply(bh_call *call, const bh_value *value)
{
    int error;

    if (cannot_speak(call))
        return BH_E_STATE;
    error = bhi_channel_reply(value, &call->refused);
    call->answered = error == BH_OK;
    return error;
}

int bh_call_buffer(bh_call *call, size_t bytes, void **at)
{
    struct bh_problem problem;

    *at = NULL;
    if (call->answered || bhi_channel_forked())
        return BH_E_STATE;
    return bhi_channel_buffer(bytes, at, &problem);
}

/*
 * Copies text with U+FFFD for each byte that is not UTF-8, then cuts it at a character's boundary.
 * `whole`: the text ends where its author ended it, so that an unfinished character is his too.
 */
static size_t sanitize(char out[3 * TEXT_MAX], const char *text, size_t length, bool whole)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t used = 0;

    for (;;) {
        size_t valid = bhi_utf8_valid_prefix(text, length);

        memcpy(out + used, text, valid);
        used += valid;
        text += valid;
        length -= valid;
        if (length == 0 || (!whole && bhi_utf8_is_cut(text, length)))
            break;
        memcpy(out + used, replacement, sizeof replacement - 1);
        used += sizeof replacement - 1;
        text++;
        length--;
    }
    return bhi_utf8_valid_prefix(out, used < TEXT_MAX ? used : TEXT_MAX);
}

int bh_call_fail(bh_call *call, int32_t code, const char *format, ...)
{
    char raw[TEXT_MAX + 1];
    char text[3 * TEXT_MAX];
    va_list arguments;
    int length;

    if (cannot_speak(call))
        return BH_E_STATE;
    va_start(arguments, format);
    length = vsnprintf(raw, sizeof raw, format, arguments);
    va_end(arguments);
    if (length < 0) /* a %ls that cannot be written: better its format than nothing */
        length = snprintf(raw, sizeof raw, "%s", format);
    /* It ends at the first NUL: a %c can have put one in its midst. */
    bhi_channel_fail(code, text, sanitize(text, raw, strlen(raw), length <= TEXT_MAX));
    call->answered = true;
    return BH_OK;
}

void bh_call_progress(bh_call *call, uint64_t done, uint64_t total)
{
    (void)call;
    if (!bhi_channel_forked())
        bhi_channel_progress(done, total);
}

int bh_call_partial(bh_call *call, const bh_value *value)
{
    int error;

    if (cannot_speak(call))
        return BH_E_STATE;
    error = bhi_channel_partial(call->serial, value);
    if (error == BH_OK)
        bhi_channel_alive();
    return error;
}

int bh_call_back(bh_call *call, const char *name, const bh_value *arguments, size_t count,
                 bh_value *reply, struct bh_problem *problem)
{
    const struct bhi_question question = {call->serial, name, arguments, count};

    *reply = bh_value_null();
    if (call->thread != bhi_channel_thread() || cannot_speak(call))
        return bhi_problem_set(problem, BH_E_STATE, 0,
                               "only on the handler's thread, before its answer, one at a time");
    call->waits = true;
    bhi_channel_alive();
    int error = bhi_channel_call_back(&question, reply, problem);
    bhi_channel_alive();
    call->waits = false;
    return error;
}

bool bh_call_cancelled(const bh_call *call)
{
    return bhi_channel_cancelled(call->serial);
}

uint64_t bh_call_serial(const bh_call *call)
{
    return call->serial;
}

const char *bh_call_method(const bh_call *call)
{
    return call->method;
}

int bh_worker_thread_enter(void)
{
    return bhi_channel_thread_enter();
}

void bh_worker_thread_leave(void)
{
    bhi_channel_thread_leave();
}
