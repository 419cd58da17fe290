/* SPDX-License-Identifier: MIT */
/**
 * @file environment.h
 * The environment of the workers, and the growing texts that it and the command line are made of.
 */
#ifndef BHW_ENVIRONMENT_H
#define BHW_ENVIRONMENT_H

#include "nursery.h"

/** A text that grows; zero it before its first use. */
struct bhw_text {
    WCHAR *units; /* owned */
    size_t length;
    size_t room;
    bool failed; /* there was no memory: the rest was dropped */
};
void bhw_text_add(struct bhw_text *text, const WCHAR *units, size_t count);
/** @return its units, now the caller's; NULL when it failed */
WCHAR *bhw_text_take(struct bhw_text *text);

/** Fills the environment in: the dispatcher's own, or none, with the changes of the options. */
int bhw_environment_make(const struct bh_pool_options *options, struct bhw_spec *spec,
                         struct bh_problem *problem);

#endif
