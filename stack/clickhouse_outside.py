"""What of the engine reaches outside the database, and so is not for the user who may only read.

The engine's own answer to readonly = 1 leaves gaps: the scalar file() reads any file of the machine, output formats
read templates and write schemas by a path, some settings are expressions themselves.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


# The table functions that stay inside. All others that the engine knows are refused, so that a new engine's are too.
_INSIDE = _words(
    """
    numbers numbers_mt zeros zeros_mt primes generateseries generate_series generaterandom values sqlstandardvalues null
    view viewexplain viewifpermitted merge format fuzzjson fuzzquery mergetreeindex mergetreeanalyzeindexes
    mergetreeanalyzeindexesuuid mergetreecodecblockcounts mergetreeprojection mergetreetextindex prometheusquery
    prometheusqueryrange timeseriesdata timeseriesmetricfamilies timeseriesmetrics timeseriessamples
    timeseriesselector timeseriestags
    """
)
# Scalar functions that read files or ask others. These may be passed by name: arrayMap(file, …), APPLY(file).
_SCALARS = _words(
    """
    file catboostevaluate aiclassify aiembed aiextract aifilter aigenerate airedact aisimilarity aitranslate
    """
)
# Settings of free text hold expressions (filter, additional_result_filter), paths (format_template_row), addresses and
# whole languages (dialect). These hold none; what is no text is free.
_TEXTS = "SELECT name FROM system.settings WHERE type IN ('String', 'Map', 'URI', 'Dialect')"
_PLAIN_TEXTS = _words(
    """
    log_comment query_cache_tag workload compatibility count_distinct_implementation ignore_data_skipping_indices
    force_data_skipping_indices force_optimize_projection_name preferred_optimize_projection_name database
    default_format bool_true_representation bool_false_representation format_csv_null_representation
    format_tsv_null_representation format_custom_field_delimiter format_custom_row_before_delimiter
    format_custom_row_after_delimiter format_custom_row_between_delimiter format_custom_result_before_delimiter
    format_custom_result_after_delimiter output_format_avro_codec output_format_avro_string_column_pattern
    output_format_pretty_grid_charset output_format_sql_insert_table_name output_format_orc_writer_time_zone_name
    format_json_object_each_row_column_for_object_name errors_output_format
    """
)
# What bounds the work on a statement before it runs: of our own looks at it too, which hold the interpreter.
_LIMITS = """
SELECT name, value FROM system.settings WHERE name IN ('max_query_size', 'max_parser_depth', 'max_parser_backtracks')
"""
# Functions whose arguments are values: an identifier there is a column. Seen with each function of 26.9: the engine
# takes one by its name only as the first argument of a higher-order one, also where an alias or a function of a user
# stands between.
_OF_VALUES = """
SELECT lower(name) FROM system.functions WHERE higher_order = 0 OR is_aggregate
UNION ALL
SELECT lower(f.name || c.name) FROM system.functions AS f, system.aggregate_function_combinators AS c WHERE is_aggregate
"""
_AST_FUNCTION = re.compile(r"^ *Function (\w+)", re.MULTILINE)
_AST_IDENTIFIER = re.compile(r"^ *Identifier (\w+)", re.MULTILINE)

_AST_HIDES = re.compile(r"ColumnsApplyTransformer|Show(?:Tables|Columns|Indexes)\b")


class Outside:
    """What reaches outside. ask: runs a statement of ours in the engine, gives its lines.

    limits: settings that no read-only user changes, with the engine's defaults.
    """

    def __init__(self, ask: Callable[[str], list[str]]) -> None:
        tables = {name.lower() for name in ask("SELECT name FROM system.table_functions")}
        self._functions = frozenset(tables - _INSIDE | _SCALARS)
        self.limits = dict(line.split("\t") for line in ask(_LIMITS))
        self._settings = frozenset(ask(_TEXTS)) - _PLAIN_TEXTS | frozenset(self.limits)
        self._of_values = frozenset(ask(_OF_VALUES))

    def setting(self, names: Iterable[str]) -> str | None:
        """Return the first of these settings that may not be set."""
        return next((name for name in names if name in self._settings), None)

    def suspects(self, sql: str, bound: Mapping[str, str]) -> bool:
        """Tell whether a name may stand there: cheap, where the trees cost two parses. bound: its parameters.

        One plain search a name, 0.03 CPU s a MB and none of them longer than 3 ms: a regular expression took 0.6, and
        kept all other threads out meanwhile.
        """
        text = sql.lower()
        return "\\" in text or self._names(text) or ("identifier" in text and any(map(self._names, bound.values())))

    def _names(self, text: str) -> bool:
        text = text.lower()
        return any(name in text for name in self._functions)

    def refusal(self, ast: str, tree: str, bound: Mapping[str, str]) -> str | None:
        """Return what a read-only user may not do of what a statement does, None if it is nothing.

        ast: of EXPLAIN AST, which omits the functions of APPLY and the WHERE of SHOW. tree: of parseQueryToJSON, which
        has them, but does not know all statements: then empty. bound: the statement's parameters.
        """
        called = _AST_FUNCTION.findall(ast)
        if tree:
            try:
                by_call, by_name = self._named(tree, bound)
            except RecursionError:
                return "nest a statement that deeply where it holds a name of what reaches outside"
            called += by_call
        else:
            by_name = _AST_IDENTIFIER.findall(ast)
            if _AST_HIDES.search(ast):
                # What stands there cannot be seen; a name was suspected, so it counts as the worst.
                by_name.append("file")
        if name := next((name for name in called if name.lower() in self._functions), None):
            return f"call {name}()"
        if name := next((name for name in by_name if name.lower() in _SCALARS), None):
            return f"pass {name} where it may call {name}(): if it is a column, rename it or qualify it (t.{name})"
        return None

    def _named(self, tree: str, bound: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return the functions that are called, and the names that are passed where they may be a function's."""
        called: list[str] = []
        passed: list[str] = []

        def note(node: dict[str, Any]) -> dict[str, Any]:
            if node.get("type") == "Function":
                called.append(node["name"])
                if node["name"].lower() not in self._of_values:
                    passed.extend(_identifier(each, bound) for each in node.get("arguments", {}).get("children", ()))
            passed.append(str(node.get("func_name", "")))
            return node

        json.loads(tree, object_hook=note)
        return called, passed


def _identifier(node: Mapping[str, Any], bound: Mapping[str, str]) -> str:
    if node.get("type") != "Identifier":
        return ""
    parts = [bound.get(str(part.get("name")), "") for part in node.get("children", ())]
    return str(node.get("name") or "".join(parts))
