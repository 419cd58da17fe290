/* SPDX-License-Identifier: MIT */
/**
 * @file wire.h
 * The wire form's framing, for its writer and its reader. docs/wire.md is the description.
 */
#ifndef BHI_WIRE_H
#define BHI_WIRE_H

#include "value_internal.h"

/** Headers and payloads begin at multiples of this. */
#define BHI_WIRE_ALIGN 8u

/** What every value begins with. */
struct bhi_wire_header {
    uint32_t type;   /**< enum bh_type */
    uint32_t length; /**< bytes of a scalar, string, bytes or text; elements, items or members */
};

/** The first word of an error's payload; the text follows. */
struct bhi_wire_error {
    int32_t code;
    uint32_t zero;
};

/** Set in a header's type: the payload, which is a block, lies beside the message. In its place is
 * one word, its offset in the memory that goes with the message. Never in a public message. */
#define BHI_WIRE_ASIDE 0x10000u

/** Memory that goes with a message. */
struct bhi_wire_side {
    const void *base;
    uint64_t bytes;
    bool trusted; /**< nobody changes it: strings in it are checked where they lie. Otherwise
                       bhi_wire_own() checks its copy of them */
};

/** Payloads from this size on may lie beside their message. */
#define BHI_WIRE_ASIDE_LEAST 512u
/** Those that are copied there begin at multiples of this. */
#define BHI_WIRE_ASIDE_ALIGN 64u

/** How a writer uses the memory beside a message. */
struct bhi_wire_aside {
    const unsigned char *memory; /**< payloads that lie in it already are named, not copied */
    uint64_t used;               /**< bytes of it in which they can lie */
    unsigned char *room;         /**< == memory: the others are copied behind `used`; NULL: they
                                      stay in the message */
};

/**
 * Tells the sizes of a message that bh_wire_size() has found good.
 * @param size      what bh_wire_size() said
 * @param[out] behind bytes behind `used` that copied payloads need, as if `used` were a multiple
 *                  of the alignment
 * @return bytes of the message itself
 */
size_t bhi_wire_aside_size(const struct bhi_wire_aside *aside, const bh_value *values, size_t count,
                           size_t size, uint64_t *behind);

/** bh_wire_write() with payloads beside the message. `size` and the room behind `used` as
 * bhi_wire_aside_size() said. */
int bhi_wire_aside_write(const struct bhi_wire_aside *aside, void *buffer, size_t size,
                         const bh_value *values, size_t count);

/** bh_wire_view() of a message whose payloads may lie beside it. What the message and they take
 * must be within limits->bytes. Nothing of an untrusted side is looked at. */
int bhi_wire_aside_view(bh_value *array, const void *buffer, size_t size,
                        const struct bhi_wire_side *side, const struct bh_value_limits *limits,
                        struct bh_problem *problem);

/**
 * Copies a value that bhi_wire_aside_view() made. Each byte beside the message is read once.
 * @param[out] borrowed NULL: the copy owns everything. Otherwise bytes and typed arrays that lie
 *                      beside the message stay there, and this says whether there are any
 * @return BH_OK, BH_E_MEMORY, BH_E_UTF8 (of a string beside the message); *out is null on failure
 */
int bhi_wire_own(bh_value *out, const bh_value *view, const struct bhi_wire_side *side,
                 bool *borrowed);

/** Whether the type's payload is one 8-byte word and nothing else. */
bool bhi_wire_is_scalar(unsigned type);

/** Bytes of payload behind a header, without padding. A container's items are not payload. */
uint64_t bhi_wire_payload(unsigned type, uint32_t length);

/** Rounded up to the alignment. */
uint64_t bhi_wire_padded(uint64_t size);

#endif
