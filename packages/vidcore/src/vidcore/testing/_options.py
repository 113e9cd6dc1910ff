"""Other valid values of an option, derived from its schema."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vidcore.config import ComponentConfig

Schema = Mapping[str, Any]


def option_names(config: type[ComponentConfig]) -> list[str]:
    """The options of a component, in the order of their declaration."""
    return list(config.model_fields)


def extra(config: type[ComponentConfig], option: str, key: str) -> Any:
    """What the option's field says under ``key`` of its ``json_schema_extra``, or ``None``."""
    stated = config.model_fields[option].json_schema_extra
    return stated.get(key) if isinstance(stated, dict) else None


def required_options(config: type[ComponentConfig]) -> dict[str, Any]:
    """Example values of the options that have no default; those that state no example are left out."""
    found = {}
    for name, field in config.model_fields.items():
        if field.is_required():
            examples = [*(field.examples or []), *(extra(config, name, "examples") or [])]
            if examples:
                found[name] = examples[0]
    return found


def alternatives(config: type[ComponentConfig], option: str, current: Any) -> list[Any]:
    """Values other than ``current`` that the option's own schema allows, the declared examples first.

    Bools flip, literals take another member, numbers move within their bounds, lists lose or change an
    item. Strings cannot be guessed: their field declares ``json_schema_extra={"examples": [...]}``.
    """
    whole = config.model_json_schema()
    schema = whole["properties"][option]
    found: list[Any] = []
    for candidate in _candidates(schema, current, whole.get("$defs", {})):
        if not any(type(candidate) is type(known) and candidate == known for known in [*found, current]):
            found.append(candidate)
    return found


def _candidates(schema: Schema, current: Any, definitions: Schema) -> Iterator[Any]:
    yield from schema.get("examples", ())
    if "$ref" in schema:
        yield from _candidates(definitions[schema["$ref"].rpartition("/")[2]], current, definitions)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _candidates(branch, current, definitions)
    yield from schema.get("enum", ())
    if "const" in schema:
        yield schema["const"]
    match schema.get("type"):
        case "null":
            yield None
        case "boolean":
            yield not current
        case "integer":
            yield from _numbers(schema, current, whole=True)
        case "number":
            yield from _numbers(schema, current, whole=False)
        case "array":
            yield from _lists(schema, current, definitions)
        case "object":
            yield from _objects(schema, current, definitions)


def _numbers(schema: Schema, current: Any, whole: bool) -> Iterator[int | float]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
    step = schema.get("multipleOf", 1 if whole else 0)
    known = current if isinstance(current, (int, float)) and not isinstance(current, bool) else None
    # The smaller ones first: an option that grows the network makes the check slow.
    near = [] if known is None else [known / 2, known - (step or 0.1), known + (step or 0.1), known * 2]
    ends = [x for x in (low, low + (step or 0.1), (low + high) / 2, high - (step or 0.1), high) if math.isfinite(x)]
    usual = (1, 2, 4, 8, 16, 32, 64) if whole else (0.5, 0.25, 1.0, 2.0)
    for value in (*near, *ends, *usual):
        rounded = int(value // step * step) if whole else float(value // step * step if step else value)
        inside = low <= rounded <= high
        outside = rounded == schema.get("exclusiveMinimum") or rounded == schema.get("exclusiveMaximum")
        if inside and not outside:
            yield rounded


def _lists(schema: Schema, current: Any, definitions: Schema) -> Iterator[list[Any]]:
    items = list(current) if isinstance(current, (list, tuple)) else []
    fixed = schema.get("prefixItems")
    for index, item in enumerate(items):
        kind = fixed[index] if fixed else schema.get("items", {})
        for candidate in _candidates(kind, item, definitions):
            if candidate != item:
                yield [*items[:index], candidate, *items[index + 1 :]]
                break
    if fixed:
        return
    if len(items) > max(schema.get("minItems", 0), 1):
        yield items[:-1]
    if items:
        yield items[::-1]
    else:
        yield from ([candidate] for candidate in _candidates(schema.get("items", {}), None, definitions))


def _objects(schema: Schema, current: Any, definitions: Schema) -> Iterator[dict[str, Any]]:
    known: dict[str, Any] = dict(current) if isinstance(current, Mapping) else {}
    for key, part in schema.get("properties", {}).items():
        value = known.get(key, part.get("default"))
        for candidate in _candidates(part, value, definitions):
            if candidate != value:
                yield {**known, key: candidate}
                break
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        for key, value in known.items():
            for candidate in _candidates(values, value, definitions):
                yield {**known, key: candidate}
