/* SPDX-License-Identifier: MIT */
/*
 * Death records and results for people (one line) and for machines (a map that becomes JSON).
 *
 * Invariant: the names in the maps are public interface; docs and tests hold them.
 */
#include "platform.h"
#include "alloc.h"
#include "loan.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- one line -------------------------------------------------------------------------------- */

struct line {
    char *text;
    size_t size;
    size_t length;
};

static void add(struct line *line, const char *format, ...) BH_PRINTF(2, 3);
static void add(struct line *line, const char *format, ...)
{
    va_list arguments;

    if (line->length >= line->size)
        return;
    va_start(arguments, format);
    int written =
        vsnprintf(line->text + line->length, line->size - line->length, format, arguments);
    va_end(arguments);
    if (written > 0)
        line->length += (size_t)written;
}

static const char *when(enum bh_phase phase)
{
    switch (phase) {
    case BH_PHASE_START_UP:
        return "during start-up";
    case BH_PHASE_REQUEST:
        return "during a request";
    default:
        return "between requests";
    }
}

/* That exit() was not used is known only of a process in which our hook was installed: one that was
 * ready once. */
static const char *way_out(const struct bh_death *death)
{
    if (death->exiting)
        return " through exit()";
    return death->phase == BH_PHASE_START_UP ? "" : " without exit()";
}

/* -1 says that it did not; but a process may also exit with it, where codes have 32 bits. */
static bool ended_by_exit(const struct bh_death *death)
{
    return death->exit_code != -1 || death->cause == BH_CAUSE_EXIT;
}

static void add_evidence(struct line *line, const struct bh_death *death)
{
    if (death->stack_overflow)
        add(line, ": stack overflow");
    if (death->signal)
        add(line, ", %s", death->signal_name[0] ? death->signal_name : "signal");
    if (death->exception)
        add(line, ", exception 0x%08x", (unsigned)death->exception);
    if (death->has_fault && death->cause == BH_CAUSE_FAULT)
        add(line, " at address 0x%llx", (unsigned long long)death->address);
    if (death->has_fault && death->thread_id != (uint64_t)death->pid)
        add(line, " in thread %llu", (unsigned long long)death->thread_id);
    if (ended_by_exit(death))
        add(line, ", code %d%s", death->exit_code, way_out(death));
    if (death->sender_pid)
        add(line, ", sent by process %lld", (long long)death->sender_pid);
    if (death->cause == BH_CAUSE_MEMORY_LIMIT && death->limit_bytes)
        add(line, ", %llu MiB used of %llu allowed",
            (unsigned long long)(death->peak_rss_bytes >> 20),
            (unsigned long long)(death->limit_bytes >> 20));
    if (death->syscall >= 0)
        add(line, ", system call %s (%d)", death->syscall_name, death->syscall);
    if (death->detail[0])
        add(line, ": %s", death->detail);
    if (death->dump[0])
        add(line, ", dumped to %s", death->dump);
}

char *bh_death_describe(const struct bh_death *death, char *text, size_t size)
{
    struct line line = {text, size, 0};

    if (size > 0)
        *text = '\0';
    if (death->cause == BH_CAUSE_NOT_STARTED) {
        add(&line, "the worker was not started: %s", death->detail);
        return text;
    }
    add(&line, "worker %llu (pid %lld) %s %s: %s", (unsigned long long)death->cookie,
        (long long)death->pid, death->cause == BH_CAUSE_QUIT ? "left" : "died", when(death->phase),
        bh_cause_name(death->cause));
    add_evidence(&line, death);
    return text;
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* Sets a key unless something failed before; frees the value if it cannot be kept. */
static int put(int before, bh_value *map, const char *key, bh_value value)
{
    int result = before ? before : bh_map_set(map, key, &value);

    if (result)
        bh_value_deinit(&value);
    return result;
}

static int put_text(int before, bh_value *map, const char *key, const char *text)
{
    bh_value value;

    if (before)
        return before;
    int result = bh_value_new_string(&value, text, strlen(text));
    return put(result, map, key, value);
}

/* Text that may be anything: bytes that are not UTF-8 become U+FFFD. */
static int put_bytes_as_text(int before, bh_value *map, const char *key, const char *bytes,
                             size_t length)
{
    bh_value value;
    size_t used = 0;

    if (before)
        return before;
    char *text = bhi_alloc(3 * length + 1);
    if (!text)
        return BH_E_MEMORY;
    while (length > 0) {
        size_t good = bhi_utf8_valid_prefix(bytes, length);
        memcpy(text + used, bytes, good);
        used += good;
        bytes += good;
        length -= good;
        if (length > 0) {
            used += bhi_utf8_encode(0xFFFD, text + used);
            bytes++;
            length--;
        }
    }
    int result = bh_value_new_string(&value, text, used);
    bhi_free(text);
    return put(result, map, key, value);
}

static int put_hex(int before, bh_value *map, const char *key, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)number);
    return put_text(before, map, key, text);
}

