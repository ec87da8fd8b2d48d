"""What must be known of a statement before the engine sees it: where insert data begin, which format comes out."""

import re
from dataclasses import dataclass

# Possessive wherever two parts could share a run of characters: these see a statement before anyone's rights are
# known, and hold the interpreter while they look.
_NAME = r"(?:[A-Za-z_]\w*+|`[^`\\]+`|\"[^\"\\]+\")"
# Only the plain form; anything else goes to the engine's own parser as one text.
_INSERT = re.compile(
    rf"\s*+(INSERT\s++INTO\s++(?:TABLE\s++)?{_NAME}(?:\s*+\.\s*+{_NAME})?\s*+(?:\([^()]*+\)\s*+)?"
    rf"(?:SETTINGS\s[^()]*?\s)?)(?:FORMAT\s++([A-Za-z]\w*)|(VALUES)\b)",
    re.IGNORECASE,
)
_DATA_GAP = re.compile(rb"[ \t\f]*;?[ \t\f]*(?:\r?\n)?")
# Looked for behind the last parenthesis: settings that are reached there go on to the end.
_LAST_FORMAT = re.compile(r"\bFORMAT\s++([A-Za-z]\w*+)(?:\s++SETTINGS\s|[\s;]*+\Z)", re.IGNORECASE)
_ANY_FORMAT = re.compile(r"\bFORMAT\b", re.IGNORECASE)
_SELECT = re.compile(r"\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_TOTALS = re.compile(r"\bTOTALS\b|\bEXTREMES\b", re.IGNORECASE)

# Formats whose output is a run of independent pieces. The engine streams whole documents: only these may be joined.
_JOINABLE = {
    "native", "tsv", "tabseparated", "tsvraw", "tabseparatedraw", "csv", "jsoneachrow", "rowbinary",
    "jsoncompacteachrow", "lineasstring", "rawblob",
}  # fmt: skip

_CONTENT_TYPES = {
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "rowbinarywithnamesandtypes": "application/octet-stream",
    "arrow": "application/octet-stream",
    "arrowstream": "application/octet-stream",
    "parquet": "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose data follow: the statement without them, their format, where they begin in the text."""

    statement: str
    format: str
    data_at: int


@dataclass(frozen=True, slots=True)
class Output:
    """The format a statement answers in, and whether its pieces may be sent as they come."""

    format: str
    streamed: bool

    @property
    def content_type(self) -> str:
        """The MIME type of the format, as ClickHouse names it."""
        return _CONTENT_TYPES.get(self.format.lower(), "text/plain; charset=UTF-8")


def find_insert(text: bytes) -> Insert | None:
    """Return the insert at the head of text (bytes, because its data may be binary), or None if it is none."""
    head = text[:65536].decode("latin-1")  # one byte a character, so that positions stay those of the bytes
    found = _INSERT.match(head)
    if found is None:
        return None
    statement = text[found.start(1) : found.end(1)].decode()
    gap = _DATA_GAP.match(text, found.end())
    return Insert(statement, found.group(2) or "Values", gap.end() if gap else found.end())


def find_output(sql: str, default: str) -> Output:
    """Return what a query answers in. In doubt it is not streamed: the engine then writes one whole document."""
    found = _LAST_FORMAT.search(sql, max(sql.rfind("("), sql.rfind(")")) + 1)
    name = found.group(1) if found else default
    certain = found is not None or not _ANY_FORMAT.search(sql)
    streamed = certain and name.lower() in _JOINABLE and bool(_SELECT.match(sql)) and not _TOTALS.search(sql)
    return Output(name, streamed)
