// JSON numbers: exact integers of 64 bits, and floats rounded to the nearest double.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#if defined(_MSC_VER)
#include <intrin.h>
#endif
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

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr bool IS_LITTLE_ENDIAN = false;
#else
constexpr bool IS_LITTLE_ENDIAN = true;
#endif

struct Wide {  // an integer of 128 bits
    uint64_t high, low;
};

inline Wide multiply(uint64_t one, uint64_t other) {
#if defined(_MSC_VER) && defined(_M_X64)
    Wide product;
    product.low = _umul128(one, other, &product.high);
    return product;
#elif defined(_MSC_VER)
    return {__umulh(one, other), one * other};
#else
    const auto product = static_cast<unsigned __int128>(one) * other;
    return {static_cast<uint64_t>(product >> 64), static_cast<uint64_t>(product)};
#endif
}

inline int leading_zeros(uint64_t value) {
#if defined(_MSC_VER)
    unsigned long bit;
    _BitScanReverse64(&bit, value);
    return 63 - static_cast<int>(bit);
#else
    return __builtin_clzll(value);
#endif
}

// The first 128 bits of 5^q for q from SMALLEST to LARGEST, from exact integers. Where 5^-q has at most 64 bits, the
// reciprocal is rounded up, else bits are cut off.
class PowersOfFive {
  public:
    static constexpr int SMALLEST = -342, LARGEST = 308;

    PowersOfFive() {
        Integer power{}, reciprocal{};
        power[0] = 1;
        reciprocal[N - 1] = uint64_t{1} << 63;
        for (int q = 0; q <= LARGEST; q++, times_five(power)) found_[q - SMALLEST] = first_bits(power);
        for (int q = -1; q >= SMALLEST; q--) {
            divide_by_five(reciprocal);
            Wide bits = first_bits(reciprocal);
            if (q >= -27 && !++bits.low) bits.high++;
            found_[q - SMALLEST] = bits;
        }
    }

    const Wide& operator[](int64_t q) const { return found_[q - SMALLEST]; }

  private:
    static constexpr int N = 18;       // 1,152 bits: more than 342 divisions by 5 leave than 128
    using Integer = uint64_t[N];       // the least significant first

    static void times_five(Integer& value) {
        uint64_t carry = 0;
        for (uint64_t& limb : value) {
            const Wide product = multiply(limb, 5);
            limb = product.low + carry;
            carry = product.high + (limb < carry);
        }
    }

    static void divide_by_five(Integer& value) {  // by halves of limbs
        uint64_t rest = 0;
        for (int i = N - 1; i >= 0; i--) {
            const uint64_t high = rest << 32 | value[i] >> 32, low = (high % 5) << 32 | (value[i] & 0xffffffff);
            value[i] = (high / 5) << 32 | low / 5;
            rest = low % 5;
        }
    }

    static Wide first_bits(const Integer& value) {
        int top = N - 1;
        while (!value[top]) top--;
        const int shift = leading_zeros(value[top]);
        auto limb = [&](int i) { return i < 0 ? uint64_t{0} : value[i]; };
        auto shifted = [&](int i) { return shift ? limb(i) << shift | limb(i - 1) >> (64 - shift) : limb(i); };
        return {shifted(top), shifted(top - 1)};
    }

    Wide found_[LARGEST - SMALLEST + 1];
};

inline const PowersOfFive powers_of_five;

// The bits of the double nearest to mantissa * 10^q, by the algorithm of Eisel and Lemire (Software: Practice and
// Experience 51, 2021). False where it cannot tell, and for subnormal and infinite doubles.
inline bool nearest_double(uint64_t mantissa, int64_t q, uint64_t& bits) {
    if (q < PowersOfFive::SMALLEST || q > PowersOfFive::LARGEST) return false;
    if (!mantissa) return bits = 0, true;
    const int zeros = leading_zeros(mantissa);
    const Wide& power = powers_of_five[q];
    Wide product = multiply(mantissa << zeros, power.high);
    if ((product.high & 0x1ff) == 0x1ff) {
        const Wide rest = multiply(mantissa << zeros, power.low);
        product.low += rest.high;
        product.high += product.low < rest.high;
        if (product.low == UINT64_MAX && (q < -27 || q > 55)) return false;
    }
    const int upper = static_cast<int>(product.high >> 63);
    uint64_t found = product.high >> (upper + 9);
    int64_t exponent = ((217706 * q) >> 16) + 63 + upper - zeros + 1023;
    if (exponent <= 0) return false;
    // Half way between two doubles.
    if (product.low <= 1 && q >= -4 && q <= 23 && (found & 3) == 1 && found << (upper + 9) == product.high) found &= ~1ULL;
    found = (found + (found & 1)) >> 1;
    if (found >= uint64_t{1} << 53) found >>= 1, exponent++;
    if (exponent >= 0x7ff) return false;
    bits = (found & ~(uint64_t{1} << 52)) | static_cast<uint64_t>(exponent) << 52;
    return true;
}

// Reads digits into a mantissa, eight at a time where there are so many: the text has a margin behind it.
inline const char* read_digits(const char* p, uint64_t& mantissa) {
    for (;;) {
        uint64_t eight;
        std::memcpy(&eight, p, 8);
        if (((eight & (eight + 0x0606060606060606)) & 0xf0f0f0f0f0f0f0f0) != 0x3030303030303030) break;
        if (IS_LITTLE_ENDIAN) {
            eight = (eight & 0x0f0f0f0f0f0f0f0f) * 2561 >> 8 & 0x00ff00ff00ff00ff;
            eight = eight * 6553601 >> 16 & 0x0000ffff0000ffff;
            eight = eight * 42949672960001 >> 32;
        } else {
            eight = 0;
            for (int i = 0; i < 8; i++) eight = eight * 10 + static_cast<uint64_t>(p[i] - '0');
        }
        mantissa = mantissa * 100000000 + eight;
        p += 8;
    }
    while (is_digit(*p)) mantissa = mantissa * 10 + static_cast<uint64_t>(*p++ - '0');
    return p;
}

// Reads a number, with a margin behind the text, and returns its end; null if it is no JSON, no finite double, or an integer too long for Python.
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
        p = read_digits(p, mantissa);
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
        p = read_digits(p, mantissa);
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
    if (n_digits <= 19) {
        if (mantissa <= (uint64_t{1} << 53) && exponent >= -22 && exponent <= 22) {
            // Both factors are exact, so that the result is rounded once.
            const double exact = static_cast<double>(mantissa);
            number.real = exponent < 0 ? exact / POWERS_OF_TEN[-exponent] : exact * POWERS_OF_TEN[exponent];
            if (is_negative) number.real = -number.real;
            return p;
        }
        uint64_t bits;
        if (nearest_double(mantissa, exponent, bits)) {
            bits |= static_cast<uint64_t>(is_negative) << 63;
            std::memcpy(&number.real, &bits, 8);
            return p;
        }
    }
    return round_to_double(begin, p, written, number.real) ? p : nullptr;
}

}  // namespace core
