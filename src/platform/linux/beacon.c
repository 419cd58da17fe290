/* SPDX-License-Identifier: MIT */
/*
 * Beacons: an eventfd each, readable while it is not zero.
 */
#include "core/platform.h"

#include "core/alloc.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct bhp_beacon {
    int fd;
};

/** See platform.h. */
int bhp_beacon_new(bhp_beacon **beacon)
{
    bhp_beacon *made = bhi_alloc(sizeof(*made));

    *beacon = NULL;
    if (!made)
        return BH_E_MEMORY;
    made->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->fd < 0) {
        bhi_free(made);
        return BH_E_SYSTEM;
    }
    *beacon = made;
    return BH_OK;
}

/** See platform.h. A counter that is at its end stays readable: nothing is lost. */
void bhp_beacon_raise(bhp_beacon *beacon)
{
    eventfd_write(beacon->fd, 1);
}

/** See platform.h. */
void bhp_beacon_clear(bhp_beacon *beacon)
{
    eventfd_t count;

    eventfd_read(beacon->fd, &count);
}

/** See platform.h. */
intptr_t bhp_beacon_native(const bhp_beacon *beacon)
{
    return beacon->fd;
}

/** See platform.h. */
void bhp_beacon_free(bhp_beacon *beacon)
{
    if (!beacon)
        return;
    close(beacon->fd);
    bhi_free(beacon);
}
