/* SPDX-License-Identifier: MIT */
/*
 * The plain types of a VARIANT as values: exactly, or not at all.
 *
 * Model: every type is read from an address, because it may lie in a VARIANT, behind a VT_BYREF
 * pointer or in a SAFEARRAY. VT_CY and VT_DECIMAL are one integer of at most 96 bits over a power
 * of ten: a whole number becomes an integer, any other the double that is exactly that number, if
 * there is one. Floats go by their bits, so that a signalling NaN stays one on machines whose
 * registers would quieten it.
 *
 * A VT_DATE is days since 1899-12-30, and before that day the fraction still counts forward: -1.25
 * is 06:00 of the day before. It is read to the nearest millisecond. Between the years 100 and 9999
 * a double is fine enough by a factor of 20 to tell milliseconds apart.
 */
#include "variant_internal.h"

#include <math.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)
/* Days from 1899-12-30 to 1970-01-01, and the days of 0100-01-01 and of 9999-12-31. */
#define EPOCH_DAY INT64_C(25569)
#define FIRST_DAY (-INT64_C(657434))
#define LAST_DAY INT64_C(2958465)

/* ---- dates ---- */

static int read_date(bh_value *out, double date, const char **why)
{
    *why = "is no date between the years 100 and 9999";
    if (!(date > (double)FIRST_DAY - 1 && date < (double)LAST_DAY + 1))
        return BH_E_RANGE; /* a NaN too */
    int64_t day = (int64_t)date;
    double fraction = fabs(date - (double)day);
    int64_t ms = (int64_t)(fraction * (double)DAY_MS + 0.5);
    *out = bh_value_timestamp((day - EPOCH_DAY) * DAY_MS + ms);
    return BH_OK;
}

bool bhw_date_from_ms(int64_t ms, DATE *date)
{
    int64_t day = ms / DAY_MS;
    int64_t rest = ms % DAY_MS;

    if (rest < 0) {
        day--;
        rest += DAY_MS;
    }
    day += EPOCH_DAY;
    if (day < FIRST_DAY || day > LAST_DAY)
        return false;
    double fraction = (double)rest / (double)DAY_MS;
    *date = day < 0 ? (double)day - fraction : (double)day + fraction;
    return true;
}

/* ---- decimal numbers ---- */

/* A number of 96 bits, the lowest first. */
struct wide {
    uint32_t words[3];
};

