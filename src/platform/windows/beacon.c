/* SPDX-License-Identifier: MIT */
/*
 * Beacons: a manual-reset event each.
 */
#include "core/platform.h"

#include "core/alloc.h"
#include "support.h"

struct bhp_beacon {
    HANDLE event;
};

/** See platform.h. */
int bhp_beacon_new(bhp_beacon **beacon)
{
    bhp_beacon *made = bhi_alloc(sizeof(*made));

    *beacon = NULL;
    if (made == NULL)
        return BH_E_MEMORY;
    made->event = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (made->event == NULL) {
        bhi_free(made);
        return BH_E_SYSTEM;
    }
    *beacon = made;
    return BH_OK;
}

/** See platform.h. */
void bhp_beacon_raise(bhp_beacon *beacon)
{
    SetEvent(beacon->event);
}

/** See platform.h. */
void bhp_beacon_clear(bhp_beacon *beacon)
{
    ResetEvent(beacon->event);
}

/** See platform.h. */
intptr_t bhp_beacon_native(const bhp_beacon *beacon)
{
    return (intptr_t)beacon->event;
}

/** See platform.h. */
void bhp_beacon_free(bhp_beacon *beacon)
{
    if (beacon == NULL)
        return;
    CloseHandle(beacon->event);
    bhi_free(beacon);
}
