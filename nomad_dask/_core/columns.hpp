// Arrow columns that grow value by value, with an undo log, and their export by the Arrow C data interface.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

struct ArrowArray {  // https://arrow.apache.org/docs/format/CDataInterface.html
    int64_t length, null_count, offset, n_buffers, n_children;
    const void** buffers;
    ArrowArray** children;
    ArrowArray* dictionary;
    void (*release)(ArrowArray*);
    void* private_data;
};

namespace core {

// For tests: the number of allocations until one fails; negative for never.
inline long long allocations_left = -1;

inline void count_allocation() {
    if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
}

template <class T>
struct Counted {  // an allocator whose failures tests can cause
    using value_type = T;
    Counted() = default;
    template <class U>
    Counted(const Counted<U>&) {}
    T* allocate(size_t n) {
        count_allocation();
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* p, size_t n) { std::allocator<T>().deallocate(p, n); }
    bool operator==(const Counted&) const { return true; }
    bool operator!=(const Counted&) const { return false; }
};

template <class T>
using Vector = std::vector<T, Counted<T>>;

// Memory that grows.
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(begin_); }

    char* begin() const { return begin_; }

    template <class T>
    T* as() const { return reinterpret_cast<T*>(begin_); }

    void reserve(size_t n_bytes) {
        if (n_bytes > capacity_) grow(n_bytes);
    }

    // For bits: new memory is zero.
    void reserve_bits(size_t n_bits) {
        const size_t before = capacity_;
        reserve(n_bits / 8 + 8);
        if (capacity_ > before) std::memset(begin_ + before, 0, capacity_ - before);
    }

    // For the offsets of strings and lists: the first one is 0.
    void reserve_offsets(size_t n_rows) {
        const bool is_new = !capacity_;
        reserve((n_rows + 1) * 4);
        if (is_new) *as<int32_t>() = 0;
    }

    char* release() {
        char* held = begin_;
        begin_ = nullptr;
        capacity_ = 0;
        return held;
    }

  private:
    void grow(size_t n_bytes) {
        count_allocation();
        size_t wanted = capacity_ ? capacity_ * 2 : 64;
        while (wanted < n_bytes) wanted *= 2;
        auto* grown = static_cast<char*>(std::realloc(begin_, wanted));
        if (!grown) throw std::bad_alloc();
        begin_ = grown;
        capacity_ = wanted;
    }

    char* begin_ = nullptr;
    size_t capacity_ = 0;
};

enum class Kind : uint8_t { Bool, Int, Float, String, Text, List, Struct };

struct Column {
    Kind kind = Kind::Text;
    bool holds_cells = false;  // a scalar, or lists of scalars
    uint32_t length = 0;       // rows so far; later ones are null
    uint32_t n_valid = 0;
    uint32_t used = 0;         // bytes of strings, items of lists
    Buffer validity, data, offsets;
    std::vector<std::unique_ptr<Column>> children;

    bool is_text() const { return kind == Kind::String || kind == Kind::Text; }

    // Nulls up to a length.
    void pad(uint32_t to) {
        if (length >= to) return;
        if (kind == Kind::Int || kind == Kind::Float) {
            data.reserve(size_t{to} * 8);
            std::memset(data.begin() + size_t{length} * 8, 0, size_t{to - length} * 8);
        } else if (is_text() || kind == Kind::List) {
            offsets.reserve_offsets(to);
            auto* ends = offsets.as<int32_t>() + 1;
            for (uint32_t row = length; row < to; row++) ends[row] = static_cast<int32_t>(used);
        }
        length = to;
    }
};

struct Undo {  // the column before one value, or several, were put
    Column* column;
    uint32_t length, used;
};

// Puts values into columns, and takes them back in the opposite order.
class Writer {
  public:
    size_t mark() const { return log_.size(); }
    void forget() { log_.clear(); }

    void put_number(Column& column, uint32_t row, uint64_t bits) {
        column.data.reserve((size_t{row} + 1) * 8);
        begin(column, row);
        column.data.as<uint64_t>()[row] = bits;
    }

    void put_bool(Column& column, uint32_t row, bool value) {
        column.data.reserve_bits(size_t{row} + 1);
        begin(column, row);
        if (value) column.data.begin()[row >> 3] |= static_cast<char>(1 << (row & 7));
    }

    void put_string(Column& column, uint32_t row, const char* text, size_t n_bytes) {
        column.data.reserve(column.used + n_bytes);
        column.offsets.reserve_offsets(size_t{row} + 1);
        begin(column, row);
        if (n_bytes) std::memcpy(column.data.begin() + column.used, text, n_bytes);
        column.used += static_cast<uint32_t>(n_bytes);
        column.offsets.as<int32_t>()[row + 1] = static_cast<int32_t>(column.used);
    }

    void open_list(Column& column, uint32_t row) {
        column.offsets.reserve_offsets(size_t{row} + 1);
        begin(column, row);
        column.offsets.as<int32_t>()[row + 1] = static_cast<int32_t>(column.used);
    }

