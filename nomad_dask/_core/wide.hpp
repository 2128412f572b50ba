// The wide layout, and the rows of the tables layout: one cell for each name.
#pragma once

#include "walk.hpp"

namespace core {

struct Table {
    uint32_t number = 0;
    std::vector<std::unique_ptr<Column>> columns;
    std::vector<std::unique_ptr<Column>> levels;  // in the tables layout: the entry, and numbers in repeating sections
    std::vector<int64_t> at;                      // their present values; negative for none
    Names names;
    std::unique_ptr<Required> required;
    Node root;
    uint32_t n_rows = 0;
    uint32_t n_uncrossed = 0;  // lists around that the schema does not know to repeat
};

struct WideWalk : Walk {
    Slot* slot_of(Node& node, std::string_view key, Status& status) {
        const std::string held(key);
        const Names* names = node.names ? node.names->find(held) : nullptr;
        if (!names && !may_add()) return status = Status::Entry, nullptr;
        Slot* slot = node.add(key);
        slot->is_known = names != nullptr;
        slot->names = names;
        slot->required = node.required ? node.required->child(held) : nullptr;
        slot->action = action_of(*slot);
        slot->column = names ? names->column : nullptr;
        return slot;
    }

    static Node& section(Slot& slot) {
        if (!slot.below) slot.below = section_of(slot, -1, slot.names);
        return *slot.below;
    }

    // The section with a number in a list; null if there are too many.
    Node* section(Slot& slot, uint32_t number) {
        while (slot.numbered.size() <= number) {
            const size_t next = slot.numbered.size();
            const Names* names = slot.names ? slot.names->find(std::to_string(next)) : nullptr;
            if (!names && !may_add()) return nullptr;
            slot.numbered.push_back(section_of(slot, static_cast<int64_t>(next), names));
        }
        return slot.numbered[number].get();
    }

    Status members(Table& table, Node& node, const char*& p) {
        return object(
            node, p, [&](std::string_view key, Status& status) { return slot_of(node, key, status); },
            [&](Slot& slot, const char*& at) { return value(table, slot, at); });
    }

    Status value(Table& table, Slot& slot, const char*& p) {
        const Action action = slot.action;
        if (*p == '{') return slot.required ? members(table, section(slot), p) : skip(p);
        if (action == Action::Drop) return skip(p);
        if (*p == '[') return list_value(table, slot, p);
        if (*p == 'n') {
            if (action == Action::New && slot.required->is_leaf) return more(table, slot, p);
            return (p = read_literal(p)) ? Status::Ok : Status::Stop;
        }
        if (action == Action::Text) return give_text(table.number, table.n_rows, *slot.column, table.n_rows, p);
        return action == Action::Scalar ? cell_or_more(table, slot, p) : more(table, slot, p);
    }

  private:
    static std::unique_ptr<Node> section_of(const Slot& slot, int64_t number, const Names* names) {
        count_allocation();
        auto node = std::make_unique<Node>();
        node->above = &slot;
        node->number = number;
        node->names = names;
        node->required = slot.required;
        return node;
    }

    static Action action_of(const Slot& slot) {
        if (!slot.required) return Action::Drop;
        if (!slot.names || !slot.names->column) return Action::New;
        if (slot.names->is_untyped) return Action::Untyped;
        switch (slot.names->column->kind) {
            case Kind::Text: return Action::Text;
            case Kind::List: return slot.required->is_leaf ? Action::Cell : Action::Above;
            default: return Action::Scalar;
        }
    }

    Status list_value(Table& table, Slot& slot, const char*& p) {
        const char* inside = skip_blanks(p + 1);
        if (*inside == ']') {  // no value
            p = inside + 1;
            return Status::Ok;
        }
        if (*inside == '{') {
            const Mark before = mark();
            const char* begin = p;
            uint32_t n_items = 0;
            const Status status = list(p, n_items, [&](uint32_t number, const char*& item) {
                if (*item != '{') return Status::Misfit;
                Node* node = section(slot, number);
                return node ? members(table, *node, item) : Status::Entry;
            });
            if (status != Status::Misfit) return status;
            go_back(before);
            p = begin;
        }
        if (!slot.required->is_leaf) return Status::Entry;  // is cut to what is required
        if (slot.action == Action::Cell) return cell_or_more(table, slot, p);
        if (slot.action == Action::Text) {
            return give_text(table.number, table.n_rows, *slot.column, table.n_rows, p);
        }
        return more(table, slot, p);
    }

    Status cell_or_more(Table& table, Slot& slot, const char*& p) {
        const Mark before = mark();
        const char* begin = p;
        const Status status = cell<false>(*slot.column, table.n_rows, p);
        if (status != Status::Misfit) return status;
        go_back(before);
        p = begin;
        return more(table, slot, p);
    }

    Status more(Table& table, const Slot& slot, const char*& p) {
        std::string name;
        append_name(name, slot);
        return give_back(What::More, table.number, table.n_rows, std::move(name), p);
    }
};

}  // namespace core
