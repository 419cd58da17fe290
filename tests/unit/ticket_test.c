/* SPDX-License-Identifier: MIT */
/*
 * The argument by which a worker knows its dispatcher.
 */
#include "check.h"

#include "worker/ticket.h"

TEST(a_ticket_is_read)
{
    struct bhi_ticket ticket;

    CHECK(bhi_ticket_parse("--bulkhead=pool,18446744073709551615,4711", &ticket));
    CHECK(ticket.cookie == UINT64_MAX);
    CHECK_INT(ticket.dispatcher_pid, 4711);
    CHECK(bhi_ticket_parse("--bulkhead=,0,0", &ticket));
    CHECK_INT(ticket.cookie, 0);
}

TEST(everything_else_is_none)
{
    static const char *const wrong[] = {
        "",
        "--bulkhead",
        "--bulkhead=",
        "--bulkhead=pool",
        "--bulkhead=pool,1",
        "--bulkhead=pool,1,",
        "--bulkhead=pool,,1",
        "--bulkhead=pool,1,2,3",
        "--bulkhead=pool,1,2 ",
        "--bulkhead=pool,-1,2",
        "--bulkhead=pool,0x1,2",
        "--bulkhead=pool,18446744073709551616,2",
        "--bulkhead=pool,1,9223372036854775808",
    };
    struct bhi_ticket ticket;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(!bhi_ticket_parse(wrong[i], &ticket));
    CHECK(!bhi_ticket_parse(NULL, &ticket));
}

TEST(a_malformed_ticket_still_is_meant_to_be_one)
{
    CHECK(bhi_ticket_is("--bulkhead=nonsense"));
    CHECK(!bhi_ticket_is("--bulkheads=x,1,2"));
    CHECK(!bhi_ticket_is(NULL));
}
