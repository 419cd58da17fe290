/* SPDX-License-Identifier: MIT */
/*
 * Arenas: sections that stay mapped on both sides.
 *
 * Model: making, mapping and filling fresh memory costs far more than the copy into it, so a
 * section is made when a call first needs more than there is, and used again. Each new one has the
 * next generation; a payload's name is the generation and the place, so that a name can never lead
 * into a section that it was not made for.
 *
 * Invariants: the reading side never writes and never trusts: what it is given must be committed
 * memory that no file stands behind, since reading anything else could raise an exception here, and
 * the system says how large it is. Such a section never shrinks and cannot be taken back. The
 * writing side cannot be read beyond what it has mapped, and both sides keep at most
 * BHW_ARENA_KEPT_MOST between calls.
 */
#include "arena.h"

#include "protocol.h"

#include <string.h>
#include <winternl.h>

/* A name: 24 bits of generation, 40 of place. */
#define PLACE_BITS 40
#define GENERATION_MOST (BHW_BUFFER_GENERATION - 1)

/* Sections grow in steps of this. */
#define STEP UINT64_C(65536)
/* One that is so many times as large as calls of late needed goes, unless it is small anyway. */
#define FAR_LARGER 8
#define SMALL (UINT64_C(1) << 20)
/* What a call needed fades with each further one, to an eighth within about 33. */
#define FADING 16

/* The one question about sections that Windows answers, which <winternl.h> leaves out. */
struct section_basic {
    PVOID base;
    ULONG attributes;
    LARGE_INTEGER size;
};
#define SECTION_BASIC 0
#define ATTRIBUTE_FILE 0x00800000u
NTSYSAPI NTSTATUS NTAPI NtQuerySection(HANDLE, ULONG, PVOID, SIZE_T, SIZE_T *);

/* ---- writing ---- */

static uint64_t room_for(uint64_t bytes, uint32_t least)
{
    uint64_t room = least > STEP ? (least + STEP - 1) / STEP * STEP : STEP;

    if (bytes > BHW_ARENA_KEPT_MOST) /* goes soon: no room to spare */
        return (bytes + STEP - 1) / STEP * STEP;
    while (room < bytes)
        room *= 2;
    return room;
}

static int make(struct bhw_arena *arena, uint64_t room, HANDLE *section)
{
    *section = room <= SIZE_MAX ? CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE,
                                                     (DWORD)(room >> 32), (DWORD)room, NULL)
                                : NULL;
    if (*section == NULL)
        return BH_E_MEMORY;
    arena->memory = MapViewOfFile(*section, FILE_MAP_WRITE, 0, 0, (SIZE_T)room);
    if (arena->memory == NULL) {
        CloseHandle(*section);
        *section = NULL;
        return BH_E_MEMORY;
    }
    arena->room = room;
    arena->generation = arena->generation % GENERATION_MOST + 1;
    return BH_OK;
}

/** See arena.h. */
void bhw_arena_begin(struct bhw_arena *arena)
{
    arena->used = arena->held = 0;
}

/** See arena.h. */
bool bhw_arena_fits(const struct bhw_arena *arena, uint64_t bytes)
{
    return bytes <= arena->room && arena->held <= arena->room - bytes;
}

/** See arena.h. */
int bhw_arena_hold(struct bhw_arena *arena, uint64_t bytes, uint32_t least, HANDLE *section,
                   void **at)
{
    uint64_t needed = arena->wanted > bytes && arena->wanted <= BHW_ARENA_KEPT_MOST
                          ? BHW_ARENA_SPACE(arena->wanted)
                          : bytes;

    *section = NULL;
    *at = NULL;
    if (arena->held == 0 && arena->old == NULL && needed > arena->room) {
        bhw_arena_drop(arena); /* first, so that there are never two */
        if (make(arena, room_for(needed, least), section) != BH_OK)
            return BH_E_MEMORY;
    }
    if (!bhw_arena_fits(arena, bytes))
        return BH_OK;
    *at = arena->memory + arena->held;
    arena->held += bytes;
    arena->used = arena->held;
    return BH_OK;
}

/** See arena.h. */
bool bhw_arena_name(const struct bhw_arena *arena, const void *data, size_t bytes, uint64_t *name)
{
    uintptr_t base = (uintptr_t)arena->memory;
    uintptr_t at = (uintptr_t)data;

    if (arena->held == 0 || at < base || at - base > arena->held ||
        bytes > arena->held - (at - base) || (at - base) % BHW_PLACE_ALIGNMENT != 0)
        return false;
    *name = (uint64_t)arena->generation << PLACE_BITS | (at - base);
    return true;
}