/* Divides if nothing is left over. */
static bool divide(struct wide *number, uint32_t divisor)
{
    struct wide quotient;
    uint64_t rest = 0;

    for (int i = 2; i >= 0; i--) {
        rest = rest << 32 | number->words[i];
        quotient.words[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    if (rest != 0)
        return false;
    *number = quotient;
    return true;
}

static uint64_t low_bits(const struct wide *number)
{
    return (uint64_t)number->words[1] << 32 | number->words[0];
}

static bool to_integer(bh_value *out, const struct wide *number, bool negative)
{
    uint64_t low = low_bits(number);

    if (number->words[2] != 0)
        return false;
    if (negative && low > UINT64_C(1) << 63)
        return false;
    if (negative)
        *out = bh_value_int64((int64_t)(0 - low));
    else
        *out = low <= INT64_MAX ? bh_value_int64((int64_t)low) : bh_value_uint64(low);
    return true;
}

/* number / 2^scale. */
static bool to_double(bh_value *out, struct wide number, bool negative, int scale)
{
    while (divide(&number, 2))
        scale--;
    if (number.words[2] != 0 || low_bits(&number) > UINT64_C(1) << 53)
        return false;
    double real = ldexp((double)low_bits(&number), -scale);
    *out = bh_value_double(negative ? -real : real);
    return true;
}

/* number / 10^scale. */
static int read_wide(bh_value *out, struct wide number, bool negative, int scale, const char **why)
{
    while (scale > 0 && divide(&number, 10))
        scale--;
    if (scale == 0 && to_integer(out, &number, negative))
        return BH_OK;
    *why = "is no integer of 64 bits and no double is exactly this number";
    for (int i = 0; i < scale; i++) {
        if (!divide(&number, 5))
            return BH_E_RANGE;
    }
    return to_double(out, number, negative, scale) ? BH_OK : BH_E_RANGE;
}

static int read_currency(bh_value *out, int64_t number, const char **why)
{
    uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    struct wide wide = {{(uint32_t)size, (uint32_t)(size >> 32), 0}};

    return read_wide(out, wide, number < 0, 4, why);
}

/* A DECIMAL by its layout: compilers do not agree on the names of its parts. */
struct decimal {
    uint16_t reserved; /* in a VARIANT: its type */
    uint8_t scale;
    uint8_t sign;
    uint32_t high;
    uint64_t low;
};

_Static_assert(sizeof(struct decimal) == sizeof(DECIMAL), "the layout of DECIMAL");

static int read_decimal(bh_value *out, const void *data, const char **why)
{
    struct decimal decimal;

    memcpy(&decimal, data, sizeof(decimal));
    *why = "is malformed";
    if (decimal.scale > 28 || (decimal.sign != 0 && decimal.sign != 0x80))
        return BH_E_SYNTAX;
    struct wide wide = {{(uint32_t)decimal.low, (uint32_t)(decimal.low >> 32), decimal.high}};
    return read_wide(out, wide, decimal.sign != 0, decimal.scale, why);
}

/* ---- everything else ---- */

/* A float's bits as a double's. */
static bh_value widen(uint32_t bits)
{
    float real;
    bh_value value;

    memcpy(&real, &bits, sizeof(real));
    if ((bits & 0x7f800000) != 0x7f800000)
        return bh_value_double(real);
    value = bh_value_double(0);
    value.as.uint64 = (uint64_t)(bits & 0x80000000) << 32 | UINT64_C(0x7ff0000000000000) |
                      (uint64_t)(bits & 0x007fffff) << 29;
    return value;
}

/* An error without a text; the one that stands for an argument left out is null. */
static int read_error(bh_value *out, int32_t code)
{
    if (code == DISP_E_PARAMNOTFOUND) {
        *out = bh_value_null();
        return BH_OK;
    }
    return bh_value_new_error(out, code, "");
}

/* One number of each width that VARIANTs have. */
struct number {
    int8_t i1;
    uint8_t ui1;
    int16_t i2;
    uint16_t ui2;
    int32_t i4;
    uint32_t ui4;
    int64_t i8;
    uint64_t ui8;
    double r8;
};

static void load(struct number *number, const void *data, size_t size)
{
    memset(number, 0, sizeof(*number));
    memcpy(&number->i1, data, 1);
    number->ui1 = (uint8_t)number->i1;
    if (size >= 2)
        memcpy(&number->i2, data, 2);
    number->ui2 = (uint16_t)number->i2;
    if (size >= 4)
        memcpy(&number->i4, data, 4);
    number->ui4 = (uint32_t)number->i4;
    if (size >= 8)
        memcpy(&number->i8, data, 8);
    number->ui8 = (uint64_t)number->i8;
    memcpy(&number->r8, &number->i8, 8);
}

/* The integers. @return whether it is one */
static bool read_integer(bh_value *out, VARTYPE vt, const struct number *n)
{
    switch (vt) {
    case VT_I1:
        *out = bh_value_int64(n->i1);
        return true;
    case VT_I2:
        *out = bh_value_int64(n->i2);
        return true;
    case VT_I4:
    case VT_INT:
        *out = bh_value_int64(n->i4);
        return true;
    case VT_I8:
        *out = bh_value_int64(n->i8);
        return true;
    case VT_UI1:
        *out = bh_value_uint64(n->ui1);
        return true;
    case VT_UI2:
        *out = bh_value_uint64(n->ui2);
        return true;
    case VT_UI4:
    case VT_UINT:
        *out = bh_value_uint64(n->ui4);
        return true;
    case VT_UI8:
        *out = bh_value_uint64(n->ui8);
        return true;
    default:
        return false;
    }
}

int bhw_number_read(bh_value *out, VARTYPE vt, const void *data, const char **why)
{
    size_t size = bhw_vartype_size(vt);
    struct number number;

    *out = bh_value_null();
    *why = "is not supported";
    if (size == 0)
        return BH_E_TYPE;
    load(&number, data, size);
    if (read_integer(out, vt, &number))
        return BH_OK;
    switch (vt) {
    case VT_BOOL:
        *out = bh_value_bool(number.i2 != 0);
        return BH_OK;
    case VT_R4:
        *out = widen(number.ui4);
        return BH_OK;
    case VT_R8:
        *out = bh_value_double(0);
        out->as.uint64 = number.ui8;
        return BH_OK;
    case VT_DATE:
        return read_date(out, number.r8, why);
    case VT_CY:
        return read_currency(out, number.i8, why);
    case VT_DECIMAL:
        return read_decimal(out, data, why);
    case VT_ERROR:
        return read_error(out, number.i4);
    default:
        return BH_E_TYPE;
    }
}
