/* SPDX-License-Identifier: MIT */
/**
 * @file arena.h
 * Memory that one process writes and another one reads, for payloads beside a call: mapped once,
 * used again from call to call. The same for requests and replies; who writes which, and how the
 * handles travel, is the business of blobs.c (dispatcher) and worker_blobs.c.
 *
 * Threads: none of its own; each struct belongs to one thread at a time.
 */
#ifndef BHW_ARENA_H
#define BHW_ARENA_H

#include <bulkhead/base.h>

#include <windows.h>

/** Each payload begins at a multiple of this, a cache line: also the strictest typed array is
 * aligned. */
#define BHW_ARENA_ALIGNMENT 64u
/** What a payload takes up. */
#define BHW_ARENA_SPACE(bytes)                                                                     \
    (((uint64_t)(bytes) + BHW_ARENA_ALIGNMENT - 1) / BHW_ARENA_ALIGNMENT * BHW_ARENA_ALIGNMENT)

/** An arena larger than this goes after the call that needed it. */
#define BHW_ARENA_KEPT_MOST (UINT64_C(64) << 20)

/** The writing side. All zero: there is none yet. */
struct bhw_arena {
    unsigned char *memory; /**< NULL: none, or dropped */
    uint64_t room;
    uint64_t used;       /**< by the call at hand */
    uint64_t held;       /**< of which buffers, from the beginning */
    unsigned char *old;  /**< until the call is over: the memory that this took the place of, in
                              which there are buffers; or NULL */
    uint64_t wanted;     /**< by the calls of late: the most, fading */
    uint32_t generation; /**< of the latest section; 0: there never was one */
};

/** The reading side. All zero: there is none. */
struct bhw_arena_view {
    const unsigned char *memory; /**< NULL: not mapped */
    HANDLE section;              /**< until it is mapped: owned */
    uint64_t room;
    uint32_t generation; /**< 0: none */
};

/* ---- writing ---- */

/** Forgets what is in it: a new call begins. */
void bhw_arena_begin(struct bhw_arena *arena);
/**
 * Makes room behind the buffers for `bytes`, the sum of BHW_ARENA_SPACE() of all payloads of a
 * message; what was put before is forgotten. With buffers there must be room: bhw_arena_fits().
 * @param      least   size of the smallest section
 * @param[out] section NULL: what there is suffices. Otherwise this new section, of the generation
 *                     that is in *arena now, took the place of the old one; the caller announces
 *                     it, and owns the handle
 * @return BH_OK, BH_E_MEMORY (there is no arena now)
 */
int bhw_arena_reserve(struct bhw_arena *arena, uint64_t bytes, uint32_t least, HANDLE *section);
/**
 * Takes room for a buffer in which the caller writes; for the call's first one, sees to it that
 * there is as much as calls of late needed.
 * @param[out] at      NULL: there is no room for it beside the others
 * @param[out] section as above
 * @return BH_OK, BH_E_MEMORY
 */
int bhw_arena_hold(struct bhw_arena *arena, uint64_t bytes, uint32_t least, HANDLE *section,
                   void **at);
/** Names a payload that lies in a buffer, aligned. @return whether it does */
bool bhw_arena_name(const struct bhw_arena *arena, const void *data, size_t bytes, uint64_t *name);
/** The buffers of the call keep their memory to its end, but are not named any more: they are to be
 * copied. There is no arena now. */
void bhw_arena_retire(struct bhw_arena *arena);
/** Whether there is room for so many bytes behind the buffers. */
bool bhw_arena_fits(const struct bhw_arena *arena, uint64_t bytes);
/** Copies a payload into reserved room. @return its name */
uint64_t bhw_arena_put(struct bhw_arena *arena, const void *data, size_t bytes);
/** A call is over: drops the arena if it is far larger than calls of late need. @return whether */
bool bhw_arena_settle(struct bhw_arena *arena);
/** Unmaps it. The generation stays, so that the next one is another. */
void bhw_arena_drop(struct bhw_arena *arena);

/* ---- reading ---- */

/** The name of a place. */
uint64_t bhw_arena_reference(uint32_t generation, uint64_t place);
/** The generation of the section in which a named payload lies; no valid one may be 0. */
uint32_t bhw_arena_generation(uint64_t name);
/**
 * Takes a section in place of what there was.
 * @param section becomes the view's, also on failure
 * @param most    no honest section is larger
 * @return BH_OK, BH_E_SYNTAX (it is no plain memory, or too large)
 */
int bhw_arena_view_take(struct bhw_arena_view *view, uint32_t generation, HANDLE section,
                        uint64_t most);
/** Where a named payload lies. Stays valid until the next take or drop.
 * @return BH_OK, BH_E_SYNTAX (no such payload), BH_E_MEMORY (it cannot be mapped now) */
int bhw_arena_view_find(struct bhw_arena_view *view, uint64_t name, size_t bytes,
                        const void **data);
void bhw_arena_view_drop(struct bhw_arena_view *view);

#endif
