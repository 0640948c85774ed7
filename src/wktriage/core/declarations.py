"""Typed declarations of the data that the project loads, and one error for what breaks them.

A declaration is a :class:`Declared` subclass beside the code that uses it. :func:`convert` turns a
parsed YAML or JSON document into it, or raises one error with file, place and a suggestion::

    scenarios/custom.yml: at /workload: unknown key 'usres'; did you mean 'users'?

``yaml_files.load_typed`` and ``json_files.load_typed`` read a file and convert it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from wktriage.core.errors import TriageError, UsageError
from wktriage.core.paths import PROJECT
from wktriage.core.suggestions import did_you_mean

# Imported where it is used: only an error needs to look a declaration up.
if TYPE_CHECKING:
    from msgspec import inspect

T = TypeVar("T")

Purpose = Annotated[str, Meta(min_length=10)]
"""A sentence that a person reads."""

PredicateTree = Annotated[
    dict[str, Any],
    Meta(
        min_length=1,
        description="A predicate over signals; its grammar is that of judging/predicates.py",
    ),
]
"""Declared as a mapping only: the parser of predicates checks what is in it, with places."""

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_PLACE = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?\Z", re.DOTALL)
_TOKEN = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_CHOICE = re.compile(r"Invalid (?:enum )?value '?(.*?)'?\Z", re.DOTALL)
_PATTERN = re.compile(r"Expected `str` matching regex '(.*)'\Z", re.DOTALL)
_TYPE = re.compile(r"`([^`]*)`")


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of declarations: immutable, and every key of the document must be one of its fields."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        document: dict[str, Any] = msgspec.to_builtins(self, enc_hook=_plain)
        return document


def _plain(value: object) -> str | int | float:
    """Return text or a number as Python's own: what comes through Ansible is a subclass of it."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def shown(path: Path) -> str:
    """Return how a person knows the file: relative to the project when it lies inside."""
    try:
        return path.relative_to(PROJECT).as_posix()
    except ValueError:
        return str(path)


def convert(raw: object, kind: type[T], where: str, error: type[TriageError] = UsageError) -> T:
    """Return a parsed document as its declared type.

    ``where`` (the file, and the line in a JSON-lines file) begins the message. Raises ``error``
    with the place (a JSON pointer) and a suggestion for the first thing that is not as declared.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        raise error(f"{where}: {_explained(raw, kind, str(exc))}") from None


def schema(kind: type[Any], title: str) -> dict[str, Any]:
    """Return the JSON schema of a declaration."""
    (made,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for component in components.values():
        if "description" in component:
            component["description"] = " ".join(component["description"].split())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**head, **made, "$defs": components}


# -- the error ----------------------------------------------------------------------------------


def _explained(raw: object, kind: type[Any], message: str) -> str:
    """Turn msgspec's words into ours, with the place as a JSON pointer and a suggestion."""
    from msgspec import inspect

    parsed = _PLACE.match(message)
    what, path = (parsed["what"], parsed["path"] or "") if parsed else (message, "")
    steps = [name or index for name, index in _TOKEN.findall(path)]
    pointer, value, declared, what = _follow(raw, inspect.type_info(kind), steps, what)
    described = _description(declared)
    declared = _member(declared, value)
    place = f"at {pointer}: " if pointer else ""
    if missing := _MISSING.match(what):
        return f"{place}{missing[1]!r} is missing{_wanted(declared, missing[1])}"
    if unknown := _UNKNOWN.match(what):
        return f"{place}unknown key {unknown[1]!r}{did_you_mean(unknown[1], _names(declared))}"
    if choice := _CHOICE.match(what):
        hint = did_you_mean(choice[1], _choices(declared))
        return f"{place}{choice[1]!r} is not one of those allowed{hint}"
    if pattern := _PATTERN.match(what):
        return f"{place}{value!r:.60} is not {described or f'text like {pattern[1]}'}"
    plain = _TYPE.sub(lambda m: " or ".join(_WORDS.get(w, w) for w in m[1].split(" | ")), what)
    holds = f", but it is {value!r:.60}" if " got " not in plain and _is_scalar(value) else ""
    return f"{place}{plain[:1].lower()}{plain[1:]}{holds}"


