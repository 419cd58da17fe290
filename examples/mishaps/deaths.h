/* SPDX-License-Identifier: MIT */
/**
 * @file deaths.h
 * What mishaps asks of the operating system: ways to die.
 */
#ifndef MISHAPS_DEATHS_H
#define MISHAPS_DEATHS_H

#include <stdint.h>

struct death {
    const char *name;
    void (*die)(void); /**< does not return, but where the table says so */
};

/** All of them; ends with an entry whose name is NULL. What both systems have has one name. */
extern const struct death deaths[];

/** The help line of the method `die`. */
extern const char deaths_help[];

void sleep_ms(int64_t ms);
int64_t process_id(void);

#endif
