// The module `nomad_dask._core.native`: JSON text to Arrow columns in one pass. `layouts.compiled` is its only user.
//
// The walks run without the GIL. Whatever the core does not do itself goes back to Python in one of three ways: a value
// as a span of the text, an entry (nothing of it stays in the columns), or the rest of the text.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <new>

#include "kinds.hpp"
#include "nested.hpp"
#include "rows.hpp"
#include "tables.hpp"

namespace {

using namespace core;

struct PythonError : std::exception {};  // an exception of Python is set

struct Held {  // a reference
    explicit Held(PyObject* object) : object(object) {
        if (!object) throw PythonError();
    }
    Held(const Held&) = delete;
    ~Held() { Py_XDECREF(object); }
    PyObject* release() {
        PyObject* held = object;
        object = nullptr;
        return held;
    }
    PyObject* object;
};

[[noreturn]] void refuse(const char* message) {
    PyErr_SetString(PyExc_ValueError, message);
    throw PythonError();
}

// Calls a function, with C++ exceptions as those of Python.
template <class Call>
PyObject* guarded(Call call) {
    try {
        return call();
    } catch (const PythonError&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

// Runs without the GIL; exceptions are thrown again when it is back.
template <class Run>
void without_gil(Run run) {
    std::exception_ptr error;
    PyThreadState* state = PyEval_SaveThread();
    try {
        run();
    } catch (...) {
        error = std::current_exception();
    }
    PyEval_RestoreThread(state);
    if (error) std::rethrow_exception(error);
}

class Text {  // the bytes of an object, between two positions
  public:
    Text(PyObject* object, Py_ssize_t begin, Py_ssize_t end) {
        if (PyObject_GetBuffer(object, &view_, PyBUF_SIMPLE) < 0) throw PythonError();
        if (begin < 0 || begin > end || end > view_.len) {
            PyBuffer_Release(&view_);
            refuse("begin and end must be within the text");
        }
        data = static_cast<const char*>(view_.buf) + begin;
        size = static_cast<size_t>(end - begin);
    }
    Text(const Text&) = delete;
    ~Text() { PyBuffer_Release(&view_); }
    const char* data;
    size_t size;

  private:
    Py_buffer view_;
};

std::string string_of(PyObject* object) {
    Py_ssize_t size;
    const char* text = PyUnicode_AsUTF8AndSize(object, &size);
    if (!text) throw PythonError();
    return std::string(text, static_cast<size_t>(size));
}

long number_of(PyObject* object) {
    const long number = PyLong_AsLong(object);
    if (number == -1 && PyErr_Occurred()) throw PythonError();
    return number;
}

PyObject* item_of(PyObject* tuple, Py_ssize_t number) {
    if (!PyTuple_Check(tuple) || number >= PyTuple_GET_SIZE(tuple)) refuse("a tuple is too short");
    return PyTuple_GET_ITEM(tuple, number);
}

template <class Item>
void for_each(PyObject* iterable, Item item) {
    Held items(PySequence_Fast(iterable, "expected a sequence"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.object); i++) {
        item(PySequence_Fast_GET_ITEM(items.object, i));
    }
}

template <class Item>
void for_each_item(PyObject* dict, Item item) {
    if (!PyDict_Check(dict)) refuse("expected a dict");
    PyObject *key, *value;
    for (Py_ssize_t position = 0; PyDict_Next(dict, &position, &key, &value);) item(string_of(key), value);
}

// A column of a type of `common.types`, such as `list<double>`.
std::unique_ptr<Column> column_of_type(const std::string& type) {
    auto column = std::make_unique<Column>();
    if (type.rfind("list<", 0) == 0 && type.back() == '>') {
        column->kind = Kind::List;
        column->children.push_back(column_of_type(type.substr(5, type.size() - 6)));
        column->holds_cells = true;
        return column;
    }
    static const std::unordered_map<std::string, Kind> kinds = {
        {"bool", Kind::Bool}, {"int64", Kind::Int}, {"double", Kind::Float}, {"string", Kind::String}, {"json", Kind::Text}};
    const auto found = kinds.find(type);
    if (found == kinds.end()) refuse("unknown type of a column");
    column->kind = found->second;
    column->holds_cells = column->kind != Kind::Text;
    return column;
}

// A required tree: True for a leaf, None for what is not required, or the named keys and the node of others.
std::unique_ptr<Required> required_of(PyObject* tree) {
    if (tree == Py_None) return nullptr;
    auto node = std::make_unique<Required>();
    if (tree == Py_True) {
        node->is_leaf = true;
        return node;
    }
    for_each_item(item_of(tree, 0), [&](std::string key, PyObject* below) { node->named[key] = required_of(below); });
    node->rest = required_of(item_of(tree, 1));
    return node;
}

// The keys of a name as `common.paths.join` writes it; false for other names, which no value has.
bool split_name(const std::string& name, std::vector<std::string>& keys) {
    keys.assign(1, {});
    for (size_t i = 0; i < name.size(); i++) {
        if (name[i] == '.') {
            keys.emplace_back();
            continue;
        }
        if (name[i] == '\\' && (++i == name.size() || (name[i] != '.' && name[i] != '\\'))) return false;
        keys.back().push_back(name[i]);
    }
    return true;
}

// A table: columns (name, type, is untyped), the required tree, and the number of its levels.
void fill_table(Table& table, PyObject* about) {
    std::vector<std::string> keys;
    for_each(item_of(about, 0), [&](PyObject* column) {
        table.columns.push_back(column_of_type(string_of(item_of(column, 1))));
        if (!split_name(string_of(item_of(column, 0)), keys)) return;
        Names* names = &table.names;
        for (const std::string& key : keys) {
            auto& below = names->below[key];
            if (!below) below = std::make_unique<Names>();
            names = below.get();
        }
        names->column = table.columns.back().get();
        names->is_untyped = item_of(column, 2) == Py_True;
    });
    table.required = required_of(item_of(about, 1));
    for (long n = number_of(item_of(about, 2)); n > 0; n--) {
        table.levels.push_back(column_of_type("int64"));
        table.at.push_back(-1);
    }
    table.root.names = &table.names;
    table.root.required = table.required.get();
}

class TablesCompiler {
  public:
    explicit TablesCompiler(TablesWalk& walk) : walk_(walk) {}

    // A way: (tables that pass [(table, level or -1)], True if it is the end, the keys below or None, the open table or
    // None). `nodes` are the present nodes of the tables.
    void fill(TablesWay& way, PyObject* about, const std::vector<Node*>& nodes) {
        way.is_end = item_of(about, 1) == Py_True;
        if (way.is_end) return;
        way.below = std::make_unique<Node>();
        if (item_of(about, 3) != Py_None) {
            const size_t number = table_number(item_of(about, 3));
            way.open = walk_.tables[number].get();
            way.open_node = nodes[number];
        }
        for_each_item(item_of(about, 2), [&](const std::string& key, PyObject* below) {
            Slot* slot = way.below->add(key);
            slot->is_known = true;
            way.ways.push_back(std::make_unique<TablesWay>());
            TablesWay& next = *way.ways.back();
            slot->tables_way = &next;
            std::vector<Node*> further(walk_.tables.size(), nullptr);
            for_each(item_of(below, 0), [&](PyObject* passing) {
                const size_t number = table_number(item_of(passing, 0));
                Slot* own = own_slot(*nodes[number], key);
                next.passing.push_back({walk_.tables[number].get(), own, static_cast<int>(number_of(item_of(passing, 1)))});
                further[number] = &WideWalk::section(*own);
            });
            if (next.passing.empty()) refuse("a way without a table");
            fill(next, below, further);
        });
    }

  private:
    size_t table_number(PyObject* object) {
        const long number = number_of(object);
        if (number < 0 || static_cast<size_t>(number) >= walk_.tables.size()) refuse("no such table");
        return static_cast<size_t>(number);
    }

    // A key of a required path in a table's own nodes.
    Slot* own_slot(Node& node, const std::string& key) {
        Slot* slot = node.find(key);
        Status status = Status::Ok;
        if (!slot) slot = walk_.slot_of(node, key, status);
        if (!slot || !slot->required) refuse("a required path that is not required");
        slot->is_known = true;
        return slot;
    }

    TablesWalk& walk_;
};

class NestedCompiler {
  public:
    explicit NestedCompiler(NestedWalk& walk) : walk_(walk) {}

    // A shape: a type, ("list", item) or ("struct", {key: shape}).
    std::unique_ptr<Column> column(PyObject* shape) {
        if (PyUnicode_Check(shape)) return column_of_type(string_of(shape));
        auto made = std::make_unique<Column>();
        PyObject* inside = item_of(shape, 1);
        if (string_of(item_of(shape, 0)) == "list") {
            made->kind = Kind::List;
            made->children.push_back(column(inside));
            return made;
        }
        made->kind = Kind::Struct;
        walk_.structs.push_back(std::make_unique<Node>());
        Node& node = *walk_.structs.back();
        for_each_item(inside, [&](const std::string& key, PyObject* below) {
            made->children.push_back(column(below));
            Slot* slot = node.add(key);
            slot->is_known = true;
            slot->action = Action::Field;
            slot->column = made->children.back().get();
        });
        walk_.fields_of[made.get()] = &node;
        return made;
    }

    // A way: (end (column, depth) or None, crossed lists [(column, depth)], the keys below or None, open (column, depth,
    // excluded keys) or None).
    void fill(NestedWay& way, PyObject* about) {
        if (item_of(about, 0) != Py_None) {
            way.end = &at(item_of(about, 0));
            return;
        }
        for_each(item_of(about, 1), [&](PyObject* place) { way.lists.push_back(&at(place)); });
        way.is_crossed = !way.lists.empty();
        way.below = std::make_unique<Node>();
        for_each_item(item_of(about, 2), [&](const std::string& key, PyObject* below) {
            way.ways.push_back(std::make_unique<NestedWay>());
            Slot* slot = add(way, key, Action::OnWay);
            slot->nested_way = way.ways.back().get();
            fill(*way.ways.back(), below);
        });
        PyObject* open = item_of(about, 3);
        if (open == Py_None) return;
        way.open = &at(open);
        if (way.open->kind != Kind::Struct) refuse("a section that is no struct");
        for_each(item_of(open, 2), [&](PyObject* key) {
            if (!way.below->find(string_of(key))) add(way, string_of(key), Action::Drop);
        });
        for (const auto& field : walk_.fields_of[way.open]->slots) {
            if (!way.below->find(field->key)) add(way, field->key, Action::Field)->column = field->column;
        }
    }

  private:
    Slot* add(NestedWay& way, const std::string& key, Action action) {
        Slot* slot = way.below->add(key);
        slot->is_known = true;
        slot->action = action;
        return slot;
    }

    Column& at(PyObject* place) {
        const long number = number_of(item_of(place, 0));
        if (number < 0 || static_cast<size_t>(number) >= walk_.columns.size()) refuse("no such column");
        Column* column = walk_.columns[static_cast<size_t>(number)].get();
        for (long depth = number_of(item_of(place, 1)); depth > 0; depth--) {
            if (column->kind != Kind::List) refuse("a column that is no list");
            column = column->children[0].get();
        }
        return *column;
    }

    NestedWalk& walk_;
};

// --- what the types have in common

void free_array(PyObject* capsule) {
    auto* array = static_cast<ArrowArray*>(PyCapsule_GetPointer(capsule, "arrow_array"));
    if (array->release) array->release(array);
    std::free(array);
}

// A struct array of columns as the capsule of Arrow's C data interface.
PyObject* array_of(const std::vector<Column*>& columns, uint32_t n_rows) {
    auto* array = static_cast<ArrowArray*>(std::calloc(1, sizeof(ArrowArray)));
    if (!array) throw std::bad_alloc();
    PyObject* capsule = PyCapsule_New(array, "arrow_array", free_array);
    if (!capsule) {
        std::free(array);
        throw PythonError();
    }
    Held held(capsule);
    without_gil([&] {
        exported::begin(*array, n_rows, 1, columns.size());
        for (size_t i = 0; i < columns.size(); i++) exported::column(*columns[i], n_rows, *array->children[i]);
    });
    return held.release();
}

PyObject* rows_of(const Rows& rows, size_t begin) {
    Held list(PyList_New(static_cast<Py_ssize_t>(rows.found.size())));
    for (size_t i = 0; i < rows.found.size(); i++) {
        const Row& row = rows.found[i];
        PyObject* about = Py_BuildValue("(s#nnO)", row.id.data(), static_cast<Py_ssize_t>(row.id.size()),
                                        static_cast<Py_ssize_t>(begin + row.begin), static_cast<Py_ssize_t>(begin + row.end),
                                        row.is_read ? Py_True : Py_False);
        if (!about) throw PythonError();
        PyList_SET_ITEM(list.object, static_cast<Py_ssize_t>(i), about);
    }
    return list.release();
}

// One thread at a time: the walks run without the GIL.
class Turn {
  public:
    explicit Turn(bool& is_busy) : is_busy_(is_busy) {
        if (is_busy) {
            PyErr_SetString(PyExc_RuntimeError, "is in use by another thread");
            throw PythonError();
        }
        is_busy_ = true;
    }
    ~Turn() { is_busy_ = false; }

  private:
    bool& is_busy_;
};

// --- Builder

enum class LayoutKind { Wide, Nested, Tables };

struct BuilderState {
    LayoutKind layout = LayoutKind::Wide;
    TablesWalk tables;  // wide: one table
    NestedWalk nested;
    Rows rows;
    int64_t n_entries = 0;  // since the last `take`
    bool is_busy = false;

    Walk& walk() { return layout == LayoutKind::Nested ? static_cast<Walk&>(nested) : tables; }
};

struct Builder {
    PyObject_HEAD
    BuilderState* state;
};

// The archive at `p` into columns; nothing of it stays there unless all of it was read.
class ArchiveReader {
  public:
    explicit ArchiveReader(BuilderState& state) : state_(state) {
        for (auto& table : state.tables.tables) n_rows_.push_back(table->n_rows);
    }

    Status read(const char*& p) {
        Walk& walk = state_.walk();
        walk.writer.forget();
        walk.level = 0;
        walk.entry = static_cast<uint32_t>(state_.n_entries) + static_cast<uint32_t>(state_.rows.found.size());
        before_ = walk.mark();
        for (size_t i = 0; i < n_rows_.size(); i++) n_rows_[i] = state_.tables.tables[i]->n_rows;
        Status status;
        try {
            status = read_members(p);
        } catch (...) {
            undo();
            throw;
        }
        if (status != Status::Ok) undo();
        return status;
    }

    void undo() {
        state_.walk().go_back(before_);
        for (size_t i = 0; i < n_rows_.size(); i++) state_.tables.tables[i]->n_rows = n_rows_[i];
        state_.nested.n_rows = nested_rows_;
    }

  private:
    Status read_members(const char*& p) {
        nested_rows_ = state_.nested.n_rows;
        if (state_.layout == LayoutKind::Nested) {
            state_.nested.begin_entry();
            const Status status = state_.nested.section(state_.nested.root, state_.nested.n_rows, p);
            state_.nested.n_rows++;
            return status;
        }
        if (state_.layout == LayoutKind::Tables) {
            state_.tables.begin_entry();
            return state_.tables.section(state_.tables.root, p);
        }
        Table& table = *state_.tables.tables[0];
        const Status status = state_.tables.members(table, table.root, p);
        table.n_rows++;
        return status;
    }

    BuilderState& state_;
    Mark before_{};
    std::vector<uint32_t> n_rows_;
    uint32_t nested_rows_ = 0;
};

PyObject* builder_new(PyTypeObject* type, PyObject* arguments, PyObject*) {
    return guarded([&]() -> PyObject* {
        const char* layout;
        PyObject *columns, *ways;
        if (!PyArg_ParseTuple(arguments, "sOO", &layout, &columns, &ways)) throw PythonError();
        auto state = std::make_unique<BuilderState>();
        if (!std::strcmp(layout, "nested")) {
            state->layout = LayoutKind::Nested;
            NestedCompiler compiler(state->nested);
            for_each(columns, [&](PyObject* shape) { state->nested.columns.push_back(compiler.column(shape)); });
            compiler.fill(state->nested.root, ways);
        } else {
            state->layout = std::strcmp(layout, "tables") ? LayoutKind::Wide : LayoutKind::Tables;
            for_each(columns, [&](PyObject* about) {
                auto table = std::make_unique<Table>();
                table->number = static_cast<uint32_t>(state->tables.tables.size());
                fill_table(*table, about);
                state->tables.tables.push_back(std::move(table));
            });
            if (state->layout == LayoutKind::Wide) {
                if (state->tables.tables.size() != 1) refuse("the wide layout has one table");
            } else {
                std::vector<Node*> nodes;
                for (auto& table : state->tables.tables) {
                    if (table->at.empty()) refuse("a table without its entries");
                    nodes.push_back(&table->root);
                }
                TablesCompiler(state->tables).fill(state->tables.root, ways, nodes);
            }
            state->tables.n_new = 0;
        }
        auto* builder = reinterpret_cast<Builder*>(type->tp_alloc(type, 0));
        if (!builder) throw PythonError();
        builder->state = state.release();
        return reinterpret_cast<PyObject*>(builder);
    });
}

template <class Self>
void free_self(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<Self*>(self)->state;
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* odds_of(const Walk& walk, size_t begin) {
    Held list(PyList_New(static_cast<Py_ssize_t>(0)));
    for (const Odd& odd : walk.odds) {
        if (odd.what == What::Verbatim) continue;
        Held about(Py_BuildValue("(iIIIs#nn)", static_cast<int>(odd.what), odd.table, odd.row, odd.entry, odd.name.data(),
                                 static_cast<Py_ssize_t>(odd.name.size()), static_cast<Py_ssize_t>(begin + odd.begin),
                                 static_cast<Py_ssize_t>(begin + odd.end)));
        if (PyList_Append(list.object, about.object) < 0) throw PythonError();
    }
    return list.release();
}

bool has_text_for_python(const Walk& walk) {
    return std::any_of(walk.odds.begin(), walk.odds.end(), [](const Odd& odd) { return odd.what == What::Text; });
}

void check_room(const Column& column, size_t n_bytes) {
    if (n_bytes > static_cast<size_t>(INT32_MAX) - column.used) {
        throw std::length_error("a column of JSON text of more than 2 GiB");
    }
}

// Puts the cells of JSON text in the order of the rows; `texts` are those from Python.
void put_texts(BuilderState& state, PyObject* texts) {
    Walk& walk = state.walk();
    Py_ssize_t next = 0;
    for (const Odd& odd : walk.odds) {
        if (odd.what == What::Verbatim) {
            check_room(*odd.column, odd.end - odd.begin);
            walk.writer.put_string(*odd.column, odd.cell, walk.base + odd.begin, odd.end - odd.begin);
        } else if (odd.what == What::Text) {
            char* text;
            Py_ssize_t size;
            if (!texts || next >= PyList_GET_SIZE(texts)) refuse("too few texts");
            if (PyBytes_AsStringAndSize(PyList_GET_ITEM(texts, next++), &text, &size) < 0) throw PythonError();
            check_room(*odd.column, static_cast<size_t>(size));
            walk.writer.put_string(*odd.column, odd.cell, text, static_cast<size_t>(size));
        }
    }
    walk.odds.clear();
    walk.writer.forget();
}

// feed(text, begin, end) -> (rows, end of what was read, odd values)
PyObject* builder_feed(PyObject* self, PyObject* arguments) {
    return guarded([&]() -> PyObject* {
        PyObject* object;
        Py_ssize_t begin, end;
        if (!PyArg_ParseTuple(arguments, "Onn", &object, &begin, &end)) throw PythonError();
        BuilderState& state = *reinterpret_cast<Builder*>(self)->state;
        const Turn turn(state.is_busy);
        Walk& walk = state.walk();
        if (has_text_for_python(walk)) refuse("put_texts was not called");
        const Text text(object, begin, end);
        if (text.size > static_cast<size_t>(INT32_MAX)) refuse("a text of more than 2 GiB");
        without_gil([&] {
            walk.odds.clear();
            state.rows.open(text.data, text.size);
            walk.base = state.rows.base();
            ArchiveReader reader(state);
            state.rows.read([&](const char*& p) { return reader.read(p); }, [&] { reader.undo(); });
            state.n_entries += static_cast<int64_t>(state.rows.found.size());
            if (walk.n_new >= walk.most_new) {
                for (auto& table : state.tables.tables) table->root.forget_new();
                for (auto& node : state.nested.structs) node->forget_new();
                walk.n_new = 0;
            }
        });
        Held rows(rows_of(state.rows, static_cast<size_t>(begin)));
        Held odds(odds_of(walk, static_cast<size_t>(begin)));
        if (!has_text_for_python(walk)) put_texts(state, nullptr);
        return Py_BuildValue("(OnO)", rows.object, begin + static_cast<Py_ssize_t>(state.rows.n_read), odds.object);
    });
}

// put_texts(texts): the JSON text of the values that the last `feed` gave back for it, in their order
PyObject* builder_put_texts(PyObject* self, PyObject* texts) {
    return guarded([&]() -> PyObject* {
        BuilderState& state = *reinterpret_cast<Builder*>(self)->state;
        const Turn turn(state.is_busy);
        if (!PyList_Check(texts)) refuse("expected a list");
        put_texts(state, texts);
        Py_RETURN_NONE;
    });
}

// add_entry(has_row): an entry without archive, or one that only Python reads
PyObject* builder_add_entry(PyObject* self, PyObject* has_row) {
    return guarded([&]() -> PyObject* {
        BuilderState& state = *reinterpret_cast<Builder*>(self)->state;
        const Turn turn(state.is_busy);
        state.n_entries++;
        if (has_row != Py_True) Py_RETURN_NONE;
        if (state.layout == LayoutKind::Nested) state.nested.n_rows++;
        if (state.layout == LayoutKind::Wide) state.tables.tables[0]->n_rows++;
        Py_RETURN_NONE;
    });
}

// Strings and None as a column.
void fill_text(Column& column, PyObject* texts, uint32_t n_rows) {
    column.kind = Kind::String;
    Writer writer;
    uint32_t row = 0;
    for_each(texts, [&](PyObject* text) {
        if (text != Py_None) {
            Py_ssize_t size;
            const char* bytes = PyUnicode_AsUTF8AndSize(text, &size);
            if (!bytes) throw PythonError();
            check_room(column, static_cast<size_t>(size));
            writer.put_string(column, row, bytes, static_cast<size_t>(size));
        }
        row++;
    });
    if (row != n_rows) refuse("a text for each row");
}

// take_table(ids, uploads, more) -> the capsule of the only table, with these columns; the builder is empty afterwards
PyObject* builder_take_table(PyObject* self, PyObject* arguments) {
    return guarded([&]() -> PyObject* {
        PyObject *ids, *uploads, *more;
        if (!PyArg_ParseTuple(arguments, "OOO", &ids, &uploads, &more)) throw PythonError();
        BuilderState& state = *reinterpret_cast<Builder*>(self)->state;
        const Turn turn(state.is_busy);
        if (has_text_for_python(state.walk())) refuse("put_texts was not called");
        if (state.layout == LayoutKind::Tables) refuse("there are several tables");
        const bool is_nested = state.layout == LayoutKind::Nested;
        uint32_t& n_rows = is_nested ? state.nested.n_rows : state.tables.tables[0]->n_rows;
        Column first, second, last;
        fill_text(first, ids, n_rows);
        fill_text(second, uploads, n_rows);
        fill_text(last, more, n_rows);
        std::vector<Column*> columns{&first, &second};
        for (auto& column : is_nested ? state.nested.columns : state.tables.tables[0]->columns) {
            columns.push_back(column.get());
        }
        columns.push_back(&last);
        state.walk().writer.forget();
        state.n_entries = 0;
        Held array(array_of(columns, n_rows));
        n_rows = 0;
        return array.release();
    });
}

// take() -> the capsule of each table's struct array; the builder is empty afterwards
PyObject* builder_take(PyObject* self, PyObject*) {
    return guarded([&]() -> PyObject* {
        BuilderState& state = *reinterpret_cast<Builder*>(self)->state;
        const Turn turn(state.is_busy);
        if (has_text_for_python(state.walk())) refuse("put_texts was not called");
        state.walk().writer.forget();
        state.n_entries = 0;
        Held list(PyList_New(0));
        auto add = [&](const std::vector<Column*>& columns, uint32_t n_rows) {
            Held array(array_of(columns, n_rows));
            if (PyList_Append(list.object, array.object) < 0) throw PythonError();
        };
        std::vector<Column*> columns;
        if (state.layout == LayoutKind::Nested) {
            for (auto& column : state.nested.columns) columns.push_back(column.get());
            add(columns, state.nested.n_rows);
            state.nested.n_rows = 0;
            return list.release();
        }
        for (auto& table : state.tables.tables) {
            columns.clear();
            for (auto& column : table->levels) columns.push_back(column.get());
            for (auto& column : table->columns) columns.push_back(column.get());
            add(columns, table->n_rows);
            table->n_rows = 0;
        }
        return list.release();
    });
}

PyMethodDef builder_methods[] = {
    {"feed", builder_feed, METH_VARARGS, "feed(text, begin, end): read rows between two positions of a text."},
    {"put_texts", builder_put_texts, METH_O, "put_texts(texts): the JSON text of values that feed gave back for it."},
    {"add_entry", builder_add_entry, METH_O, "add_entry(has_row): add an entry without archive, or one that is elsewhere."},
    {"take_table", builder_take_table, METH_VARARGS,
     "take_table(ids, uploads, more): the array of the only table; the builder is empty afterwards."},
    {"take", builder_take, METH_NOARGS, "take(): the arrays of the tables; the builder is empty afterwards."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot builder_slots[] = {{Py_tp_new, reinterpret_cast<void*>(builder_new)},
                               {Py_tp_dealloc, reinterpret_cast<void*>(free_self<Builder>)},
                               {Py_tp_methods, builder_methods},
                               {Py_tp_doc, const_cast<char*>("Builder(layout, columns, ways): rows as Arrow columns.")},
                               {0, nullptr}};
PyType_Spec builder_spec = {"nomad_dask._core.native.Builder", sizeof(Builder), 0, Py_TPFLAGS_DEFAULT, builder_slots};

// --- Kinds

struct KindsState {
    KindsWalk walk;
    Rows rows;
    bool is_busy = false;
};

struct Kinds {
    PyObject_HEAD
    KindsState* state;
};

PyObject* kinds_new(PyTypeObject* type, PyObject* arguments, PyObject*) {
    return guarded([&]() -> PyObject* {
        PyObject* required;
        Py_ssize_t most_names;
        if (!PyArg_ParseTuple(arguments, "On", &required, &most_names)) throw PythonError();
        auto state = std::make_unique<KindsState>();
        state->walk.required = required_of(required);
        state->walk.root.required = state->walk.required.get();
        state->walk.most_new = static_cast<size_t>(most_names);
        auto* kinds = reinterpret_cast<Kinds*>(type->tp_alloc(type, 0));
        if (!kinds) throw PythonError();
        kinds->state = state.release();
        return reinterpret_cast<PyObject*>(kinds);
    });
}

// feed(text, begin, end) -> (rows, end of what was read)
PyObject* kinds_feed(PyObject* self, PyObject* arguments) {
    return guarded([&]() -> PyObject* {
        PyObject* object;
        Py_ssize_t begin, end;
        if (!PyArg_ParseTuple(arguments, "Onn", &object, &begin, &end)) throw PythonError();
        KindsState& state = *reinterpret_cast<Kinds*>(self)->state;
        const Turn turn(state.is_busy);
        const Text text(object, begin, end);
        without_gil([&] {
            KindsWalk& walk = state.walk;
            auto read = [&](const char*& p) {
                walk.level = 0;
                walk.begin_entry();
                Status status;
                try {
                    status = walk.members(walk.root, p);
                } catch (...) {
                    walk.undo(0);
                    throw;
                }
                if (status != Status::Ok) walk.undo(0);
                return status;
            };
            state.rows.open(text.data, text.size);
            state.rows.read(read, [&] { walk.undo(0); });
        });
        Held rows(rows_of(state.rows, static_cast<size_t>(begin)));
        return Py_BuildValue("(On)", rows.object, begin + static_cast<Py_ssize_t>(state.rows.n_read));
    });
}

// found() -> [(name, scalar type, number of lists around it, number of archives with a value)]
PyObject* kinds_found(PyObject* self, PyObject*) {
    return guarded([&]() -> PyObject* {
        static const char* const bases[] = {"", "null", "bool", "int64", "double", "string", "json"};
        KindsState& state = *reinterpret_cast<Kinds*>(self)->state;
        const Turn turn(state.is_busy);
        Held list(PyList_New(0));
        for (const Slot* slot : state.walk.order) {
            if (slot->type.base == Base::Unseen) continue;
            std::string name;
            append_name(name, *slot);
            Held about(Py_BuildValue("(s#siI)", name.data(), static_cast<Py_ssize_t>(name.size()),
                                     bases[static_cast<int>(slot->type.base)], static_cast<int>(slot->type.n_lists),
                                     slot->n_archives));
            if (PyList_Append(list.object, about.object) < 0) throw PythonError();
        }
        return list.release();
    });
}

PyMethodDef kinds_methods[] = {
    {"feed", kinds_feed, METH_VARARGS, "feed(text, begin, end): read rows between two positions of a text."},
    {"found", kinds_found, METH_NOARGS, "found(): the names and types so far."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot kinds_slots[] = {{Py_tp_new, reinterpret_cast<void*>(kinds_new)},
                             {Py_tp_dealloc, reinterpret_cast<void*>(free_self<Kinds>)},
                             {Py_tp_methods, kinds_methods},
                             {Py_tp_doc, const_cast<char*>("Kinds(required, most_names): the types of names.")},
                             {0, nullptr}};
PyType_Spec kinds_spec = {"nomad_dask._core.native.Kinds", sizeof(Kinds), 0, Py_TPFLAGS_DEFAULT, kinds_slots};

// --- functions

// rows(text, begin, end) -> (rows, end of what was read): checks the text, and reads nothing into columns
PyObject* module_rows(PyObject*, PyObject* arguments) {
    return guarded([&]() -> PyObject* {
        PyObject* object;
        Py_ssize_t begin, end;
        if (!PyArg_ParseTuple(arguments, "Onn", &object, &begin, &end)) throw PythonError();
        const Text text(object, begin, end);
        Rows rows;
        without_gil([&] {
            rows.open(text.data, text.size);
            Skipper skipper;
            rows.read(
                [&](const char*& p) {
                    p = skipper.value(p, 0);
                    return p ? Status::Ok : Status::Stop;
                },
                [] {});
        });
        Held found(rows_of(rows, static_cast<size_t>(begin)));
        return Py_BuildValue("(On)", found.object, begin + static_cast<Py_ssize_t>(rows.n_read));
    });
}

// number(text): the int or float of a JSON number, None if only Python can tell
PyObject* module_number(PyObject*, PyObject* object) {
    return guarded([&]() -> PyObject* {
        char* text;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(object, &text, &size) < 0) throw PythonError();
        const std::string held = std::string(text, static_cast<size_t>(size)) + std::string(MARGIN, '\0');
        Number number;
        const char* end = read_number(held.data(), number);
        if (end != held.data() + size || (number.is_integer && !number.fits)) Py_RETURN_NONE;
        return number.is_integer ? PyLong_FromLongLong(number.integer) : PyFloat_FromDouble(number.real);
    });
}

// fail_allocation(n): the allocation after n others fails; -1 for none
PyObject* module_fail_allocation(PyObject*, PyObject* object) {
    return guarded([&]() -> PyObject* {
        allocations_left = number_of(object);
        Py_RETURN_NONE;
    });
}

PyMethodDef module_methods[] = {
    {"rows", module_rows, METH_VARARGS, "rows(text, begin, end): the rows between two positions of a text."},
    {"number", module_number, METH_O, "number(text): the value of a JSON number; for tests."},
    {"fail_allocation", module_fail_allocation, METH_O, "fail_allocation(n): let an allocation fail; for tests."},
    {nullptr, nullptr, 0, nullptr}};

int add_types(PyObject* module) {
    for (PyType_Spec* spec : {&builder_spec, &kinds_spec}) {
        PyObject* type = PyType_FromSpec(spec);
        if (!type) return -1;
        const int failed = PyModule_AddType(module, reinterpret_cast<PyTypeObject*>(type));
        Py_DECREF(type);
        if (failed) return -1;
    }
    return 0;
}

PyModuleDef_Slot module_slots[] = {{Py_mod_exec, reinterpret_cast<void*>(add_types)}, {0, nullptr}};
PyModuleDef module_definition = {PyModuleDef_HEAD_INIT, "nomad_dask._core.native", "JSON text to Arrow columns in one pass.",
                                 0, module_methods, module_slots, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_native() { return PyModuleDef_Init(&module_definition); }
