// What all layouts share: the trie of keys, cells, and values that go back to Python.
//
// The walk reads the text of an archive once. A `Node` holds the keys of one section, and a `Slot` says what to do with
// the values under a key. Slots are found by guessing that keys come in the order of the archive before.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "columns.hpp"
#include "text.hpp"

namespace core {

enum class Status {
    Ok,
    Misfit,  // the value does not fit its column
    Entry,   // Python reads this entry
    Stop,    // invalid text, or text that only Python judges
};

// Keys outside the schema that nodes remember at most.
constexpr size_t MOST_NEW = size_t{1} << 17;

// The keys of the columns' names. A section of a list is under its number.
struct Names {
    std::unordered_map<std::string, std::unique_ptr<Names>> below;
    Column* column = nullptr;
    bool is_untyped = false;

    const Names* find(const std::string& key) const {
        const auto found = below.find(key);
        return found == below.end() ? nullptr : found->second.get();
    }
};

// The tree `required`; null where nothing is required.
struct Required {
    bool is_leaf = false;
    std::unordered_map<std::string, std::unique_ptr<Required>> named;  // null: excluded
    std::unique_ptr<Required> rest;

    const Required* child(const std::string& key) const {
        if (is_leaf) return this;
        const auto found = named.find(key);
        return found == named.end() ? rest.get() : found->second.get();
    }
};

struct Node;
struct NestedWay;
struct TablesWay;

// The type of a cell's values, as in `common.types`: lists around a scalar type.
enum class Base : uint8_t { Unseen, Null, Bool, Int, Float, String, Json };

struct CellType {
    Base base = Base::Unseen;
    uint8_t n_lists = 0;
};

enum class Action : uint8_t {
    Drop,
    New,      // no column
    Untyped,  // a column whose type is not yet known
    Scalar,
    Cell,     // a list
    Above,    // a list whose dicts are not required as a whole
    Text,     // JSON text
    Field,    // of a struct
    OnWay,
};

struct Slot {
    std::string key, quoted;
    Node* owner = nullptr;
    Action action = Action::Drop;
    bool is_known = false;  // by the schema
    Column* column = nullptr;
    const Names* names = nullptr;
    const Required* required = nullptr;
    NestedWay* nested_way = nullptr;
    TablesWay* tables_way = nullptr;
    Slot* aside = nullptr;  // of the same key in a table's own node
    CellType type;          // of the values so far
    uint32_t n_archives = 0;  // with a value
    std::unique_ptr<Node> below;
    std::vector<std::unique_ptr<Node>> numbered;
    uint64_t seen = 0;  // the last object with this key
    Slot* next = nullptr;
};

struct Node {
    const Slot* above = nullptr;
    int64_t number = -1;  // in a list
    const Names* names = nullptr;
    const Required* required = nullptr;
    std::vector<std::unique_ptr<Slot>> slots;
    std::unordered_map<std::string_view, Slot*> by_key;
    Slot* first = nullptr;

    Slot* find(std::string_view key) const {
        const auto found = by_key.find(key);
        return found == by_key.end() ? nullptr : found->second;
    }

    Slot* add(std::string_view key) {
        count_allocation();
        auto slot = std::make_unique<Slot>();
        slot->key = std::string(key);
        const bool is_plain = key.find_first_of("\"\\") == std::string_view::npos && valid_key(key);
        slot->quoted = is_plain ? "\"" + slot->key + "\":" : "\x01";  // no text begins so
        slot->owner = this;
        slots.push_back(std::move(slot));
        Slot* added = slots.back().get();
        by_key.emplace(added->key, added);
        return added;
    }

    // Forgets the keys outside the schema.
    void forget_new() {
        first = nullptr;
        size_t kept = 0;
        for (auto& slot : slots) {
            slot->next = nullptr;
            if (!slot->is_known) {
                by_key.erase(slot->key);
                continue;
            }
            if (slot->below) slot->below->forget_new();
            while (!slot->numbered.empty() && !slot->numbered.back()->names) slot->numbered.pop_back();
            for (auto& node : slot->numbered) node->forget_new();
            slots[kept++] = std::move(slot);
        }
        slots.resize(kept);
    }

