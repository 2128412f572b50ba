// JSON text: blanks, strings, UTF-8, and values that are skipped. Every reader is strict (RFC 8259), and expects
// `MARGIN` zero bytes after the text.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "numbers.hpp"

#if defined(__SSE2__) || defined(_M_X64)
#define NOMAD_DASK_SSE2 1
#include <emmintrin.h>
#if defined(_MSC_VER)
#include <intrin.h>
#endif
#endif

namespace core {

constexpr size_t MARGIN = 64;
constexpr int MOST_LEVELS = 100;  // common.json_rules.MAX_LEVELS

inline bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

inline const char* skip_blanks(const char* p) {
    while (is_blank(*p)) p++;
    return p;
}

#if NOMAD_DASK_SSE2
inline int first_bit(int mask) {
#if defined(_MSC_VER)
    unsigned long bit;
    _BitScanForward(&bit, static_cast<unsigned long>(mask));
    return static_cast<int>(bit);
#else
    return __builtin_ctz(static_cast<unsigned>(mask));
#endif
}
#endif

// The first quote, backslash or control character.
inline const char* next_special(const char* p) {
#if NOMAD_DASK_SSE2
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);
    for (;; p += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const __m128i found = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
        if (const int mask = _mm_movemask_epi8(found)) return p + first_bit(mask);
    }
#else
    while (*p != '"' && *p != '\\' && static_cast<unsigned char>(*p) >= 0x20) p++;
    return p;
#endif
}

// From behind the opening quote to the closing one; null if the string is not terminated, or holds a control character.
inline const char* end_of_string(const char* p, bool& has_escapes) {
    for (;;) {
        p = next_special(p);
        if (*p == '"') return p;
        if (*p != '\\' || static_cast<unsigned char>(p[1]) < 0x20) return nullptr;
        has_escapes = true;
        p += 2;
    }
}

inline int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

inline int32_t hex_unit(const char* p, const char* end) {
    if (end - p < 4) return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

inline void append_utf8(std::string& out, uint32_t code) {
    auto add = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    auto tail = [&add, code](int shift) { add(0x80 | ((code >> shift) & 0x3f)); };
    if (code < 0x80) {
        add(code);
    } else if (code < 0x800) {
        add(0xc0 | code >> 6), tail(0);
    } else if (code < 0x10000) {
        add(0xe0 | code >> 12), tail(6), tail(0);
    } else {
        add(0xf0 | code >> 18), tail(12), tail(6), tail(0);
    }
}

// The string between two quotes, without its escapes; false for an invalid one, and for half of a surrogate pair.
inline bool unescape(const char* p, const char* end, std::string& out) {
    out.clear();
    while (p < end) {
        if (*p != '\\') {
            out.push_back(*p++);
            continue;
        }
        const char kind = p[1];
        p += 2;
        switch (kind) {
            case '"': case '\\': case '/': out.push_back(kind); break;
            case 'b': out.push_back('\b'); break;
            case 'f': out.push_back('\f'); break;
            case 'n': out.push_back('\n'); break;
            case 'r': out.push_back('\r'); break;
            case 't': out.push_back('\t'); break;
            case 'u': {
                int32_t unit = hex_unit(p, end);
                if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff)) return false;
                p += 4;
                uint32_t code = static_cast<uint32_t>(unit);
                if (unit >= 0xd800 && unit <= 0xdbff) {
                    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return false;
                    unit = hex_unit(p + 2, end);
                    if (unit < 0xdc00 || unit > 0xdfff) return false;
                    p += 6;
                    code = 0x10000 + ((code - 0xd800) << 10) + static_cast<uint32_t>(unit - 0xdc00);
                }
                append_utf8(out, code);
                break;
            }
            default: return false;
        }
    }
    return true;
}

// The bytes of the UTF-8 character at `p`; 0 if it is invalid.
inline int utf8_length(const unsigned char* p, const unsigned char* end) {
    auto is_tail = [end](const unsigned char* at) { return at < end && (*at & 0xc0) == 0x80; };
    const unsigned char first = *p;
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4 || !is_tail(p + 1)) return 0;
    if (first < 0xe0) return 2;
    if (!is_tail(p + 2)) return 0;
    if (first < 0xf0) {
        const bool is_overlong = first == 0xe0 && p[1] < 0xa0, is_surrogate = first == 0xed && p[1] > 0x9f;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    const bool is_overlong = first == 0xf0 && p[1] < 0x90, is_beyond = first == 0xf4 && p[1] > 0x8f;
    return is_overlong || is_beyond || !is_tail(p + 3) ? 0 : 4;
}

// The first byte that is not UTF-8, or `end`.
inline const char* valid_utf8_until(const char* begin, const char* end) {
    const auto* p = reinterpret_cast<const unsigned char*>(begin);
    const auto* stop = reinterpret_cast<const unsigned char*>(end);
    while (p < stop) {
        uint64_t eight;
        if (stop - p >= 8 && (std::memcpy(&eight, p, 8), !(eight & 0x8080808080808080u))) {
            p += 8;
            continue;
        }
        const int length = utf8_length(p, stop);
        if (!length) break;
        p += length;
    }
    return reinterpret_cast<const char*>(p);
}

inline const char* read_literal(const char* p) {
    if (!std::memcmp(p, "true", 4) || !std::memcmp(p, "null", 4)) return p + 4;
    return std::memcmp(p, "false", 5) ? nullptr : p + 5;
}

// Skips values; `level` is that of the value, and none is deeper than `MOST_LEVELS`.
struct Skipper {
    std::string unescaped;

    const char* string(const char* p) {
        bool has_escapes = false;
        const char* end = end_of_string(p + 1, has_escapes);
        if (!end || (has_escapes && !unescape(p + 1, end, unescaped))) return nullptr;
        return end + 1;
    }

    // The end of a value; null if it is invalid.
    const char* value(const char* p, int level) {
        switch (*p) {
            case '"': return string(p);
            case '{': return members(p, level + 1);
            case '[': return items(p, level + 1);
            case 't': case 'f': case 'n': return read_literal(p);
            default: {
                Number number;
                return read_number(p, number);
            }
        }
    }

    const char* members(const char* p, int level) {
        if (level > MOST_LEVELS) return nullptr;
        p = skip_blanks(p + 1);
        if (*p == '}') return p + 1;
        for (;;) {
            if (*p != '"' || !(p = string(p))) return nullptr;
            p = skip_blanks(p);
            if (*p != ':') return nullptr;
            if (!(p = value(skip_blanks(p + 1), level))) return nullptr;
            p = skip_blanks(p);
            if (*p == '}') return p + 1;
            if (*p != ',') return nullptr;
            p = skip_blanks(p + 1);
        }
    }

    const char* items(const char* p, int level) {
        if (level > MOST_LEVELS) return nullptr;
        p = skip_blanks(p + 1);
        if (*p == ']') return p + 1;
        for (;;) {
            if (!(p = value(p, level))) return nullptr;
            p = skip_blanks(p);
            if (*p == ']') return p + 1;
            if (*p != ',') return nullptr;
            p = skip_blanks(p + 1);
        }
    }
};

}  // namespace core
