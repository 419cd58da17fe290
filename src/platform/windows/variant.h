/* SPDX-License-Identifier: MIT */
/**
 * @file variant.h
 * bh_value as VARIANT and back. docs/windows-values.md says which type has which shape, and what is
 * read besides.
 *
 * Threads: no state; any thread, and COM need not be initialized.
 */
#ifndef BHW_VARIANT_H
#define BHW_VARIANT_H

#include <bulkhead/value.h>

#include <windows.h>
#include <oleauto.h>

/**
 * How large payloads travel beside the VARIANTs. The callbacks belong to the dispatcher and the
 * worker; all return BH_OK or a code of enum bh_error. What was put stays theirs.
 */
struct bhw_blobs {
    size_t threshold; /**< put() bytes and typed arrays of at least so many bytes; 0: never */
    bool in_place;    /**< what is read views what find() found, which nobody can change, instead of
                           copying it */
    void *context;    /**< handed to all */
    /** A message begins whose payloads to put() take up so many bytes, the sum of their
     * BHW_ARENA_SPACE(). May be NULL. BH_E_STATE: what could be named cannot be any more; count
     * again. */
    int (*reserve)(void *context, uint64_t bytes);
    /** Keeps a copy of `bytes` (at least 1) bytes, and names it. NULL: never. */
    int (*put)(void *context, const void *data, size_t bytes, uint64_t *name);
    /** Names bytes where they lie, if they lie where they can be named. NULL: never. */
    bool (*name)(void *context, const void *data, size_t bytes, uint64_t *name);
    /** Where that lies which a name from outside stands for, until the next find(), or, in place,
     * for as long as the value is needed; BH_E_SYNTAX when there is no such name, or less than
     * `bytes` behind it. NULL: references are refused. */
    int (*find)(void *context, uint64_t name, size_t bytes, const void **data);
};

/**
 * Makes a VARIANT of one value.
 * @param[out] out     to be freed with VariantClear(); VT_EMPTY on failure. What it held before is
 *                     not looked at.
 * @param      blobs   may be NULL: no references
 * @param      problem may be NULL
 * @return BH_OK, BH_E_MEMORY, BH_E_DEPTH (more than 256 containers), BH_E_UTF8, BH_E_TYPE (handle),
 *         BH_E_TOO_LARGE (no SAFEARRAY or BSTR can hold it), or what put() returned
 */
int bhw_variant_from_value(VARIANT *out, const bh_value *value, struct bhw_blobs *blobs,
                           struct bh_problem *problem);

/**
 * Makes a value of one VARIANT, which may come from anybody. Nothing in it is changed or kept.
 * @param[out] out     owns everything but what it views in place; null on failure
 * @param      limits  as for bh_wire_view(); `bytes` counts the wire form that the value would
 * have. NULL: the defaults
 * @param      blobs   may be NULL: references are refused
 * @param      problem names the element: "element 5, member "x": VT_DISPATCH is not supported"
 * @return BH_OK, BH_E_MEMORY, BH_E_TYPE (no value is like that), BH_E_RANGE (no exact number, no
 *         date), BH_E_SYNTAX (malformed), BH_E_UTF8 (unpaired surrogate), BH_E_DUPLICATE,
 *         BH_E_DEPTH, BH_E_TOO_LARGE, or what get() returned
 */
int bhw_value_from_variant(bh_value *out, const VARIANT *in, const struct bh_value_limits *limits,
                           struct bhw_blobs *blobs, struct bh_problem *problem);

/**
 * Makes the positional arguments of an Invoke: in DISPPARAMS order, the last value first.
 * @param[out] out    to be freed with bhw_arguments_free(); NULL on failure and when count is 0
 * @param      limits for all of them together, as bh_wire_size() would count; NULL: the defaults
 * @return as bhw_variant_from_value(); BH_E_TOO_LARGE also for the limits
 */
int bhw_arguments_from_values(VARIANT **out, const bh_value *values, size_t count,
                              const struct bh_value_limits *limits, struct bhw_blobs *blobs,
                              struct bh_problem *problem);

/** Clears and frees the arguments that bhw_arguments_from_values() made. NULL is fine. */
void bhw_arguments_free(VARIANT *arguments, size_t count);

/**
 * Makes values of the positional arguments of an Invoke (DISPPARAMS: rgvarg, cArgs).
 * @param[out] array   a BH_ARRAY in the caller's order, the first argument first, that owns
 *                     everything but what it views in place; null on failure
 * @param      limits  for all of them together; the array around them counts for nothing
 * @param      problem as above, "argument 2, element 5: …"; the first argument is 1
 * @return as bhw_value_from_variant()
 */
int bhw_values_from_arguments(bh_value *array, const VARIANT *arguments, size_t count,
                              const struct bh_value_limits *limits, struct bhw_blobs *blobs,
                              struct bh_problem *problem);

#endif