  private:
    static bool valid_key(std::string_view key) {
        for (const char c : key) {
            if (static_cast<unsigned char>(c) < 0x20) return false;
        }
        return true;
    }
};

// Appends a key as `common.paths.escape` writes it.
inline void append_escaped(std::string& name, std::string_view key) {
    for (const char c : key) {
        if (c == '.' || c == '\\') name.push_back('\\');
        name.push_back(c);
    }
}

inline void append_name(std::string& name, const Slot& slot);

// The name of a section with the dot behind it.
inline void append_prefix(std::string& name, const Node& node) {
    if (!node.above) return;
    append_name(name, *node.above);
    name.push_back('.');
    if (node.number >= 0) {
        name += std::to_string(node.number);
        name.push_back('.');
    }
}

inline void append_name(std::string& name, const Slot& slot) {
    append_prefix(name, *slot.owner);
    append_escaped(name, slot.key);
}

enum class What : uint8_t {
    More,      // for `_more`
    Expected,  // for `_more`, and within the schema
    Text,      // becomes the JSON text of a cell
    Verbatim,  // is the JSON text of a cell
};

// A value that goes back to Python, which decodes its text.
struct Odd {
    What what;
    uint32_t table, row, entry;
    std::string name;
    Column* column;
    uint32_t cell;
    size_t begin, end;
};

struct Mark {
    size_t undo, odds;
    int level;
};

struct Walk {
    Writer writer;
    Vector<Odd> odds;
    Skipper skipper;
    const char* base = nullptr;  // of the text
    int level = 0;
    uint32_t entry = 0;  // the number of the present one
    uint64_t serial = 0;
    size_t n_new = 0, most_new = MOST_NEW;

    Mark mark() const { return {writer.mark(), odds.size(), level}; }

    void go_back(const Mark& to) {
        writer.undo(to.undo);
        odds.erase(odds.begin() + static_cast<std::ptrdiff_t>(to.odds), odds.end());
        level = to.level;
    }

    Status skip(const char*& p) {
        p = skipper.value(p, level);
        return p ? Status::Ok : Status::Stop;
    }

    // Skips a value that goes back to Python.
    Status give_back(What what, uint32_t table, uint32_t row, std::string name, const char*& p) {
        const char* begin = p;
        if (skip(p) != Status::Ok) return Status::Stop;
        odds.push_back({what, table, row, entry, std::move(name), nullptr, 0, offset(begin), offset(p)});
        return Status::Ok;
    }

    // Skips a value that becomes JSON text. The text of most scalars is what Python would write for them.
    Status give_text(uint32_t table, uint32_t row, Column& column, uint32_t cell, const char*& p) {
        const char* begin = p;
        if (skip(p) != Status::Ok) return Status::Stop;
        const What what = is_canonical(begin, p) ? What::Verbatim : What::Text;
        odds.push_back({what, table, row, entry, {}, &column, cell, offset(begin), offset(p)});
        return Status::Ok;
    }

    // The slot of the key at `p`, which is then at the value; null for a key without a slot.
    // `key` is that key, until the next one is read.
    Slot* find_key(const Node& node, Slot* guess, const char*& p, std::string_view& key, Status& status) {
        if (guess && !std::memcmp(p, guess->quoted.data(), guess->quoted.size())) {
            p = skip_blanks(p + guess->quoted.size());
            return guess;
        }
        status = Status::Stop;
        if (*p != '"') return nullptr;
        bool has_escapes = false;
        const char* end = end_of_string(p + 1, has_escapes);
        if (!end) return nullptr;
        key = std::string_view(p + 1, static_cast<size_t>(end - p - 1));
        if (has_escapes) {
            if (!unescape(p + 1, end, key_)) return nullptr;
            key = key_;
        }
        p = skip_blanks(end + 1);
        if (*p != ':') return nullptr;
        p = skip_blanks(p + 1);
        status = Status::Ok;
        return node.find(key);
    }

    // Walks the members of the object at `p`: `make(key)` makes the slot of a key without one, or returns null to drop
    // its value; `member(slot, p)` reads a value.
    template <class Make, class Member>
    Status object(Node& node, const char*& p, Make make, Member member) {
        if (++level > MOST_LEVELS) return Status::Stop;
        const uint64_t mine = ++serial;
        p = skip_blanks(p + 1);
        if (*p == '}') return p++, level--, Status::Ok;
        Slot *guess = node.first, *last = nullptr;
        for (;;) {
            Status status = Status::Ok;
            std::string_view key;
            Slot* slot = find_key(node, guess, p, key, status);
            if (status != Status::Ok) return status;
            if (!slot && !(slot = make(key, status))) {
                if (status == Status::Ok) status = skip(p);
            } else {
                if (slot != guess) (last ? last->next : node.first) = slot;
                if (slot->seen == mine) return Status::Entry;  // a repeated key: the last value counts
                slot->seen = mine;
                status = member(*slot, p);
                last = slot;
                guess = slot->next;
            }
            if (status != Status::Ok) return status;
            if (is_blank(*p)) p = skip_blanks(p);
            if (*p == '}') return p++, level--, Status::Ok;
            if (*p != ',') return Status::Stop;
            p = skip_blanks(p + 1);
        }
    }