def _follow(
    raw: Any, declared: inspect.Type, steps: Sequence[str], what: str
) -> tuple[str, Any, inspect.Type, str]:
    """Return pointer, value and declaration of a place, and what is wrong there.

    msgspec does not say which entry of a mapping it means: the entries are converted one by one.
    """
    from msgspec import inspect

    pointer = ""
    for position, step in enumerate(steps):
        declared = _member(declared, raw)
        if step == "..." and isinstance(raw, Mapping) and isinstance(declared, inspect.DictType):
            for key, value in raw.items():
                inner = _first_error(value, declared.value_type)
                if inner is not None:
                    rest = [n or i for n, i in _TOKEN.findall(inner[1])]
                    below, value, last, what = _follow(value, declared.value_type, rest, inner[0])
                    return f"{pointer}/{key}{below}", value, last, what
            break
        if isinstance(declared, inspect.StructType):
            field = next((f for f in declared.fields if f.encode_name == step), None)
            if field is None:  # the field that tells the members of a union apart
                return f"{pointer}/{step}", raw.get(step), declared, what
            declared, raw = field.type, raw.get(step)
        elif isinstance(declared, inspect.UnionType) and position == len(steps) - 1:
            return f"{pointer}/{step}", raw.get(step), declared, what
        elif step.isdigit() and isinstance(raw, Sequence):
            declared, raw = getattr(declared, "item_type", declared), raw[int(step)]
        else:
            break
        pointer += f"/{step}"
    return pointer, raw, declared, what


def _description(declared: inspect.Type) -> str | None:
    """Return how the declaration calls such a value, when it does."""
    from msgspec import inspect

    extra = declared.extra_json_schema if isinstance(declared, inspect.Metadata) else None
    return (extra or {}).get("description")


def _first_error(value: object, declared: inspect.Type) -> tuple[str, str] | None:
    from msgspec import inspect

    if not isinstance(declared, inspect.StructType):
        return None
    try:
        msgspec.convert(value, declared.cls)
    except msgspec.ValidationError as exc:
        parsed = _PLACE.match(str(exc))
        return (parsed["what"], parsed["path"] or "") if parsed else (str(exc), "")
    return None


def _member(declared: inspect.Type, raw: object) -> inspect.Type:
    """Return the member of a union that a value is meant to be; other types as they are."""
    from msgspec import inspect

    if isinstance(declared, inspect.Metadata):
        return _member(declared.type, raw)
    if not isinstance(declared, inspect.UnionType):
        return declared
    members = [m for m in declared.types if not isinstance(m, inspect.NoneType)]
    if len(members) == 1:
        return _member(members[0], raw)
    for member in members:
        if (
            isinstance(member, inspect.StructType)
            and isinstance(raw, Mapping)
            and member.tag_field is not None
            and raw.get(member.tag_field) == member.tag
        ):
            return member
    return declared


def _members(declared: inspect.Type) -> list[inspect.StructType]:
    from msgspec import inspect

    every = declared.types if isinstance(declared, inspect.UnionType) else (declared,)
    return [m for m in every if isinstance(m, inspect.StructType)]


def _names(declared: inspect.Type) -> list[str]:
    """Return the keys that a mapping may have."""
    tags = {m.tag_field for m in _members(declared) if m.tag_field is not None}
    return sorted({f.encode_name for m in _members(declared) for f in m.fields} | tags)


def _choices(declared: inspect.Type) -> list[object]:
    """Return the values that are allowed where one of a list is."""
    from msgspec import inspect

    if isinstance(declared, inspect.LiteralType):
        return list(declared.values)
    return [m.tag for m in _members(declared)]


def _wanted(declared: inspect.Type, name: str) -> str:
    """Return what a missing key should hold, as the end of a message."""
    from msgspec import inspect

    for member in _members(declared):
        if member.tag_field == name:
            return f": it is one of {', '.join(str(m.tag) for m in _members(declared))}"
        for field in member.fields:
            if field.encode_name != name:
                continue
            kind = _member(field.type, None)
            if isinstance(kind, inspect.LiteralType) and len(kind.values) <= 24:
                return f": add one of {', '.join(map(str, kind.values))}"
            words = {"IntType": "int", "FloatType": "float", "StrType": "str", "BoolType": "bool"}
            word = words.get(type(kind).__name__)
            if word is None:
                lists = (inspect.ListType, inspect.VarTupleType, inspect.TupleType)
                word = "array" if isinstance(kind, lists) else "object"
            return f": add {_WORDS[word]}"
    return ""


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)
