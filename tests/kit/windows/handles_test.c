/* SPDX-License-Identifier: MIT */
/* That the kit finds what only Windows has to leave behind. */
#include "failing.h"

TEST(leaked_handles_are_found)
{
    check_fails("leak_event", "(Event)");
    check_fails("leak_process_handle", "(Process)");
    check_fails("leak_section", "(Section)");
}
