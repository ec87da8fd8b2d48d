"""YAML read strictly, node by node, so that every fault knows its line; several faults of a text are found at once."""

import re
from collections.abc import Callable, Iterator

import yaml

from schemas import strict
from udfs.alert.rule import RuleFault
from udfs.duration import parse_duration

MAX_BYTES = 4 << 20
# Numbers as YAML 1.1 and Go have them: a leading zero is octal, unless a digit is none.
_OCTAL = re.compile(r"[+-]?0[0-7]+\Z")
_FLOAT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\Z")
_WHOLE = re.compile(r"[+-]?(?:0|[1-9]\d*)\Z")


class Document:
    """One YAML text and the faults found in it so far. group and rule: where the reading is now, for the faults.

    A method that cannot go on raises RuleFault; attempt() keeps it and lets the reading go on with the next part.
    """

    def __init__(self, text: str) -> None:
        self.faults: list[RuleFault] = []
        self.group = ""
        self.rule = ""
        self.root: yaml.Node | None = None
        self.attempt(lambda: self._compose(text))

    def _compose(self, text: str) -> None:
        if len(text.encode("utf-8", "replace")) > MAX_BYTES:
            raise RuleFault("TG-rule-size", f"the file is larger than {MAX_BYTES} bytes")
        try:
            root = strict.nodes(text)
        except strict.YamlFault as fault:
            raise RuleFault("TG-rule-yaml", fault.reason, fault.line) from fault
        self.root = None if root is None or is_null(root) else root

    def fault(self, fault_id: str, reason: str, node: yaml.Node) -> RuleFault:
        """Return a fault at the line of a node."""
        return RuleFault(fault_id, reason, node.start_mark.line + 1, self.group, self.rule)

    def note(self, fault_id: str, reason: str, node: yaml.Node) -> None:
        """Keep a fault and go on."""
        self.faults.append(self.fault(fault_id, reason, node))

    def attempt(self, read: Callable[[], None]) -> None:
        """Read a part; its fault is kept."""
        try:
            read()
        except RuleFault as fault:
            self.faults.append(fault)
        except RecursionError:  # << of what it stands in
            self.faults.append(RuleFault("TG-rule-yaml", "it is nested too deeply, or in itself"))

    def guarded(self, node: yaml.Node, check: Callable[[], object], prefix: str = "") -> bool:
        """Tell whether a check passes; its RuleFault is kept with the node's line."""
        try:
            check()
        except RuleFault as fault:
            self.note(fault.id, prefix + fault.reason, node)
            return False
        return True

    def mapping(self, node: yaml.Node, known: set[str] | None, what: str) -> dict[str, yaml.Node]:
        """Return the fields; unknown and repeated keys are noted. known None: any key."""
        if not isinstance(node, yaml.MappingNode):
            raise self.fault("TG-rule-type", f"{what} must be a mapping", node)
        fields: dict[str, yaml.Node] = {}
        merged: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.tag.endswith(":merge"):
                for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = {**self.mapping(one, known, what), **merged}
                continue
            name = self._string(key, "a key")
            if known is not None and name not in known:
                self.note("TG-rule-field", f"unknown key {name!r}; {what} has {', '.join(sorted(known))}", key)
            elif name in fields:
                self.note("TG-rule-duplicate", f"key {name!r} is given twice", key)
            else:
                fields[name] = value
        return {**merged, **fields}

    def sequence(self, fields: dict[str, yaml.Node], key: str) -> Iterator[yaml.Node]:
        """Return the items of a list; none if the key is absent or null."""
        node = fields.get(key)
        if node is None or is_null(node):
            return iter(())
        if not isinstance(node, yaml.SequenceNode):
            raise self.fault("TG-rule-type", f"{key} must be a list", node)
        return iter(node.value)

    def text(self, fields: dict[str, yaml.Node], key: str) -> str:
        """Return a string, "" if the key is absent or null."""
        return self._string(fields[key], key) if key in fields else ""

    def strings(self, fields: dict[str, yaml.Node], key: str) -> dict[str, tuple[str, yaml.Node]]:
        """Return a map of strings, each with its node; empty if the key is absent or null."""
        if key not in fields or is_null(fields[key]):
            return {}
        return {
            name: (self._string(value, name), value) for name, value in self.mapping(fields[key], None, key).items()
        }

    def duration(self, fields: dict[str, yaml.Node], key: str) -> float | None:
        """Return seconds; None if the key is absent, null or a fault."""
        if key not in fields or is_null(fields[key]):
            return None
        try:
            return parse_duration(self._string(fields[key], key))
        except ValueError as error:
            self.note("TG-rule-duration", f"{key}: {error}", fields[key])
        return None

    def integer(self, fields: dict[str, yaml.Node], key: str) -> int:
        """Return a whole number, 0 if the key is absent, null or a fault; a float is cut, as Go's YAML does."""
        text = self._unquoted(fields, key)
        plain = text.replace("_", "")
        octal = _OCTAL.match(plain)
        cut = _FLOAT.match(plain) and not _WHOLE.match(plain)
        try:
            if not text:
                return 0
            return int(plain, 8) if octal else int(float(plain)) if cut else int(plain, 0)
        except (ValueError, OverflowError):
            self.note("TG-rule-type", f"{key} must be a whole number, not {text!r}", fields[key])
        return 0

    def number(self, fields: dict[str, yaml.Node], key: str) -> float:
        """Return a float, YAML's .nan and .inf included; 0 if the key is absent, null or a fault."""
        text = self._unquoted(fields, key).lower()
        try:
            plain = text.replace("_", "")
            whole = plain.lstrip("+-").startswith(("0x", "0o"))
            return float(int(plain, 0)) if whole else float(plain.replace(".nan", "nan").replace(".inf", "inf") or 0)
        except (ValueError, OverflowError):
            self.note("TG-rule-type", f"{key} must be a number, not {text!r}", fields[key])
        return 0.0

    def boolean(self, fields: dict[str, yaml.Node], key: str) -> bool:
        """Return true or false, false if the key is absent, null or a fault."""
        text = self._unquoted(fields, key)
        if text.lower() not in ("", "true", "false", "yes", "no", "on", "off"):
            self.note("TG-rule-type", f"{key} must be true or false, not {text!r}", fields[key])
        return text.lower() in ("true", "yes", "on")

    def _unquoted(self, fields: dict[str, yaml.Node], key: str) -> str:
        """Return the spelling of what is no string: in quotes it would be one, as in Go's YAML, and is a fault."""
        text, node = self.text(fields, key), fields.get(key)
        if isinstance(node, yaml.ScalarNode) and node.style and node.tag.endswith(":str"):
            self.note("TG-rule-type", f"{key} must not be a string: {text[:80]!r} stands in quotes", node)
            return ""
        return text

    def _string(self, node: yaml.Node, what: str) -> str:
        # As in Prometheus, a number or a boolean where a string is due is taken by its spelling.
        if not isinstance(node, yaml.ScalarNode):
            raise self.fault("TG-rule-type", f"{what} must be a string", node)
        if is_null(node):
            return ""
        text = str(node.value)
        if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
            raise self.fault("TG-rule-type", f"{what} is no valid UTF-8", node)
        return text


def is_null(node: yaml.Node) -> bool:
    """Tell whether a node is YAML's null."""
    return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")
