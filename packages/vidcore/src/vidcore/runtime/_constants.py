"""What a graph computes without its input, computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.fx import GraphModule, Node

if TYPE_CHECKING:
    from torch._ops import OpOverload


def fold_constants(graph: GraphModule) -> bool:
    """Replace what depends on weights and constants alone by its value, in place; whether there was anything.

    Position embeddings are brought to the clip's grid, indices are computed, by PyTorch itself: engines have no rule
    for some of these operations and round others differently (the last of ``linspace(0, 31, 8)`` as an index was 30).
    A graph that writes into such a value is left as it is.
    """
    from torch._inductor.constant_folding import ConstantFolder, replace_node_with_constant

    if not _is_safe(graph):
        return False
    folder = ConstantFolder(graph)
    folder.run()
    for node, value in folder.node_replacements.items():
        replace_node_with_constant(graph, node, value)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return bool(folder.node_replacements)


def _is_safe(graph: GraphModule) -> bool:
    """Whether no operation writes into a value that does not depend on the input."""
    constant: set[Node] = set()
    for node in graph.graph.nodes:
        constant_inputs = [given for given in node.all_input_nodes if given in constant]
        if node.op == "call_function" and constant_inputs and _writes(node.target):
            return False
        if node.op == "get_attr" or (node.op == "call_function" and len(constant_inputs) == len(node.all_input_nodes)):
            constant.add(node)
    return True


def _writes(target: OpOverload) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and schema.is_mutable
