/* SPDX-License-Identifier: MIT */
/*
 * The fake's shared memory: a block of the heap with one user.
 */
#include "internal.h"

#include "core/alloc.h"

#include <string.h>

struct bhp_memory {
    struct bhp_worker *lender; /* a reply of which is borrowed; NULL: none */
    uint64_t bytes;
    unsigned char at[];
};

/** See platform.h. */
int bhp_memory_new(bhp_memory **out, uint64_t bytes)
{
    bhp_memory *memory = bhi_alloc(sizeof(*memory) + (size_t)bytes);

    *out = memory;
    if (!memory)
        return BH_E_MEMORY;
    memory->lender = NULL;
    memory->bytes = bytes;
    memset(memory->at, 0, (size_t)bytes);
    bhf_world.memories++;
    return BH_OK;
}

/** See platform.h. */
void *bhp_memory_at(const bhp_memory *memory)
{
    return (void *)memory->at;
}

/** See platform.h. */
uint64_t bhp_memory_bytes(const bhp_memory *memory)
{
    return memory->bytes;
}

/** See platform.h. */
void bhp_memory_free(bhp_memory *memory)
{
    if (!memory)
        return;
    if (memory->lender)
        memory->lender->lent = NULL;
    bhf_world.memories--;
    bhi_free(memory);
}

/** See internal.h. */
bool bhf_lend(struct bhp_worker *worker, struct bhp_reply *reply)
{
    static const char text[] = "borrowed";

    if (bhp_memory_new(&reply->borrowed, sizeof(text)))
        return false;
    memcpy(reply->borrowed->at, text, sizeof(text));
    reply->value = bh_value_view_bytes(reply->borrowed->at, sizeof(text) - 1);
    reply->borrowed->lender = worker;
    worker->lent = reply->borrowed;
    return true;
}

/** See internal.h. */
void bhf_part(struct bhp_worker *worker)
{
    if (worker->lent)
        worker->lent->lender = NULL;
    worker->lent = NULL;
}

/** See platform.h. */
void bhp_lane_trim(bhp_worker *worker, const bhp_memory *in_use, bhp_memory *trimmed[BHP_TRIMMED])
{
    (void)in_use;
    (void)trimmed;
    bhf_insist(!worker->lane, "only a lane that rests is trimmed");
    bhf_insist(!worker->lent, "what is borrowed is not trimmed");
    worker->keeps = false;
    bhf_world.trims++;
}
