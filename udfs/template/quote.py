"""Texts and characters as Go quotes them (strconv/quote.go)."""

_CONTROLS = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def quoted(text: str, ascii_only: bool = False, quote: str = '"') -> str:
    """Return a text as Go quotes it; ascii_only: what is beyond ASCII is spelled by its number."""
    parts = []
    for char in text:
        code = ord(char)
        if char in ("\\", quote):
            parts.append("\\" + char)
        elif char.isprintable() and (code < 0x80 or not ascii_only):
            parts.append(char)
        elif char in _CONTROLS:
            parts.append(_CONTROLS[char])
        elif code < 0x20 or code == 0x7F:
            parts.append(f"\\x{code:02x}")
        else:
            parts.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f"{quote}{''.join(parts)}{quote}"


def rune(value: int) -> str:
    """Return the character of a code point; as in Go, what is none, a surrogate too, is U+FFFD."""
    return chr(value) if 0 <= value < 0xD800 or 0xDFFF < value <= 0x10FFFF else "\ufffd"
