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

/** Whether the type's payload is one 8-byte word and nothing else. */
bool bhi_wire_is_scalar(unsigned type);

/** Bytes of payload behind a header, without padding. A container's items are not payload. */
uint64_t bhi_wire_payload(unsigned type, uint32_t length);

/** Rounded up to the alignment. */
uint64_t bhi_wire_padded(uint64_t size);

#endif
