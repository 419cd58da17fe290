/* SPDX-License-Identifier: MIT */
/*
 * Numbers as JSON text.
 *
 * Model: the C library converts, since it rounds correctly, but it never sees a decimal point: the
 * host may call setlocale() at any time, and then printf() and strtod() use another one. Digits go
 * to strtod() as an integer with an exponent ("1.5" as "15e-1"); what snprintf("%e") gives is taken
 * apart from its end, where the digits are.
 *
 * A double's shortest text is found by trying 15, 16 and 17 digits until one reads back the same
 * bits; 17 always does (a float: 6 to 9). Fewer than 15 need no trial, since a decimal that short
 * shows up as 15 digits with zeros at the end; but subnormal numbers have less precision and begin
 * at one digit. That the process rounds to nearest is assumed.
 *
 * Invariants: bits are compared, never numbers, so that -0.0 stays what it is; NaNs travel through
 * memcpy() only, since loading one as a number may change it.
 */
#include "json_number.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many significant digits tell the midpoint of any two neighbouring doubles exactly; one more
 * stands for all the rest. */
#define DIGITS_MAX 768

/* Beyond this every number is infinite or zero, even with DIGITS_MAX digits before the point. */
#define EXPONENT_MAX 100000

/* ---- integers ---- */

size_t bhi_number_write_uint64(char *out, uint64_t number)
{
    char reversed[20];
    size_t length = 0;

    do {
        reversed[length++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < length; i++)
        out[i] = reversed[length - 1 - i];
    return length;
}

size_t bhi_number_write_int64(char *out, int64_t number)
{
    if (number >= 0)
        return bhi_number_write_uint64(out, (uint64_t)number);
    out[0] = '-';
    return 1 + bhi_number_write_uint64(out + 1, 0 - (uint64_t)number);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits only; false when they do not fit. */
static bool accumulate(const char *digits, size_t count, uint64_t *out)
{
    uint64_t number = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned digit = (unsigned)(digits[i] - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

bool bhi_number_read_uint64(const char *text, size_t length, uint64_t *out)
{
    if (length == 0 || length > 20 || (text[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_digit(text[i]))
            return false;
    }
    return accumulate(text, length, out);
}

/* ---- bits ---- */

/* The exponent's bits: all set in infinities (which have no other but the sign) and NaNs, none in
 * zeros and subnormal numbers. */
#define DOUBLE_EXPONENT UINT64_C(0x7ff0000000000000)
#define FLOAT_EXPONENT UINT32_C(0x7f800000)

static uint64_t bits_of(double number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof(bits));
    return bits;
}

static uint32_t bits_of_float(float number)
{
    uint32_t bits;

    memcpy(&bits, &number, sizeof(bits));
    return bits;
}

bool bhi_number_is_finite(double number)
{
    return (bits_of(number) & DOUBLE_EXPONENT) != DOUBLE_EXPONENT;
}

bool bhi_number_is_finite_float(float number)
{
    return (bits_of_float(number) & FLOAT_EXPONENT) != FLOAT_EXPONENT;
}

/* ---- writing doubles ---- */

/* ±0.d1d2…dn × 10^(point): the digits have no trailing zero but the last one, and point says where
 * the decimal point is, counted from before the first digit. */
struct decimal {
    bool negative;
    size_t count;
    int point;
    char digits[DIGITS_MAX + 1];
};

static double to_double(const struct decimal *decimal)
{
    char text[DIGITS_MAX + 32];

    snprintf(text, sizeof(text), "%s%.*se%d", decimal->negative ? "-" : "", (int)decimal->count,
             decimal->digits, decimal->point - (int)decimal->count);
    return strtod(text, NULL);
}

/* Rounds to `count` digits. The C library writes d<point>ddd…e±xx. */
static void to_decimal(struct decimal *decimal, double number, int count)
{
    char text[64];

    int length = snprintf(text, sizeof(text), "%.*e", count - 1, number);
    size_t e = (size_t)length;
    while (text[e] != 'e')
        e--;
    decimal->negative = text[0] == '-';
    decimal->digits[0] = text[decimal->negative];
    memcpy(decimal->digits + 1, text + e - (count - 1), (size_t)(count - 1));
    decimal->count = (size_t)count;
    decimal->point = (int)strtol(text + e + 1, NULL, 10) + 1;
    while (decimal->count > 1 && decimal->digits[decimal->count - 1] == '0')
        decimal->count--;
}

/* 0.000ddd, ddd.ddd or ddd000.0 */
static size_t write_plain(char *out, const struct decimal *decimal)
{
    int last = decimal->point > (int)decimal->count ? decimal->point : (int)decimal->count;
    size_t length = 0;

    for (int i = decimal->point > 0 ? 0 : decimal->point - 1; i < last; i++) {
        if (i == decimal->point)
            out[length++] = '.';
        out[length++] = i >= 0 && i < (int)decimal->count ? decimal->digits[i] : '0';
    }
    if (decimal->point == last) {
        out[length++] = '.';
        out[length++] = '0';
    }
    return length;
}

/* d.ddde±x */
static size_t write_exponent(char *out, const struct decimal *decimal)
{
    size_t length = 0;

    out[length++] = decimal->digits[0];
    if (decimal->count > 1) {
        out[length++] = '.';
        memcpy(out + length, decimal->digits + 1, decimal->count - 1);
        length += decimal->count - 1;
    }
    out[length++] = 'e';
    return length + bhi_number_write_int64(out + length, decimal->point - 1);
}

static size_t write_decimal(char *out, const struct decimal *decimal)
{
    size_t sign = decimal->negative;

    if (decimal->negative)
        out[0] = '-';
    if (decimal->point > -5 && decimal->point <= 17)
        return sign + write_plain(out + sign, decimal);
    return sign + write_exponent(out + sign, decimal);
}

size_t bhi_number_write_double(char *out, double number)
{
    struct decimal decimal;
    int least = (bits_of(number) & DOUBLE_EXPONENT) == 0 ? 1 : DBL_DIG;

    for (int count = least; count <= DBL_DECIMAL_DIG; count++) {
        to_decimal(&decimal, number, count);
        if (bits_of(to_double(&decimal)) == bits_of(number))
            break;
    }
    return write_decimal(out, &decimal);
}

size_t bhi_number_write_float(char *out, float number)
{
    struct decimal decimal;
    int least = (bits_of_float(number) & FLOAT_EXPONENT) == 0 ? 1 : FLT_DIG;

    for (int count = least; count <= FLT_DECIMAL_DIG; count++) {
        to_decimal(&decimal, number, count);
        if (bits_of_float((float)to_double(&decimal)) == bits_of_float(number))
            break;
    }
    return write_decimal(out, &decimal);
}

/* ---- what is no number ---- */

static const char hex_digits[] = "0123456789abcdef";

/* `width` hexadecimal digits hold `bits`, whose infinity is `infinity`; the top digit has the sign.
 */
static size_t write_special(char *out, uint64_t bits, uint64_t infinity, unsigned width)
{
    uint64_t sign = UINT64_C(8) << (width - 1) * 4;
    size_t length = 0;

    if ((bits & ~sign) == infinity) {
        if (bits & sign)
            out[length++] = '-';
        memcpy(out + length, "inf", 3);
        return length + 3;
    }
    memcpy(out, "nan:", 4);
    for (length = 4; length < 4 + width; length++)
        out[length] = hex_digits[bits >> (3 + width - length) * 4 & 15];
    return length;
}

static bool read_hex(const char *text, unsigned width, uint64_t *bits)
{
    *bits = 0;
    for (unsigned i = 0; i < width; i++) {
        const char *digit = memchr(hex_digits, text[i], 16);
        if (!digit)
            return false;
        *bits = *bits << 4 | (uint64_t)(digit - hex_digits);
    }
    return true;
}

static bool text_is(const char *text, size_t length, const char *other)
{
    return length == strlen(other) && memcmp(text, other, length) == 0;
}

static bool read_special(const char *text, size_t length, uint64_t infinity, unsigned width,
                         uint64_t *bits)
{
    uint64_t sign = UINT64_C(8) << (width - 1) * 4;

    *bits = infinity;
    if (text_is(text, length, "inf"))
        return true;
    *bits = infinity | sign;
    if (text_is(text, length, "-inf"))
        return true;
    return length == 4 + width && memcmp(text, "nan:", 4) == 0 && read_hex(text + 4, width, bits) &&
           (*bits & ~sign) > infinity;
}

size_t bhi_number_write_special(char *out, double number)
{
    return write_special(out, bits_of(number), DOUBLE_EXPONENT, 16);
}

size_t bhi_number_write_special_float(char *out, float number)
{
    return write_special(out, bits_of_float(number), FLOAT_EXPONENT, 8);
}

bool bhi_number_read_special(const char *text, size_t length, double *out)
{
    uint64_t bits;

    if (!read_special(text, length, DOUBLE_EXPONENT, 16, &bits))
        return false;
    memcpy(out, &bits, sizeof(*out));
    return true;
}

bool bhi_number_read_special_float(const char *text, size_t length, float *out)
{
    uint64_t bits;

    if (!read_special(text, length, FLOAT_EXPONENT, 8, &bits))
        return false;
    uint32_t low = (uint32_t)bits;
    memcpy(out, &low, sizeof(*out));
    return true;
}

/* ---- reading ---- */

/* The parts of a number's text; a count of 0 means that the part is absent. */
struct parts {
    bool negative;
    const char *whole;
    size_t whole_count;
    const char *fraction;
    size_t fraction_count;
    bool has_exponent;
    bool exponent_negative;
    const char *exponent;
    size_t exponent_count;
};

static size_t count_digits(const char *text, size_t length, size_t at)
{
    size_t start = at;

    while (at < length && is_digit(text[at]))
        at++;
    return at - start;
}

static bool split_exponent(struct parts *parts, const char *text, size_t length, size_t *at)
{
    if (*at == length || (text[*at] != 'e' && text[*at] != 'E'))
        return true;
    parts->has_exponent = true;
    ++*at;
    if (*at < length && (text[*at] == '+' || text[*at] == '-'))
        parts->exponent_negative = text[(*at)++] == '-';
    parts->exponent = text + *at;
    parts->exponent_count = count_digits(text, length, *at);
    *at += parts->exponent_count;
    return parts->exponent_count > 0;
}

/* RFC 8259's grammar of a number. On false *at is where the text departs from it. */
static bool split(struct parts *parts, const char *text, size_t length, size_t *at)
{
    *at = 0;
    *parts = (struct parts){
        .negative = length > 0 && text[0] == '-', .fraction = text, .exponent = text};
    *at += parts->negative;
    parts->whole = text + *at;
    parts->whole_count = count_digits(text, length, *at);
    if (parts->whole_count == 0)
        return false;
    if (parts->whole[0] == '0' && parts->whole_count > 1) {
        ++*at;
        return false;
    }
    *at += parts->whole_count;
    if (*at < length && text[*at] == '.') {
        ++*at;
        parts->fraction = text + *at;
        parts->fraction_count = count_digits(text, length, *at);
        *at += parts->fraction_count;
        if (parts->fraction_count == 0)
            return false;
    }
    return split_exponent(parts, text, length, at);
}

static int read_integer(const struct parts *parts, bh_value *out)
{
    uint64_t number;

    if (!accumulate(parts->whole, parts->whole_count, &number))
        return BH_E_RANGE;
    if (parts->negative) {
        if (number > (uint64_t)INT64_MAX + 1)
            return BH_E_RANGE;
        /* negated in two steps: INT64_MIN has no positive counterpart */
        *out = bh_value_int64(number == 0 ? 0 : -(int64_t)(number - 1) - 1);
    } else {
        *out = number > INT64_MAX ? bh_value_uint64(number) : bh_value_int64((int64_t)number);
    }
    return BH_OK;
}

/* Appends significant digits; of those beyond DIGITS_MAX only whether one is not zero matters. */
static void add_digits(struct decimal *decimal, const char *digits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (decimal->count < DIGITS_MAX)
            decimal->digits[decimal->count++] = digits[i];
        else if (digits[i] != '0')
            decimal->digits[DIGITS_MAX] = '1';
    }
}

static size_t count_zeros(const char *digits, size_t count)
{
    size_t zeros = 0;

    while (zeros < count && digits[zeros] == '0')
        zeros++;
    return zeros;
}

static int64_t clamp(int64_t number)
{
    if (number > EXPONENT_MAX)
        return EXPONENT_MAX;
    return number < -EXPONENT_MAX ? -EXPONENT_MAX : number;
}

/* The exponent as written; one with more digits than a size has stands for any that is as large. */
static int64_t read_exponent(const struct parts *parts)
{
    size_t zeros = count_zeros(parts->exponent, parts->exponent_count);
    uint64_t number = 0;

    if (!accumulate(parts->exponent + zeros, parts->exponent_count - zeros, &number) ||
        number > INT64_MAX / 4)
        number = INT64_MAX / 4;
    return parts->exponent_negative ? -(int64_t)number : (int64_t)number;
}

static int read_double(const struct parts *parts, bh_value *out)
{
    size_t zeros = count_zeros(parts->whole, parts->whole_count);
    int64_t point = (int64_t)(parts->whole_count - zeros);
    size_t skip = 0;
    struct decimal decimal = {.negative = parts->negative};

    decimal.digits[DIGITS_MAX] = '0';
    add_digits(&decimal, parts->whole + zeros, parts->whole_count - zeros);
    if (point == 0) {
        skip = count_zeros(parts->fraction, parts->fraction_count);
        point = -(int64_t)skip;
    }
    add_digits(&decimal, parts->fraction + skip, parts->fraction_count - skip);
    if (decimal.digits[DIGITS_MAX] != '0')
        decimal.count = DIGITS_MAX + 1;
    if (decimal.count == 0)
        decimal.digits[decimal.count++] = '0';
    decimal.point = (int)clamp(point + read_exponent(parts));
    *out = bh_value_double(to_double(&decimal));
    return bhi_number_is_finite(out->as.real) ? BH_OK : BH_E_RANGE;
}

int bhi_number_read(const char *text, size_t length, size_t *used, bh_value *out)
{
    struct parts parts;

    if (!split(&parts, text, length, used))
        return BH_E_SYNTAX;
    if (parts.fraction_count == 0 && !parts.has_exponent)
        return read_integer(&parts, out);
    return read_double(&parts, out);
}
