// The rows of an answer: objects with an entry's id and archive, with commas between them.
#pragma once

#include "columns.hpp"
#include "walk.hpp"

namespace core {

struct Row {
    std::string id;
    size_t begin = 0, end = 0;  // of the archive
    bool is_read = false;       // into columns; else Python reads it
};

constexpr size_t LONGEST_ID = 64;  // client.answers

class Rows {
  public:
    Vector<Row> found;
    size_t n_read = 0;  // bytes of rows that were read; the next row is for Python to judge

    const char* base() const { return buffer_.begin(); }

    // Copies the text, with a margin behind it.
    void open(const char* text, size_t n_bytes) {
        found.clear();
        n_read = 0;
        buffer_.reserve(n_bytes + MARGIN);
        if (n_bytes) std::memcpy(buffer_.begin(), text, n_bytes);
        std::memset(buffer_.begin() + n_bytes, 0, MARGIN);
        const char* whole = base() + n_bytes;
        end_ = valid_utf8_until(base(), whole);
        is_valid_ = end_ == whole;
        if (!is_valid_) std::memset(buffer_.begin() + (end_ - base()), 0, MARGIN);
    }

    // Reads rows until the end, or until one that is for Python to judge. `read(p)` reads the archive at `p`; `undo()`
    // takes back the archive of the present row.
    template <class Read, class Undo>
    void read(Read read, Undo undo) {
        const char* p = skip_blanks(base());
        if (p == end_) {
            n_read = is_valid_ ? offset(p) : 0;
            return;
        }
        for (const char* comma = p;;) {
            Row row;
            const char* begin = p;
            bool is_last = false;
            if ((p = read_row(p, row, read))) {
                p = skip_blanks(p);
                is_last = p == end_ && is_valid_;
            }
            if (!p || (!is_last && *p != ',')) {
                if (row.is_read) undo();
                n_read = offset(begin == end_ ? comma : begin);
                return;
            }
            found.push_back(std::move(row));
            if (is_last) {
                n_read = offset(p);
                return;
            }
            comma = p;
            p = skip_blanks(p + 1);
        }
    }

  private:
    size_t offset(const char* p) const { return static_cast<size_t>(p - base()); }

    // The end of the row at `p`; null if it is for Python to judge.
    template <class Read>
    const char* read_row(const char* p, Row& row, Read read) {
        if (*p != '{') return nullptr;
        p = skip_blanks(p + 1);
        bool has_archive = false;
        for (;;) {
            bool has_escapes = false;
            const char* end = *p == '"' ? end_of_string(p + 1, has_escapes) : nullptr;
            if (!end || has_escapes) return nullptr;
            const std::string_view key(p + 1, static_cast<size_t>(end - p - 1));
            p = skip_blanks(end + 1);
            if (*p != ':') return nullptr;
            p = skip_blanks(p + 1);
            const char* value = p;
            if (key == "archive") {
                if (has_archive || *p != '{') return nullptr;
                has_archive = true;
                const Status status = read(p);
                if (status == Status::Stop) return nullptr;
                row.is_read = status == Status::Ok;
                if (!row.is_read && !(p = skipper_.value(value, 0))) return nullptr;
                row.begin = offset(value);
                row.end = offset(p);
            } else {
                if (!(p = skipper_.value(p, 0))) return nullptr;
                if (key == "entry_id" && !read_id(value, p, row.id)) return nullptr;
            }
            p = skip_blanks(p);
            if (*p == '}') return has_archive && !row.id.empty() ? p + 1 : nullptr;
            if (*p != ',') return nullptr;
            p = skip_blanks(p + 1);
        }
    }

    static bool read_id(const char* begin, const char* end, std::string& id) {
        if (!id.empty() || *begin != '"') return false;
        id.assign(begin + 1, static_cast<size_t>(end - begin - 2));
        for (const char c : id) {
            const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            if (!is_letter && !is_digit(c) && c != '-' && c != '_') return false;
        }
        return !id.empty() && id.size() <= LONGEST_ID;
    }

    Buffer buffer_;
    Skipper skipper_;
    const char* end_ = nullptr;
    bool is_valid_ = true;
};

}  // namespace core
