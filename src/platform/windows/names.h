/* SPDX-License-Identifier: MIT */
/**
 * @file names.h
 * What exit codes of the kind 0xC0000005 are called, and which of them no filter in the process can
 * see.
 */
#ifndef BHW_NAMES_H
#define BHW_NAMES_H

#include <stdint.h>

/** Where the names of a processor's registers begin in bhp_register_name(); its first one is this
 * library's own. @param machine IMAGE_FILE_MACHINE_…, of a worker of any bitness */
#define BHW_REGISTERS_UNKNOWN UINT32_MAX
uint32_t bhw_registers_of(uint32_t machine);

/** "EXCEPTION_ACCESS_VIOLATION", or NULL when the code has no name here. Static. */
const char *bhw_exception_name(uint32_t code);

enum bhw_status_kind {
    BHW_STATUS_FAULT,  /* the process was broken, and the system ended it without asking */
    BHW_STATUS_LOADER, /* the program never came to its own code */
    BHW_STATUS_ENDED   /* something outside ended it */
};

struct bhw_status {
    uint32_t code;
    enum bhw_status_kind kind;
    const char *text;
};

/** What is known of an exit code that passes all filters by; NULL: nothing. Static. */
const struct bhw_status *bhw_status_of(uint32_t code);

#endif
