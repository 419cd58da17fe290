/* SPDX-License-Identifier: MIT */
/**
 * @file com_heap.h
 * COM's heap under watch, where BSTRs and SAFEARRAYs live: counts what is alive, and refuses one
 * chosen allocation.
 */
#ifndef COM_HEAP_H
#define COM_HEAP_H

#include "check.h"

#include <windows.h>
#include <objbase.h>

/** Stops oleaut32 from keeping freed BSTRs. Not in every header. */
WINOLEAPI_(void) SetOaNoCache(void);

struct com_heap {
    IMallocSpy spy;
    long alive;
    long countdown; /* the allocation at which it is 0 is refused; negative: none */
};

static inline HRESULT STDMETHODCALLTYPE com_heap_query(IMallocSpy *spy, REFIID id, void **out)
{
    (void)id;
    *out = spy;
    return S_OK;
}

static inline ULONG STDMETHODCALLTYPE com_heap_reference(IMallocSpy *spy)
{
    (void)spy;
    return 1;
}

static inline SIZE_T STDMETHODCALLTYPE com_heap_pre_alloc(IMallocSpy *spy, SIZE_T size)
{
    struct com_heap *watched = (struct com_heap *)spy;

    return watched->countdown >= 0 && watched->countdown-- == 0 ? 0 : size; /* 0 refuses */
}

static inline void *STDMETHODCALLTYPE com_heap_post_alloc(IMallocSpy *spy, void *memory)
{
    if (memory)
        ((struct com_heap *)spy)->alive++;
    return memory;
}

static inline void *STDMETHODCALLTYPE com_heap_pre_free(IMallocSpy *spy, void *memory, WINBOOL mine)
{
    if (memory && mine)
        ((struct com_heap *)spy)->alive--;
    return memory;
}

static inline void STDMETHODCALLTYPE com_heap_post_free(IMallocSpy *spy, WINBOOL mine)
{
    (void)spy;
    (void)mine;
}

static inline SIZE_T STDMETHODCALLTYPE com_heap_pre_realloc(IMallocSpy *spy, void *memory,
                                                            SIZE_T size, void **out, WINBOOL mine)
{
    (void)spy;
    (void)mine;
    *out = memory;
    return size;
}

static inline void *STDMETHODCALLTYPE com_heap_post_pointer(IMallocSpy *spy, void *memory,
                                                            WINBOOL mine)
{
    (void)spy;
    (void)mine;
    return memory;
}

static inline SIZE_T STDMETHODCALLTYPE com_heap_post_size(IMallocSpy *spy, SIZE_T size,
                                                          WINBOOL mine)
{
    (void)spy;
    (void)mine;
    return size;
}

static inline WINBOOL STDMETHODCALLTYPE com_heap_post_did(IMallocSpy *spy, void *memory,
                                                          WINBOOL mine, WINBOOL did)
{
    (void)spy;
    (void)memory;
    (void)mine;
    return did;
}

static inline void STDMETHODCALLTYPE com_heap_nothing(IMallocSpy *spy)
{
    (void)spy;
}

static IMallocSpyVtbl com_heap_vtbl = {
    .QueryInterface = com_heap_query,
    .AddRef = com_heap_reference,
    .Release = com_heap_reference,
    .PreAlloc = com_heap_pre_alloc,
    .PostAlloc = com_heap_post_alloc,
    .PreFree = com_heap_pre_free,
    .PostFree = com_heap_post_free,
    .PreRealloc = com_heap_pre_realloc,
    .PostRealloc = com_heap_post_pointer,
    .PreGetSize = com_heap_post_pointer,
    .PostGetSize = com_heap_post_size,
    .PreDidAlloc = com_heap_post_pointer,
    .PostDidAlloc = com_heap_post_did,
    .PreHeapMinimize = com_heap_nothing,
    .PostHeapMinimize = com_heap_nothing,
};

static struct com_heap com_heap = {{&com_heap_vtbl}, 0, -1};

/** From here on blocks count. One thread at a time. */
static inline void com_heap_watch(void)
{
    SetOaNoCache();
    com_heap.alive = 0;
    CHECK_INT(CoRegisterMallocSpy(&com_heap.spy), S_OK);
}

static inline void com_heap_unwatch(void)
{
    CHECK_INT(CoRevokeMallocSpy(), S_OK);
}

/** Refuses the n-th allocation from now, counted from 0; none when n is negative. */
static inline void com_heap_fail_at(long n)
{
    com_heap.countdown = n;
}

static inline long com_heap_alive(void)
{
    return com_heap.alive;
}

#endif