static int put_number(int before, bh_value *map, const char *key, uint64_t number)
{
    return put(before, map, key,
               number <= INT64_MAX ? bh_value_int64((int64_t)number) : bh_value_uint64(number));
}

static int put_registers(int before, bh_value *map, const struct bh_death *death)
{
    bh_value registers = bh_value_map();
    int result = before;

    for (unsigned i = 0; i < death->register_count && i < BH_REGISTERS_MAX; i++) {
        const char *name = bh_register_name(death->first_register + i);
        if (name)
            result = put_hex(result, &registers, name, death->registers[i]);
    }
    return put(result, map, "registers", registers);
}

static int put_fault(int before, bh_value *map, const struct bh_death *death)
{
    int result = put(before, map, "stack_overflow", bh_value_bool(death->stack_overflow));

    result = put_hex(result, map, "address", death->address);
    result = put_hex(result, map, "instruction", death->instruction);
    result = put_hex(result, map, "stack_pointer", death->stack_pointer);
    result = put_number(result, map, "thread_id", death->thread_id);
    result = put(result, map, "signal_code", bh_value_int64(death->signal_code));
    return put_registers(result, map, death);
}

static int put_end(int before, bh_value *map, const struct bh_death *death)
{
    int result = before;

    if (death->signal) {
        result = put_text(result, map, "signal", death->signal_name);
        result = put(result, map, "signal_number", bh_value_int64(death->signal));
    }
    if (death->exception)
        result = put_hex(result, map, "exception", death->exception);
    if (ended_by_exit(death)) {
        result = put(result, map, "exit_code", bh_value_int64(death->exit_code));
        result = put(result, map, "exiting", bh_value_bool(death->exiting));
    }
    if (death->has_fault)
        result = put_fault(result, map, death);
    if (death->sender_pid) {
        result = put(result, map, "sender_pid", bh_value_int64(death->sender_pid));
        result = put(result, map, "sender_uid", bh_value_int64(death->sender_uid));
    }
    if (death->limit_bytes)
        result = put_number(result, map, "limit_bytes", death->limit_bytes);
    if (death->syscall >= 0) {
        result = put(result, map, "syscall", bh_value_int64(death->syscall));
        result = put_text(result, map, "syscall_name", death->syscall_name);
    }
    if (death->os_error)
        result = put(result, map, "os_error", bh_value_int64(death->os_error));
    return result;
}

static int put_chunks(int before, bh_value *map, const struct bh_death *death)
{
    bh_value chunks = bh_value_array();
    int result = before;

    for (size_t i = 0; i < death->chunk_count; i++) {
        bh_value chunk = bh_value_map();
        result = put_number(result, &chunk, "first_serial", death->chunks[i].first_serial);
        result = put_number(result, &chunk, "last_serial", death->chunks[i].last_serial);
        result = put_number(result, &chunk, "offset", death->chunks[i].offset);
        result = put_number(result, &chunk, "length", death->chunks[i].length);
        if (!result)
            result = bh_array_push(&chunks, &chunk);
        bh_value_deinit(&chunk);
    }
    return put(result, map, "output_chunks", chunks);
}

