// The nested layout: a column of structs and lists for each required path.
#pragma once

#include "walk.hpp"

namespace core {

// A key on the ways to nested columns.
struct NestedWay {
    Column* end = nullptr;        // of the path that ends here
    bool is_crossed = false;      // holds lists
    std::vector<Column*> lists;   // of all columns below, where it is crossed
    std::unique_ptr<Node> below;  // the keys further on
    Column* open = nullptr;       // of the path that ends below with a `*`
    std::vector<std::unique_ptr<NestedWay>> ways;  // of the keys of `below`
};

struct NestedWalk : Walk {
    std::vector<std::unique_ptr<Column>> columns;
    std::vector<std::unique_ptr<Node>> structs;
    std::unordered_map<const Column*, Node*> fields_of;
    NestedWay root;
    uint32_t n_rows = 0;

    void begin_entry() { steps_.clear(); }

    // The members of the section at the end of `way`, in the cell `row` of its columns.
    Status section(NestedWay& way, uint32_t row, const char*& p) {
        bool is_open = false;
        return object(
            *way.below, p,
            [&](std::string_view key, Status& status) -> Slot* {
                return way.open ? stray_of(*way.below, key, status) : nullptr;
            },
            [&](Slot& slot, const char*& at) {
                if (slot.action == Action::Drop) return skip(at);
                const Step step(*this, slot.key);
                if (slot.action == Action::OnWay) return on_way(*slot.nested_way, row, at);
                if (!is_open) {
                    writer.put_struct(*way.open, row);
                    is_open = true;
                }
                return field(slot, row, at);
            });
    }

    Status on_way(NestedWay& way, uint32_t row, const char*& p) {
        if (way.end) {
            if (*p == 'n' && way.end->kind != Kind::Text) return more(What::Expected, p);
            return shape(*way.end, row, p);
        }
        if (*p == 'n') return (p = read_literal(p)) ? Status::Ok : Status::Stop;
        if (!way.is_crossed) return below(way, row, p);
        if (*p != '[') return above(p);
        for (Column* column : way.lists) writer.open_list(*column, row);
        const uint32_t start = way.lists[0]->used;
        uint32_t n_items = 0;
        const Status status = list(p, n_items, [&](uint32_t number, const char*& item) {
            const Step step(*this, number);
            if (*item == 'n') return more(What::Expected, item);
            return below(way, start + number, item);
        });
        if (status != Status::Ok) return status;
        for (Column* column : way.lists) Writer::close_list(*column, row, n_items);
        return Status::Ok;
    }

  private:
    // A key or a number on the way to the present value.
    struct Step {
        Step(NestedWalk& walk, const std::string& key) : walk_(walk) { walk.steps_.push_back({&key, 0}); }
        Step(NestedWalk& walk, uint32_t number) : walk_(walk) { walk.steps_.push_back({nullptr, number}); }
        Step(const Step&) = delete;
        ~Step() { walk_.steps_.pop_back(); }
        NestedWalk& walk_;
    };

    struct KeyOrNumber {
        const std::string* key;
        uint32_t number;
    };

    Status below(NestedWay& way, uint32_t row, const char*& p) {
        return *p == '{' ? section(way, row, p) : above(p);
    }

    // A value above the ends of required paths: a reference that could not be resolved.
    Status above(const char*& p) {
        if (*p == '{' || *p == '[') return Status::Entry;  // is cut to what is required
        return more(*p == '"' ? What::Expected : What::More, p);
    }

    Status field(Slot& slot, uint32_t row, const char*& p) {
        if (!slot.column) return more(*p == 'n' ? What::Expected : What::More, p);
        if (*p == 'n' && slot.column->kind != Kind::Text) return more(What::Expected, p);
        return shape(*slot.column, row, p);
    }

    Status shape(Column& column, uint32_t row, const char*& p) {
        if (column.kind == Kind::Text) return give_text(0, n_rows, column, row, p);
        if (*p == 'n') return (p = read_literal(p)) ? Status::Ok : Status::Stop;
        if (column.holds_cells) {
            const Mark before = mark();
            const char* begin = p;
            const Status status = cell<true>(column, row, p);
            if (status != Status::Misfit) return status;
            go_back(before);
            p = begin;
            return more(What::More, p);
        }
        if (column.kind == Kind::Struct) {
            if (*p != '{') return more(What::More, p);
            writer.put_struct(column, row);
            Node& node = *fields_of[&column];
            return object(
                node, p, [&](std::string_view key, Status& status) { return stray_of(node, key, status); },
                [&](Slot& slot, const char*& at) {
                    const Step step(*this, slot.key);
                    return field(slot, row, at);
                });
        }
        if (*p != '[') return more(What::More, p);
        writer.open_list(column, row);
        Column& item_column = *column.children[0];
        const uint32_t start = column.used;
        uint32_t n_items = 0;
        const Status status = list(p, n_items, [&](uint32_t number, const char*& item) {
            const Step step(*this, number);
            return shape(item_column, start + number, item);
        });
        if (status == Status::Ok) Writer::close_list(column, row, n_items);
        return status;
    }

    // The slot of a key that a struct has no field for.
    Slot* stray_of(Node& node, std::string_view key, Status& status) {
        if (!may_add()) return status = Status::Entry, nullptr;
        Slot* slot = node.add(key);
        slot->action = Action::Field;
        return slot;
    }

    Status more(What what, const char*& p) {
        std::string name;
        for (const KeyOrNumber& step : steps_) {
            if (!name.empty() || &step != &steps_.front()) name.push_back('.');
            if (step.key) {
                append_escaped(name, *step.key);
            } else {
                name += std::to_string(step.number);
            }
        }
        return give_back(what, 0, n_rows, std::move(name), p);
    }

    std::vector<KeyOrNumber> steps_;
};

}  // namespace core
