/* SPDX-License-Identifier: MIT */
/*
 * The ticket: PREFIX POOL ',' COOKIE ',' PID.
 *
 * Model: strict. The text comes from the dispatcher's own code, so anything unexpected means that
 * somebody started the worker with an argument that only looks like ours.
 */
#include "ticket.h"

#include <stddef.h>
#include <string.h>

bool bhi_ticket_is(const char *argument)
{
    return argument != NULL &&
           strncmp(argument, BHI_TICKET_PREFIX, sizeof BHI_TICKET_PREFIX - 1) == 0;
}

/* Reads decimal digits up to `end`, which must follow, and steps over it. NULL when it is none. */
static const char *number(const char *text, char end, uint64_t *out)
{
    const char *first = text;
    uint64_t value = 0;

    for (; *text >= '0' && *text <= '9'; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return NULL;
        value = value * 10 + digit;
    }
    if (text == first || *text != end)
        return NULL;
    *out = value;
    return text + 1;
}

bool bhi_ticket_parse(const char *argument, struct bhi_ticket *ticket)
{
    uint64_t pid;
    const char *text;

    if (!bhi_ticket_is(argument))
        return false;
    text = strchr(argument, ',');
    if (text == NULL)
        return false;
    text = number(text + 1, ',', &ticket->cookie);
    if (text == NULL || number(text, '\0', &pid) == NULL || pid > INT64_MAX)
        return false;
    ticket->dispatcher_pid = (int64_t)pid;
    return true;
}
