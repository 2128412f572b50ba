// The types of the names of the wide layout (`layouts.infer`), found without decoding.
#pragma once

#include "wide.hpp"

namespace core {

constexpr int MOST_LISTS = 50;  // common.types.MAX_NESTED

inline CellType join(CellType one, CellType other) {
    if (one.base == Base::Unseen) return other;
    if (other.base == Base::Unseen) return one;
    if (one.base == Base::Json || other.base == Base::Json) return {Base::Json, 0};
    if (one.n_lists > other.n_lists) std::swap(one, other);
    if (one.base == Base::Null) return other;
    if (one.n_lists < other.n_lists) return {Base::Json, 0};
    if (one.base == other.base || other.base == Base::Null) return one;
    const bool are_numbers = (one.base == Base::Int && other.base == Base::Float) ||
                             (one.base == Base::Float && other.base == Base::Int);
    return are_numbers ? CellType{Base::Float, one.n_lists} : CellType{Base::Json, 0};
}

inline CellType list_of(CellType inner) {
    if (inner.base == Base::Unseen) return {Base::Null, 1};
    if (inner.base == Base::Json || inner.n_lists >= MOST_LISTS) return {Base::Json, 0};
    return {inner.base, static_cast<uint8_t>(inner.n_lists + 1)};
}

struct KindsWalk : WideWalk {
    std::unique_ptr<Required> required;
    Node root;
    Vector<Slot*> order;  // of first occurrence
    uint64_t n_entries = 0;

    struct Change {
        Slot* slot;
        CellType type;
        uint32_t n_archives;
    };
    Vector<Change> changes;

    void begin_entry() { changes.clear(); }

    void undo(size_t to) {
        while (changes.size() > to) {
            const Change& last = changes.back();
            last.slot->type = last.type;
            last.slot->n_archives = last.n_archives;
            changes.pop_back();
        }
    }

    Status members(Node& node, const char*& p) {
        return object(
            node, p, [&](std::string_view key, Status& status) { return seen_slot(node, key, status); },
            [&](Slot& slot, const char*& at) { return value(slot, at); });
    }

  private:
    Slot* seen_slot(Node& node, std::string_view key, Status& status) {
        Slot* slot = slot_of(node, key, status);
        if (slot) order.push_back(slot);
        return slot;
    }

    Status value(Slot& slot, const char*& p) {
        if (!slot.required) return skip(p);
        if (*p == '{') return members(WideWalk::section(slot), p);
        if (*p == '[') {
            const char* inside = skip_blanks(p + 1);
            if (*inside == ']') {
                p = inside + 1;
                return Status::Ok;
            }
            if (*inside == '{') {
                const size_t before = changes.size();
                const int outside = level;
                const char* begin = p;
                uint32_t n_items = 0;
                const Status status = list(p, n_items, [&](uint32_t number, const char*& item) {
                    if (*item != '{') return Status::Misfit;
                    Node* node = WideWalk::section(slot, number);
                    return node ? members(*node, item) : Status::Entry;
                });
                if (status != Status::Misfit) return status;
                undo(before);
                level = outside;
                p = begin;
            }
        }
        CellType type;
        bool is_empty = true;
        const Status status = type_of(p, type, is_empty);
        if (status != Status::Ok || (is_empty && !slot.required->is_leaf)) return status;
        const CellType joined = join(slot.type, type);
        changes.push_back({&slot, slot.type, slot.n_archives});
        slot.type = joined;
        slot.n_archives += !is_empty;
        return Status::Ok;
    }

    // `is_empty` for null, and for a list of nulls.
    Status type_of(const char*& p, CellType& type, bool& is_empty) {
        if (*p == '[') {
            uint32_t n_items = 0;
            CellType inner;
            const Status status = list(p, n_items, [&](uint32_t, const char*& item) {
                CellType one;
                bool is_null = true;
                is_empty &= *item == 'n';
                const Status read = type_of(item, one, is_null);
                if (read == Status::Ok) inner = join(inner, one);
                return read;
            });
            type = list_of(inner);
            return status;
        }
        is_empty = *p == 'n';
        switch (*p) {
            case '"': type = {Base::String, 0}; return skip(p);
            case '{': type = {Base::Json, 0}; return skip(p);
            case 't': case 'f': type = {Base::Bool, 0}; return skip(p);
            case 'n': type = {Base::Null, 0}; return skip(p);
            default: {
                Number number;
                if (!(p = read_number(p, number))) return Status::Stop;
                type = {!number.is_integer ? Base::Float : number.fits ? Base::Int : Base::Json, 0};
                return Status::Ok;
            }
        }
    }
};

}  // namespace core
