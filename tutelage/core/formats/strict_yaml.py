"""YAML within limits: no repeated keys, no value that only looks like one, nothing that grows past its text."""

from __future__ import annotations

from typing import Any

import yaml

SIZE_MAX = 1_000_000
"""Bytes."""
DEPTH_MAX = 50
NODES_MAX = 100_000
"""Values, each counted as often as an alias repeats it: a few lines of nested aliases stand for billions."""

_MERGE = "tag:yaml.org,2002:merge"
_SHOWN = 60


class RefusedYamlError(yaml.MarkedYAMLError):
    """YAML that is refused although others would read it; ``problem`` says what to do."""

    def __init__(self, problem: str, mark: yaml.Mark | None) -> None:
        super().__init__(None, None, problem, mark)


def read_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    """What a YAML text says, and its node, which knows the lines.

    Raises
    ------
    yaml.YAMLError
        When it is no YAML, or beyond the limits.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return (loader.construct_document(node) if node else None), node
    except (ValueError, OverflowError) as error:  # of the scanner: an escape that is no character, a long version
        raise RefusedYamlError(f"cannot be read: {error}; correct it", loader.get_mark()) from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._nodes = 0
        self._sizes: dict[str, int] = {}  # values in each finished anchor, aliases written out

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if isinstance(event, yaml.AliasEvent):
            self._repeat(event)
            return super().compose_node(parent, index)
        before = self._nodes
        self._count(1, event)
        if self._depth == DEPTH_MAX:
            raise RefusedYamlError(f"nested more than {DEPTH_MAX} levels deep; nest less", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes[event.anchor] = self._nodes - before
        return node

    def _repeat(self, alias: Any) -> None:
        """Count what an alias stands for."""
        if alias.anchor in self.anchors and alias.anchor not in self._sizes:
            raise RefusedYamlError(f"*{alias.anchor} stands inside what it repeats; write it out", alias.start_mark)
        self._count(self._sizes.get(alias.anchor, 1), alias)

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            problem = f"more than {NODES_MAX} values, with those that aliases repeat; leave some out"
            raise RefusedYamlError(problem, event.start_mark)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in node.value):
            raise RefusedYamlError("an escape that stands for no character; correct it", node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:  # what is merged may be overridden
                _check_new((key.tag, key.value), key.start_mark, first)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # as in the library
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):  # what constructors let through
            shown = f"`{node.value:.{_SHOWN}}` " if isinstance(node, yaml.ScalarNode) else ""
            kind = node.tag.rpartition(":")[2]
            raise RefusedYamlError(f"{shown}is no {kind}; correct it, or quote it", node.start_mark) from None


def _check_new(key: tuple[str, str], mark: yaml.Mark, first: dict[tuple[str, str], int]) -> None:
    """Refuse a key that the mapping has already; ``first`` holds the lines of those before it."""
    if key in first:
        raise RefusedYamlError(f"key {key[1]!r} is there twice, first on line {first[key]}; keep one", mark)
    first[key] = mark.line + 1