/** See arena.h. */
void bhw_arena_retire(struct bhw_arena *arena)
{
    arena->old = arena->memory;
    arena->memory = NULL;
    arena->room = arena->held = arena->used = 0;
}

/** See arena.h. */
int bhw_arena_reserve(struct bhw_arena *arena, uint64_t bytes, uint32_t least, HANDLE *section)
{
    *section = NULL;
    arena->used = arena->held;
    if (bhw_arena_fits(arena, bytes))
        return BH_OK;
    bhw_arena_drop(arena); /* first, so that there are never two */
    return make(arena, room_for(bytes, least), section);
}

/** See arena.h. */
uint64_t bhw_arena_put(struct bhw_arena *arena, const void *data, size_t bytes)
{
    uint64_t place = arena->used;

    memmove(arena->memory + place, data, bytes); /* it may lie partly in a buffer */
    arena->used += BHW_ARENA_SPACE(bytes);
    return (uint64_t)arena->generation << PLACE_BITS | place;
}

/** See arena.h. */
bool bhw_arena_settle(struct bhw_arena *arena)
{
    if (arena->old != NULL)
        UnmapViewOfFile(arena->old);
    arena->old = NULL;
    arena->wanted -= arena->wanted / FADING;
    if (arena->used > arena->wanted)
        arena->wanted = arena->used;
    if (arena->memory == NULL)
        return false;
    if (arena->room <= BHW_ARENA_KEPT_MOST &&
        (arena->room <= SMALL || arena->room / FAR_LARGER <= arena->wanted))
        return false;
    bhw_arena_drop(arena);
    return true;
}

/** See arena.h. */
void bhw_arena_drop(struct bhw_arena *arena)
{
    if (arena->memory != NULL)
        UnmapViewOfFile(arena->memory);
    arena->memory = NULL;
    arena->room = 0;
}

/* ---- reading ---- */

/** See arena.h. */
uint64_t bhw_arena_reference(uint32_t generation, uint64_t place)
{
    return (uint64_t)generation << PLACE_BITS | place;
}

/** See arena.h. */
uint32_t bhw_arena_generation(uint64_t name)
{
    return (uint32_t)(name >> PLACE_BITS);
}

/* Asks the system how large a section is; 0: it is no plain memory. */
static uint64_t room_of(HANDLE section)
{
    struct section_basic basic = {0};

    if (NtQuerySection(section, SECTION_BASIC, &basic, sizeof(basic), NULL) < 0)
        return 0;
    return (basic.attributes & (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE | ATTRIBUTE_FILE)) ==
                       SEC_COMMIT &&
                   basic.size.QuadPart > 0
               ? (uint64_t)basic.size.QuadPart
               : 0;
}

/** See arena.h. */
int bhw_arena_view_take(struct bhw_arena_view *view, uint32_t generation, HANDLE section,
                        uint64_t most)
{
    uint64_t room = room_of(section);

    bhw_arena_view_drop(view);
    *view = (struct bhw_arena_view){.section = section, .room = room, .generation = generation};
    if (room > 0 && room <= most)
        return BH_OK;
    bhw_arena_view_drop(view);
    return BH_E_SYNTAX;
}

/* The handle is needed no more once the section is mapped. */
static int map(struct bhw_arena_view *view)
{
    if (view->memory != NULL)
        return BH_OK;
    if (view->room <= SIZE_MAX)
        view->memory = MapViewOfFile(view->section, FILE_MAP_READ, 0, 0, (SIZE_T)view->room);
    if (view->memory == NULL)
        return BH_E_MEMORY;
    CloseHandle(view->section);
    view->section = NULL;
    return BH_OK;
}

/** See arena.h. */
int bhw_arena_view_find(struct bhw_arena_view *view, uint64_t name, size_t bytes, const void **data)
{
    uint64_t place = name & ((UINT64_C(1) << PLACE_BITS) - 1);

    if (view->generation == 0 || bhw_arena_generation(name) != view->generation ||
        place % BHW_PLACE_ALIGNMENT != 0 || place > view->room || bytes > view->room - place)
        return BH_E_SYNTAX;
    int rc = map(view);
    if (rc == BH_OK)
        *data = view->memory + place;
    return rc;
}

/** See arena.h. */
void bhw_arena_view_drop(struct bhw_arena_view *view)
{
    if (view->memory != NULL)
        UnmapViewOfFile(view->memory);
    if (view->section != NULL)
        CloseHandle(view->section);
    *view = (struct bhw_arena_view){0};
}
