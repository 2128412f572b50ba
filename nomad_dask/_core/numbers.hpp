// JSON numbers: exact integers of 64 bits, and floats rounded to the nearest double.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#if !defined(__cpp_lib_to_chars)
#include <locale.h>
#include <stdlib.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif
#endif

namespace core {

struct Number {
    bool is_integer = false;
    bool fits = false;  // an integer within int64
    int64_t integer = 0;
    double real = 0.0;
};

// Python reads integers of up to so many digits.
constexpr std::ptrdiff_t MOST_DIGITS = 4300;

inline bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// True if the first digit of a number that is not 0 is before the decimal point, when the point is moved by the exponent.
inline bool is_at_least_one(const char* p, const char* end, int64_t exponent) {
    if (*p == '-') p++;
    const char* point = p;
    while (is_digit(*point)) point++;
    const char* first = p;
    while (first < end && (*first == '0' || *first == '.')) first++;
    const int64_t place = first < point ? point - first - 1 : point - first;
    return place + exponent >= 0;
}

// The double nearest to the digits from `begin` to `end`, which are a valid JSON number with this exponent after its `e`.
// False if it is not finite.
inline bool round_to_double(const char* begin, const char* end, int64_t exponent, double& value) {
#if defined(__cpp_lib_to_chars)
    const auto found = std::from_chars(begin, end, value);
    if (found.ec == std::errc::result_out_of_range) {
        value = *begin == '-' ? -0.0 : 0.0;
        return !is_at_least_one(begin, end, exponent);
    }
    return found.ec == std::errc() && std::isfinite(value);
#else
    // Without the locale's decimal point.
    (void)exponent;
    static const locale_t plain = newlocale(LC_ALL_MASK, "C", static_cast<locale_t>(nullptr));
    value = strtod_l(std::string(begin, end).c_str(), nullptr, plain);
    return std::isfinite(value);
#endif
}

constexpr double POWERS_OF_TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// Reads a number and returns its end; null if it is no JSON, no finite double, or an integer too long for Python.
inline const char* read_number(const char* p, Number& number) {
    const char* begin = p;
    const bool is_negative = *p == '-';
    if (is_negative) p++;
    if (!is_digit(*p)) return nullptr;
    const char* digits = p;
    uint64_t mantissa = 0;
    if (*p == '0') {
        p++;
        if (is_digit(*p)) return nullptr;
    } else {
        while (is_digit(*p)) mantissa = mantissa * 10 + static_cast<uint64_t>(*p++ - '0');
    }
    std::ptrdiff_t n_digits = p - digits;
    if (*p != '.' && *p != 'e' && *p != 'E') {
        number.is_integer = true;
        if (n_digits > MOST_DIGITS) return nullptr;
        const uint64_t most = static_cast<uint64_t>(INT64_MAX) + (is_negative ? 1 : 0);
        number.fits = n_digits < 19 || (n_digits == 19 && mantissa <= most);
        number.integer = static_cast<int64_t>(is_negative ? 0 - mantissa : mantissa);
        return p;
    }
    number.is_integer = false;
    std::ptrdiff_t n_fraction = 0;
    if (*p == '.') {
        const char* fraction = ++p;
        while (is_digit(*p)) mantissa = mantissa * 10 + static_cast<uint64_t>(*p++ - '0');
        n_fraction = p - fraction;
        if (!n_fraction) return nullptr;
        n_digits += n_fraction;
    }
    int64_t exponent = 0;
    if (*p == 'e' || *p == 'E') {
        p++;
        const bool is_small = *p == '-';
        if (*p == '-' || *p == '+') p++;
        if (!is_digit(*p)) return nullptr;
        for (; is_digit(*p); p++) {
            if (exponent < 100000) exponent = exponent * 10 + (*p - '0');
        }
        if (is_small) exponent = -exponent;
    }
    const int64_t written = exponent;
    exponent -= n_fraction;
    // Both factors are exact, so that the result is rounded once.
    if (n_digits <= 19 && mantissa <= (uint64_t{1} << 53) && exponent >= -22 && exponent <= 22) {
        const double exact = static_cast<double>(mantissa);
        const double value = exponent < 0 ? exact / POWERS_OF_TEN[-exponent] : exact * POWERS_OF_TEN[exponent];
        number.real = is_negative ? -value : value;
        return p;
    }
    return round_to_double(begin, p, written, number.real) ? p : nullptr;
}

}  // namespace core