int bh_death_to_value(const struct bh_death *death, bh_value *out)
{
    bh_value map = bh_value_map();
    char line[512];
    int result = put_text(BH_OK, &map, "phase", bh_phase_name(death->phase));

    result = put_text(result, &map, "cause", bh_cause_name(death->cause));
    result = put_end(result, &map, death);
    result = put(result, &map, "pid", bh_value_int64(death->pid));
    result = put_number(result, &map, "cookie", death->cookie);
    result = put_number(result, &map, "serial", death->serial);
    result = put_number(result, &map, "served", death->served);
    result = put_number(result, &map, "uptime_ms", death->uptime_ms);
    result = put_number(result, &map, "peak_rss_bytes", death->peak_rss_bytes);
    result = put_number(result, &map, "max_rss_bytes", death->max_rss_bytes);
    result = put_number(result, &map, "user_us", death->user_us);
    result = put_number(result, &map, "system_us", death->system_us);
    if (death->detail[0])
        result = put_bytes_as_text(result, &map, "detail", death->detail, strlen(death->detail));
    if (death->dump[0])
        result = put_bytes_as_text(result, &map, "dump", death->dump, strlen(death->dump));
    bh_death_describe(death, line, sizeof(line));
    result = put_bytes_as_text(result, &map, "text", line, strlen(line));
    result = put_bytes_as_text(result, &map, "output", death->output ? death->output : "",
                               death->output_length);
    result = put_number(result, &map, "output_dropped", death->output_dropped);
    if (death->chunk_count)
        result = put_chunks(result, &map, death);
    if (result) {
        bh_value_deinit(&map);
        map = bh_value_null();
    }
    *out = map;
    return result;
}

/* What there was when it ended without an answer. */
static int put_partial(int before, bh_value *map, const struct bh_result *result)
{
    bh_value value = bh_value_null();

    if (before || !result->partial)
        return before;
    before = bh_value_copy(&value, &result->reply);
    before = put(before, map, "partial", bh_value_bool(true));
    return put(before, map, "reply", value);
}

static int put_answer(int before, bh_value *map, const struct bh_result *result)
{
    const char *text = result->text ? result->text : "";
    bh_value value = bh_value_null();

    if (before)
        return before;
    switch (result->outcome) {
    case BH_OUTCOME_REPLIED:
        before = bh_value_copy(&value, &result->reply);
        return put(before, map, "reply", value);
    case BH_OUTCOME_FAILED:
        value = bh_value_map();
        before = put(before, &value, "code", bh_value_int64(result->code));
        before = put_bytes_as_text(before, &value, "text", text, strlen(text));
        return put(before, map, "error", value);
    case BH_OUTCOME_REFUSED:
        before = put_text(before, map, "reason", bh_refusal_name(result->refusal));
        return put_bytes_as_text(before, map, "text", text, strlen(text));
    default:
        return put_partial(before, map, result);
    }
}

int bh_result_to_value(const struct bh_result *result, bh_value *out)
{
    bh_value map = bh_value_map();
    bh_value death = bh_value_null();
    int error = put_text(BH_OK, &map, "outcome", bh_outcome_name(result->outcome));

    error = put_text(error, &map, "delivery", bh_delivery_name(result->delivery));
    error = put_answer(error, &map, result);
    if (result->has_death) {
        if (!error)
            error = bh_death_to_value(&result->death, &death);
        error = put(error, &map, "death", death);
    }
    error = put_number(error, &map, "serial", result->serial);
    error = put(error, &map, "attempts", bh_value_int64(result->attempts));
    error = put_number(error, &map, "elapsed_us", result->elapsed_us);
    error = put_number(error, &map, "queued_us", result->queued_us);
    if (error) {
        bh_value_deinit(&map);
        map = bh_value_null();
    }
    *out = map;
    return error;
}

void bh_result_deinit(struct bh_result *result)
{
    if (!result)
        return;
    bh_value_deinit(&result->reply);
    bhi_loan_return(result->loan);
    bh_free(result->text);
    bh_death_deinit(&result->death);
    memset(result, 0, sizeof(*result));
}
