"""Search documents as answers hold them: what `include` and `exclude` leave of one."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from nomad_dask.testing.refused import invalid, unknown_quantity

Json = dict[str, Any]
_EMPTY: tuple[Any, ...] = ([], {})


@dataclass(frozen=True)
class Projection:
    """The `required` of a listing, checked."""

    given: Json | None
    include: tuple[str, ...] | None
    exclude: tuple[str, ...]

    @classmethod
    def parse(cls, required: Any, quantities: frozenset[str]) -> "Projection":
        """Raises `Refused` 422 for names that the search does not know and that hold no star."""
        if required is None:
            return cls(None, None, ())
        if not isinstance(required, dict):
            raise invalid("dict_type", ["body", "required"], "Input should be a valid dictionary", required)
        for key in ("include", "exclude"):
            names = required.get(key)
            if names is not None and not isinstance(names, list):
                raise invalid("list_type", ["body", "required", key], "Input should be a valid list", names)
            for name in names or ():
                if not isinstance(name, str) or ("*" not in name and name not in quantities):
                    raise unknown_quantity(str(name), ["required"])
        include, exclude = required.get("include"), required.get("exclude")
        if include is not None and "entry_id" not in include:
            include = [*include, "entry_id"]
            required = {**required, "include": include}
        return cls(required, None if include is None else tuple(include), tuple(exclude or ()))

    @property
    def ids_only(self) -> bool:
        """Whether the entry list alone answers this."""
        names = self.include
        return names is not None and not self.exclude and {*names} <= {"entry_id", "upload_id", "parser_name"}

    def of(self, document: Json) -> Json:
        """What is left of a document. As soon as it selects, empty lists and dicts are left out too."""
        if self.include is not None:
            document = _included(document, _tree(self.include))
        if self.exclude:
            document = _excluded(document, _tree(self.exclude))
        return document


def _tree(names: tuple[str, ...]) -> Json:
    """Dotted names as nested dicts that end in None."""
    tree: Json = {}
    for name in names:
        node = tree
        *above, last = name.split(".") if "*" not in name else [name]
        for key in above:
            node = node.setdefault(key, {})
            if node is None:
                break
        else:
            node[last] = None
    return tree


def _below(key: str, tree: Json) -> Any:
    """The tree below a key: a dict, None where the tree ends, False where it does not name the key."""
    if key in tree:
        return tree[key]
    # A star stands for the names of one level only, so `results.material.elements*` finds nothing.
    return None if any("*" in name and fnmatchcase(key, name) for name in tree) else False


def _included(node: Any, tree: Json) -> Any:
    if isinstance(node, list):
        return [part for part in (_included(x, tree) for x in node) if part not in _EMPTY]
    if not isinstance(node, dict):
        return {}
    result = {}
    for key, child in node.items():
        below = _below(key, tree)
        if below is not False:
            part = child if below is None else _included(child, below)
            if part not in _EMPTY:
                result[key] = part
    return result


def _excluded(node: Any, tree: Json) -> Any:
    if isinstance(node, list):
        return [_excluded(x, tree) for x in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for key, child in node.items():
        below = _below(key, tree)
        if below is not None:
            part = child if below is False else _excluded(child, below)
            if part not in _EMPTY:
                result[key] = part
    return result