    // Walks the items of the list at `p`; `item(number, p)` reads one.
    template <class Item>
    Status list(const char*& p, uint32_t& n_items, Item item) {
        if (++level > MOST_LEVELS) return Status::Stop;
        n_items = 0;
        p = skip_blanks(p + 1);
        if (*p == ']') return p++, level--, Status::Ok;
        for (;;) {
            const Status status = item(n_items, p);
            if (status != Status::Ok) return status;
            n_items++;
            if (is_blank(*p)) p = skip_blanks(p);
            if (*p == ']') return p++, level--, Status::Ok;
            if (*p != ',') return Status::Stop;
            p++;
            if (is_blank(*p)) p = skip_blanks(p);
        }
    }

    // Puts a scalar, or a list of them, into a cell. After a misfit the caller goes back to its mark. Where `is_exact`,
    // floats take only integers that they hold.
    template <bool is_exact>
    Status cell(Column& column, uint32_t row, const char*& p) {
        switch (column.kind) {
            case Kind::String: return *p == '"' ? string_cell(column, row, p) : Status::Misfit;
            case Kind::Bool: {
                if (*p != 't' && *p != 'f') return Status::Misfit;
                const bool value = *p == 't';
                if (!(p = read_literal(p))) return Status::Stop;
                writer.put_bool(column, row, value);
                return Status::Ok;
            }
            case Kind::Int: case Kind::Float: {
                uint64_t bits;
                const Status status = number<is_exact>(column.kind, p, bits);
                if (status == Status::Ok) writer.put_number(column, row, bits);
                return status;
            }
            case Kind::List: {
                if (*p != '[') return Status::Misfit;
                writer.open_list(column, row);
                Column& below = *column.children[0];
                const uint32_t start = column.used;
                uint32_t n_items = 0;
                if (below.kind == Kind::Int || below.kind == Kind::Float) {
                    const Status status = numbers<is_exact>(below, start, p, n_items);
                    if (status == Status::Ok) Writer::close_list(column, row, n_items);
                    return status;
                }
                const Status status = list(p, n_items, [&](uint32_t number, const char*& item) {
                    if (*item != 'n') return cell<is_exact>(below, start + number, item);
                    return (item = read_literal(item)) ? Status::Ok : Status::Stop;
                });
                if (status == Status::Ok) Writer::close_list(column, row, n_items);
                return status;
            }
            default: return Status::Misfit;
        }
    }

    // Remembers a key outside the schema; false if there are too many.
    bool may_add() { return n_new < most_new && ++n_new; }

    size_t offset(const char* p) const { return static_cast<size_t>(p - base); }

  private:
    template <bool is_exact>
    static Status number(Kind kind, const char*& p, uint64_t& bits) {
        if (*p != '-' && !is_digit(*p)) return Status::Misfit;
        Number found;
        if (!(p = read_number(p, found))) return Status::Stop;
        if (found.is_integer && !found.fits) return Status::Misfit;
        if (kind == Kind::Int) {
            if (!found.is_integer) return Status::Misfit;
            bits = static_cast<uint64_t>(found.integer);
            return Status::Ok;
        }
        if (found.is_integer) {
            found.real = static_cast<double>(found.integer);
            if (is_exact && !equals(found.real, found.integer)) return Status::Misfit;
        }
        std::memcpy(&bits, &found.real, 8);
        return Status::Ok;
    }

    // A list of numbers into the rows of its items from `start` on, with one record for undo.
    template <bool is_exact>
    Status numbers(Column& items, uint32_t start, const char*& p, uint32_t& n_items) {
        writer.begin_numbers(items, start);
        return list(p, n_items, [&](uint32_t place, const char*& item) {
            if (*item == 'n') return (item = read_literal(item)) ? Status::Ok : Status::Stop;
            uint64_t bits;
            const Status status = number<is_exact>(items.kind, item, bits);
            if (status == Status::Ok) {
                items.pad(start + place);
                Writer::add_number(items, bits);
            }
            return status;
        });
    }

    Status string_cell(Column& column, uint32_t row, const char*& p) {
        bool has_escapes = false;
        const char* begin = p + 1;
        const char* end = end_of_string(begin, has_escapes);
        if (!end) return Status::Stop;
        if (has_escapes) {
            if (!unescape(begin, end, skipper.unescaped)) return Status::Stop;
            writer.put_string(column, row, skipper.unescaped.data(), skipper.unescaped.size());
        } else {
            writer.put_string(column, row, begin, static_cast<size_t>(end - begin));
        }
        p = end + 1;
        return Status::Ok;
    }

    static bool equals(double real, int64_t integer) {
        return real < 9223372036854775808.0 && static_cast<int64_t>(real) == integer;
    }

    static bool is_canonical(const char* begin, const char* end) {
        const auto n = static_cast<size_t>(end - begin);
        if (*begin == '"') return !std::memchr(begin, '\\', n);
        if (*begin == 't' || *begin == 'f' || *begin == 'n') return true;
        if (*begin == '{' || *begin == '[' || n > 18 || *begin == '-') return false;
        for (const char* p = begin; p < end; p++) {
            if (!is_digit(*p)) return false;
        }
        return true;
    }

    std::string key_;
};

}  // namespace core
