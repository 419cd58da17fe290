/* SPDX-License-Identifier: MIT */
/*
 * What a worker writes to stdout and stderr.
 *
 * Model: a pipe of our own whose reading end is overlapped (anonymous pipes cannot be); one read is
 * always under way, and its completion routine runs on the supervisor's thread, inside an alertable
 * wait. While something is held that the core has not taken, nothing is read: a full pipe stops a
 * worker that writes more than anybody reads.
 *
 * Invariants: `reading` says who owns the buffer. The pipe is read until it is empty, never until
 * its end: a process that the worker started may hold it open. Its name is random, it has one
 * instance, and we connect to it ourselves before anybody else could.
 */
#include "nursery.h"

#include <string.h>

#define PIPE_BYTES 65536

/* After EXITED, which must be the last event, the core reads without being told. */
static void announce(bhp_worker *worker)
{
    if (!atomic_load(&worker->ended))
        bhw_queue(worker, BHW_PENDING_OUTPUT);
}

/* Runs on the supervisor's thread, inside an alertable wait. */
static void CALLBACK on_read(DWORD error, DWORD bytes, OVERLAPPED *overlapped)
{
    struct bhw_output *output = overlapped->hEvent;

    output->reading = false;
    output->first = 0;
    output->held = error == ERROR_SUCCESS ? bytes : 0;
    output->ended = error != ERROR_SUCCESS;
    if (output->held > 0)
        announce(output->worker);
    else
        bhw_output_read(output); /* somebody wrote nothing; or the end, which stops this */
}

/** See nursery.h. */
void bhw_output_read(struct bhw_output *output)
{
    if (output->reading || output->ended || output->held > 0 || output->pipe == NULL)
        return;
    output->overlapped = (OVERLAPPED){.hEvent = output}; /* ReadFileEx leaves it to us */
    output->reading = ReadFileEx(output->pipe, output->bytes, sizeof(output->bytes),
                                 &output->overlapped, on_read);
    output->ended = !output->reading;
}

static int make_pipe(bhp_worker *worker, HANDLE *client, struct bh_problem *problem)
{
    SECURITY_ATTRIBUTES *attributes = &worker->nursery->security.attributes;
    WCHAR name[BHW_NAME_CHARS];

    bhw_print(name, BHW_COUNT(name), "\\\\.\\pipe\\bulkhead-%lu-%016llx%016llx",
              (unsigned long)GetCurrentProcessId(), (unsigned long long)bhw_random(),
              (unsigned long long)bhw_random());
    HANDLE pipe = CreateNamedPipeW(
        name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
        PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_REJECT_REMOTE_CLIENTS, 1, 0, PIPE_BYTES, 0,
        attributes);
    if (pipe == INVALID_HANDLE_VALUE)
        return bhw_problem_last(problem, "a pipe for the worker's output");
    worker->output.pipe = pipe;
    /* FILE_READ_ATTRIBUTES: C libraries ask what kind of file their stdout is. */
    HANDLE end = CreateFileW(name, GENERIC_WRITE | FILE_READ_ATTRIBUTES, 0, NULL, OPEN_EXISTING,
                             FILE_ATTRIBUTE_NORMAL, NULL);
    if (end == INVALID_HANDLE_VALUE)
        return bhw_problem_last(problem, "the worker's end of its output pipe");
    *client = end;
    return BH_OK;
}

/** See nursery.h. */
int bhw_output_make(bhp_worker *worker, HANDLE *client, struct bh_problem *problem)
{
    worker->output.worker = worker;
    int rc = make_pipe(worker, client, problem);
    if (rc == BH_OK)
        bhw_output_read(&worker->output);
    return rc;
}

/** See nursery.h. */
void bhw_output_close(struct bhw_output *output)
{
    output->ended = true;
    if (output->reading)
        CancelIoEx(output->pipe, &output->overlapped);
    while (output->reading) /* until the completion routine has run: then the buffer is ours */
        SleepEx(INFINITE, TRUE);
    bhw_close(&output->pipe);
}

/** See platform.h. */
size_t bhp_worker_output(bhp_worker *worker, char *buffer, size_t size)
{
    struct bhw_output *output = &worker->output;
    size_t length = 0;

    while (length < size) {
        bhw_output_read(output);
        SleepEx(0, TRUE); /* lets the completion routine of a read that is done run */
        if (output->held == 0)
            break;
        size_t part = size - length < output->held ? size - length : output->held;
        memcpy(buffer + length, output->bytes + output->first, part);
        output->first += (DWORD)part;
        output->held -= (DWORD)part;
        length += part;
    }
    if (output->held > 0)
        announce(worker);
    return length;
}
