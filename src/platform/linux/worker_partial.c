/* SPDX-License-Identifier: MIT */
/*
 * Publishing partial replies.
 *
 * Model: core/partial.c writes, into the part of the reply half's file that lies behind the half.
 * Its pages are asked for when they are first needed, so that lack of memory is an error code.
 */
#include "worker_end.h"

#include "core/partial.h"
#include "worker/channel.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static bool populated;

static bool populate(void *memory, size_t size)
{
    int error;

    do
        error = madvise(memory, size, MADV_POPULATE_WRITE);
    while (error != 0 && errno == EINTR);
    return error == 0;
}

int bhi_channel_partial(uint64_t serial, const bh_value *value)
{
    struct bhl_worker_end *end = &bhl_worker_end;
    size_t room = (size_t)end->request->partial_bytes;
    size_t most = (size_t)end->request->max_partial_bytes;

    if (room == 0)
        return BH_E_TOO_LARGE;
    if (!populated && !populate(end->partial_data, 2 * room))
        return BH_E_MEMORY;
    populated = true;
    return bhi_partial_put(&end->reply->partial, end->partial_data, room, most, serial, value);
}