    static void close_list(Column& column, uint32_t row, uint32_t n_items) {
        column.used += n_items;
        column.offsets.as<int32_t>()[row + 1] = static_cast<int32_t>(column.used);
    }

    void put_struct(Column& column, uint32_t row) { begin(column, row); }

    // Begins numbers that `add_number` puts, from a row on.
    void begin_numbers(Column& column, uint32_t row) {
        column.validity.reserve_bits(row);
        log(column, row);
    }

    // Puts a number behind all rows of a column.
    static void add_number(Column& column, uint64_t bits) {
        const uint32_t row = column.length;
        column.validity.reserve_bits(size_t{row} + 1);
        column.data.reserve((size_t{row} + 1) * 8);
        column.data.as<uint64_t>()[row] = bits;
        set_valid(column, row);
    }

    void undo(size_t mark) {
        while (log_.size() > mark) {
            const Undo last = log_.back();
            log_.pop_back();
            Column& column = *last.column;
            for (uint32_t row = last.length; row < column.length; row++) {
                const char bit = static_cast<char>(1 << (row & 7));
                if (!(column.validity.begin()[row >> 3] & bit)) continue;
                column.n_valid--;
                column.validity.begin()[row >> 3] &= static_cast<char>(~bit);
                if (column.kind == Kind::Bool) column.data.begin()[row >> 3] &= static_cast<char>(~bit);
            }
            column.length = last.length;
            column.used = last.used;
        }
    }

  private:
    // All memory is there before anything changes, so that a failed allocation leaves nothing half done.
    void begin(Column& column, uint32_t row) {
        column.validity.reserve_bits(size_t{row} + 1);
        log(column, row);
        set_valid(column, row);
    }

    void log(Column& column, uint32_t row) {
        const Undo before{&column, column.length, column.used};
        if (column.length < row) {
            if (log_.size() == log_.capacity()) log_.reserve(log_.size() * 2 + 64);
            column.pad(row);
        }
        log_.push_back(before);
    }

    static void set_valid(Column& column, uint32_t row) {
        column.validity.begin()[row >> 3] |= static_cast<char>(1 << (row & 7));
        column.n_valid++;
        column.length = row + 1;
    }

    Vector<Undo> log_;
};

namespace exported {

// Frees the array, whatever its children's state: Arrow may have moved them away.
inline void release(ArrowArray* array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        ArrowArray* child = array->children[i];
        if (child && child->release) child->release(child);
        std::free(child);
    }
    if (array->buffers) {
        for (int64_t i = 0; i < array->n_buffers; i++) std::free(const_cast<void*>(array->buffers[i]));
    }
    std::free(array->buffers);
    std::free(array->children);
    array->release = nullptr;
}

inline void* zeroed(size_t n, size_t size) {
    count_allocation();
    void* found = std::calloc(n ? n : 1, size);
    if (!found) throw std::bad_alloc();
    return found;
}

inline void begin(ArrowArray& array, int64_t length, int64_t n_buffers, size_t n_children) {
    std::memset(&array, 0, sizeof array);
    array.length = length;
    array.release = release;
    array.buffers = static_cast<const void**>(zeroed(static_cast<size_t>(n_buffers), sizeof(void*)));
    array.n_buffers = n_buffers;
    array.children = static_cast<ArrowArray**>(zeroed(n_children, sizeof(ArrowArray*)));
    array.n_children = static_cast<int64_t>(n_children);
    for (size_t i = 0; i < n_children; i++) {
        array.children[i] = static_cast<ArrowArray*>(zeroed(1, sizeof(ArrowArray)));
    }
}

// Moves a column's memory into an Arrow array, and empties the column.
inline void column(Column& from, uint32_t length, ArrowArray& to) {
    from.pad(length);
    const bool has_offsets = from.is_text() || from.kind == Kind::List;
    from.validity.reserve_bits(length);
    if (from.kind == Kind::Bool) {
        from.data.reserve_bits(length);
    } else if (from.kind != Kind::Struct && from.kind != Kind::List) {
        from.data.reserve(8);
    }
    if (has_offsets) from.offsets.reserve_offsets(length);
    begin(to, length, from.kind == Kind::Struct ? 1 : from.is_text() ? 3 : 2, from.children.size());
    const uint32_t n_below = from.kind == Kind::List ? from.used : length;
    for (size_t i = 0; i < from.children.size(); i++) column(*from.children[i], n_below, *to.children[i]);
    to.null_count = int64_t{length} - from.n_valid;
    if (to.null_count) to.buffers[0] = from.validity.release();
    if (has_offsets) to.buffers[1] = from.offsets.release();
    if (from.is_text()) {
        to.buffers[2] = from.data.release();
    } else if (from.kind != Kind::List && from.kind != Kind::Struct) {
        to.buffers[1] = from.data.release();
    }
    std::free(from.validity.release());
    std::free(from.data.release());
    std::free(from.offsets.release());
    from.length = from.n_valid = from.used = 0;
}

}  // namespace exported

}  // namespace core
