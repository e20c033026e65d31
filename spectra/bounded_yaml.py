"""PyYAML's safe loader with bounds: on depth, on what aliases come to, on numbers. A key stands once in a mapping."""

from __future__ import annotations

from typing import Any

import yaml

MAX_DEPTH = 64  # lists and mappings inside one another: far below what Python's recursion takes
MAX_NODES = 100_000  # with every alias written out
_MAX_DIGITS = 400
_MERGE = "tag:yaml.org,2002:merge"


class BoundedLoader(yaml.SafeLoader):
    """Makes plain values alone. Whatever goes beyond a bound is a `yaml.MarkedYAMLError`, before it takes memory."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0
        self.num_nodes = 0
        self.sizes: dict[int, int] = {}  # of each finished node, its aliases written out

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # untyped in yaml
        before = self.num_nodes
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _refused(f"nests deeper than {MAX_DEPTH} levels", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self.num_nodes += 1
            self.sizes[id(node)] = self.num_nodes - before
        elif id(node) in self.sizes:
            self.num_nodes += self.sizes[id(node)]
        else:
            raise _refused("a list or mapping holds itself", event.start_mark)
        if self.num_nodes > MAX_NODES:
            raise _refused(f"more than {MAX_NODES:,} values, aliases written out", event.start_mark)
        return node

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if (key.tag, key.value) in seen:
                    raise _refused(f"{key.value[:60]!r} stands twice in one mapping", key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if (
            isinstance(node, yaml.ScalarNode)
            and node.tag.endswith((":int", ":float"))
            and len(node.value) > _MAX_DIGITS
        ):
            raise _refused(f"a number of {len(node.value):,} characters", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (
            ValueError,
            LookupError,
            AttributeError,
            TypeError,
            ArithmeticError,
        ) as reason:  # of a tag's own function
            raise _refused(f"a value is no {node.tag.rpartition(':')[2]}", node.start_mark) from reason


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
