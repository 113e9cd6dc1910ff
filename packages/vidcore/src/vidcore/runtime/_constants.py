"""What a graph computes without its input, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.fx import GraphModule, Node


def fold_constants(graph: GraphModule) -> bool:
    """Replace what depends on weights and constants alone by its value, in place; whether there was anything.

    Position embeddings are brought to the clip's grid, indices are computed, by PyTorch itself: engines have no rule
    for some of these operations and round others differently (the last of ``linspace(0, 31, 8)`` as an index was 30).
    A graph that writes into such a value is left as it is.
    """
    from torch._inductor.constant_folding import ConstantFolder, replace_node_with_constant

    if not _without_idle_writes(graph):
        return False
    folder = ConstantFolder(graph)
    folder.run()
    for node, value in folder.node_replacements.items():
        replace_node_with_constant(graph, node, value)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return bool(folder.node_replacements)


def _without_idle_writes(graph: GraphModule) -> bool:
    """Remove writes into constants that no output needs (times and masks of the maps); False where one is needed."""
    constant: set[Node] = set()
    writes: set[Node] = set()
    for node in graph.graph.nodes:
        known = [given in constant for given in node.all_input_nodes]
        if any(target in constant for target in _written(node)):
            writes.add(node)
        if node.op == "get_attr" or (node.op == "call_function" and all(known)):
            constant.add(node)
    needed = _reach(graph.graph.output_node(), lambda node: node.all_input_nodes)
    for write in writes:
        # What is written into, and whatever it is a view of.
        if needed & (_reach(write, lambda node: node.all_input_nodes) & constant):
            return False
    idle = {node for write in writes for node in _reach(write, lambda node: node.users)}
    for node in reversed(list(graph.graph.nodes)):
        if node in idle:
            graph.graph.erase_node(node)
    return True


def _reach(start: Node, neighbours: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """The node and all that follow from it."""
    found, ahead = {start}, [start]
    while ahead:
        for node in neighbours(ahead.pop()):
            if node not in found:
                found.add(node)
                ahead.append(node)
    return found


def _written(node: Node) -> list[Node]:
    """The values that an operation changes in place."""
    schema = getattr(node.target, "_schema", None)
    if node.op != "call_function" or schema is None or not schema.is_mutable:
        return []
    changed = [name for name, spec in _arguments(schema) if spec is not None and spec.is_write]
    given = dict(zip((name for name, _ in _arguments(schema)), node.args, strict=False)) | node.kwargs
    found: list[Node] = []
    for name in changed:
        value = given.get(name)
        found += [part for part in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(part, Node)]
    return found


def _arguments(schema: Any) -> list[tuple[str, Any]]:
    return [(argument.name, argument.alias_info) for argument in schema.arguments]
