"""YAML as study files write it: plain values of YAML 1.2 in containers of bounded depth and size.

YAML 1.1 reads `014` as 12, `1:30` as 90 and `on` as true; here they are 14, a text and a text, as YAML 1.2 has it
(https://yaml.org/spec/1.2.2/#103-core-schema). Merge keys (`<<`) are read as well.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from study.config.errors import NotationError

MOST_CHARACTERS = 2**18  # of a text, and of what its aliases would make of it; a long study file has some 10,000
_DEEPEST = 20
_MOST_DIGITS = 64

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INTEGER = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_TAG = "tag:yaml.org,2002:"
_PLAIN = (  # how a plain scalar begins, and what it then is; the first that fits counts
    ("null", _NULL, ["~", "n", "N", ""]),
    ("bool", _BOOLEAN, list("tTfF")),
    ("int", _INTEGER, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("merge", re.compile(r"<<\Z"), ["<"]),
)


def read_yaml(text: str) -> Any:
    """The value of a text: containers, texts, numbers, true, false and null.

    Raises:
        NotationError: it is no YAML, too large or too deep, gives a key twice, or has a value of another kind.
    """
    if len(text) > MOST_CHARACTERS:
        raise NotationError(f"it has {len(text):,} characters, at most {MOST_CHARACTERS:,} are read")
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise NotationError(problem, (mark.line + 1, mark.column + 1) if mark else None) from None


def write_yaml(value: Any, *, all_signs: bool = True) -> str:
    """A text that `read_yaml`, and any reader of YAML 1.1, reads as `value`; in ASCII alone without `all_signs`."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=all_signs)


class _Loader(yaml.SafeLoader):
    """A loader that counts what it composes, and refuses a key written twice, of which PyYAML would keep the last."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  how PyYAML declares it; filled below
    yaml_constructors = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # of each finished node, everything below counted as often as it is meant

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        start, is_alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"it is nested more than {_DEEPEST} deep", start)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise yaml.composer.ComposerError(None, None, "an alias stands inside what it refers to", start)
        if node is not None and not is_alias:
            self._sizes[id(node)] = 1 + self._below(node)
        if self._sizes.get(id(node), 0) > MOST_CHARACTERS:
            raise yaml.composer.ComposerError(
                None, None, f"with its aliases it has more than {MOST_CHARACTERS:,} characters", start
            )
        return node

    def _below(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            return sum(self._sizes[id(key)] + self._sizes[id(value)] for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return sum(self._sizes[id(item)] for item in node.value)
        return len(node.value)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True) if key_node.tag != f"{_TAG}merge" else "<<"
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep=deep)

    def _scalar(self, node: yaml.ScalarNode, allowed: re.Pattern[str], kind: str) -> str:
        value = str(self.construct_scalar(node))
        if not allowed.match(value):
            raise yaml.constructor.ConstructorError(None, None, f"{value!r} is no {kind}", node.start_mark)
        return value

    def _null(self, node: yaml.ScalarNode) -> None:
        self._scalar(node, _NULL, "null")

    def _boolean(self, node: yaml.ScalarNode) -> bool:
        return self._scalar(node, _BOOLEAN, "boolean").lower() == "true"

    def _integer(self, node: yaml.ScalarNode) -> int:
        value = self._scalar(node, _INTEGER, "integer")
        if len(value) > _MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(value):,} digits is too long", node.start_mark
            )
        return int(value, {"0o": 8, "0x": 16}.get(value[:2], 10))

    def _float(self, node: yaml.ScalarNode) -> float:
        return float(self._scalar(node, _FLOAT, "number").replace(".inf", "inf").replace(".nan", "nan").lower())

    def _text(self, node: yaml.ScalarNode) -> str:
        value = str(self.construct_scalar(node))
        try:  # JSON writes one character as two escapes, which PyYAML leaves apart
            return value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise yaml.constructor.ConstructorError(
                None, None, "a text has half a surrogate pair, which is no character", node.start_mark
            ) from None


class _Dumper(yaml.SafeDumper):
    """A dumper that puts into quotes what either version of YAML would take for something else than a text."""


for _kind, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(_TAG + _kind, _pattern, _first)
    _Dumper.add_implicit_resolver(_TAG + _kind, _pattern, _first)
_CONSTRUCTORS: tuple[tuple[str, Any], ...] = (
    ("null", _Loader._null),
    ("bool", _Loader._boolean),
    ("int", _Loader._integer),
    ("float", _Loader._float),
    ("str", _Loader._text),
    ("seq", _Loader.construct_yaml_seq),
    ("map", _Loader.construct_yaml_map),
)
_UNDEFINED: Any = _Loader.construct_undefined
for _kind, _constructor in _CONSTRUCTORS:
    _Loader.add_constructor(_TAG + _kind, _constructor)
_Loader.add_constructor(None, _UNDEFINED)
