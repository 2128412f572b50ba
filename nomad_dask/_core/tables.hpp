// The tables layout: for each required path a table with a row for each occurrence.
#pragma once

#include "wide.hpp"

namespace core {

struct TablesWay {
    struct Passing {  // a table whose path leads through this key
        Table* table;
        Slot* slot;  // of this key in the table's own nodes
        int level;   // its number in `Table::at`; negative where the schema does not know that the section repeats
    };
    std::vector<Passing> passing;
    bool is_end = false;          // of the only path through this key
    std::unique_ptr<Node> below;  // the keys further on
    Table* open = nullptr;        // of the path that ends below with a `*`
    Node* open_node = nullptr;    // its own node there
    std::vector<std::unique_ptr<TablesWay>> ways;
};

struct TablesWalk : WideWalk {
    std::vector<std::unique_ptr<Table>> tables;
    TablesWay root;

    void begin_entry() {
        for (auto& table : tables) {
            std::fill(table->at.begin(), table->at.end(), -1);
            table->at[0] = entry;
            table->n_uncrossed = 0;
        }
    }

    Status section(TablesWay& way, const char*& p) {
        auto read = [&] {
            return object(
                *way.below, p,
                [&](std::string_view key, Status& status) { return way.open ? aside(way, key, status) : nullptr; },
                [&](Slot& slot, const char*& at) {
                    return slot.tables_way ? on_way(*slot.tables_way, at) : value(*way.open, *slot.aside, at);
                });
        };
        return way.open ? row(*way.open, read) : read();
    }

  private:
    template <class Read>
    Status row(Table& table, Read read) {
        if (table.n_uncrossed) return Status::Entry;
        for (size_t i = 0; i < table.levels.size(); i++) {
            const int64_t number = table.at[i];
            if (number >= 0) writer.put_number(*table.levels[i], table.n_rows, static_cast<uint64_t>(number));
        }
        const Status status = read();
        table.n_rows++;
        return status;
    }

    Status on_way(TablesWay& way, const char*& p) {
        if (way.is_end) return occurrences(way.passing[0], p);
        if (*p == '{') return section(way, p);
        if (*p == 'n') return (p = read_literal(p)) ? Status::Ok : Status::Stop;
        if (*p == '[') return sections(way, p);
        // A reference that could not be resolved: a row in all tables below.
        const char* begin = p;
        for (const auto& passing : way.passing) {
            p = begin;
            const Status status = row(*passing.table, [&] { return value(*passing.table, *passing.slot, p); });
            if (status != Status::Ok) return status;
        }
        return Status::Ok;
    }

    Status sections(TablesWay& way, const char*& p) {
        const char* inside = skip_blanks(p + 1);
        if (*inside != '{' && *inside != ']') return Status::Entry;  // no section repeats there
        uint32_t n_items = 0;
        const Status status = list(p, n_items, [&](uint32_t number, const char*& item) {
            if (*item != '{') return Status::Entry;
            for (const auto& passing : way.passing) {
                if (passing.level >= 0) {
                    passing.table->at[static_cast<size_t>(passing.level)] = number;
                } else if (!number) {
                    passing.table->n_uncrossed++;
                }
            }
            return this->section(way, item);
        });
        for (const auto& passing : way.passing) {
            if (passing.level >= 0) {
                passing.table->at[static_cast<size_t>(passing.level)] = -1;
            } else if (n_items) {
                passing.table->n_uncrossed--;
            }
        }
        return status;
    }

    Status occurrences(const TablesWay::Passing& passing, const char*& p) {
        Table& table = *passing.table;
        if (*p == '[') {
            const char* inside = skip_blanks(p + 1);
            if (*inside == ']') {
                p = inside + 1;
                return Status::Ok;
            }
            if (*inside == '{' && passing.level >= 0) {
                const Mark before = mark();
                const uint32_t n_rows = table.n_rows;
                const char* begin = p;
                uint32_t n_items = 0;
                const Status status = list(p, n_items, [&](uint32_t number, const char*& item) {
                    if (*item != '{') return Status::Misfit;
                    table.at[static_cast<size_t>(passing.level)] = number;
                    return row(table, [&] { return members(table, WideWalk::section(*passing.slot), item); });
                });
                table.at[static_cast<size_t>(passing.level)] = -1;
                if (status != Status::Misfit) return status;
                go_back(before);
                table.n_rows = n_rows;
                p = begin;
            }
        }
        return row(table, [&] { return value(table, *passing.slot, p); });
    }

    // The slot of a key at a `*`, which the table's own node has too.
    Slot* aside(TablesWay& way, std::string_view key, Status& status) {
        Slot* own = way.open_node->find(key);
        if (!own && !(own = slot_of(*way.open_node, key, status))) return nullptr;
        Slot* slot = way.below->add(key);
        slot->aside = own;
        return slot;
    }
};

}  // namespace core
