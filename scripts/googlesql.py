"""Google's own SQL analyzer and reference implementation, in this process.

PyPI's `zetasql` carries ZetaSQL, the open core of BigQuery's SQL, as a WebAssembly
module. `GoogleSql` gives it the language that BigQuery documents and the tables that a
statement reads, and says what the statement returns, or why it is wrong; it can also
run queries that read no table. The module is compiled once (some 40 s) and kept in
$CLV_GOOGLESQL_CACHE, by default ~/.cache/clv-googlesql; from there it starts in 0.3 s.
"""

import ctypes
import datetime
import decimal
import hashlib
import importlib.metadata
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tzdata
import wasmtime
from google.protobuf.message_factory import GetMessageClass
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import (
    function_pb2,
    options_pb2,
    simple_catalog_pb2,
)
from zetasql.wasi._pb2.zetasql.public import (
    function_pb2 as functions,
)
from zetasql.wasi._pb2.zetasql.public import (
    options_pb2 as language,
)
from zetasql.wasi._pb2.zetasql.public import (
    simple_table_pb2,
    type_pb2,
)

# What BigQuery has of ZetaSQL. Everything else stays off, so that what only ZetaSQL or
# DuckDB has is an error: FILTER of aggregates, lateral aliases, lambdas, MAP, ...
FEATURES = """
ADDITIONAL_STRING_FUNCTIONS ALLOW_CONSECUTIVE_ON ALLOW_DASHES_IN_TABLE_NAME
ALLOW_MISSING_PATH_EXPRESSION_IN_ALTER_DDL ALLOW_REGEXP_EXTRACT_OPTIONALS
ALTER_COLUMN_SET_DATA_TYPE ALTER_TABLE_RENAME_COLUMN ANALYTIC_FUNCTIONS
ANNOTATION_FRAMEWORK BARE_ARRAY_ACCESS BIGNUMERIC_TYPE BY_NAME CASE_STMT
CAST_DIFFERENT_ARRAY_TYPES CBRT_FUNCTIONS CHAINED_FUNCTION_CALLS CIVIL_TIME
COLLATION_SUPPORT COLUMN_DEFAULT_VALUE CONCAT_MIXED_TYPES CORRESPONDING
CORRESPONDING_FULL CREATE_AGGREGATE_FUNCTION CREATE_EXTERNAL_TABLE_WITH_CONNECTION
CREATE_EXTERNAL_TABLE_WITH_PARTITION_COLUMNS
CREATE_EXTERNAL_TABLE_WITH_TABLE_ELEMENT_LIST CREATE_MATERIALIZED_VIEW_CLUSTER_BY
CREATE_MATERIALIZED_VIEW_PARTITION_BY CREATE_SNAPSHOT_TABLE
CREATE_TABLE_AS_SELECT_COLUMN_LIST CREATE_TABLE_CLONE CREATE_TABLE_CLUSTER_BY
CREATE_TABLE_COPY CREATE_TABLE_FIELD_ANNOTATIONS CREATE_TABLE_FUNCTION
CREATE_TABLE_LIKE CREATE_TABLE_NOT_NULL CREATE_TABLE_PARTITION_BY
CREATE_VIEW_WITH_COLUMN_LIST DATE_ARITHMETICS DATE_TIME_CONSTRUCTORS DECIMAL_ALIAS
DML_UPDATE_WITH_JOIN ENABLE_CONSTANT_EXPRESSION_IN_JSON_PATH
ENABLE_FLOAT_DISTANCE_FUNCTIONS ENCRYPTION EXTENDED_DATE_TIME_SIGNATURES
EXTENDED_GEOGRAPHY_PARSERS FOREIGN_KEYS FORMAT_IN_CAST FOR_IN FOR_SYSTEM_TIME_AS_OF
FUNCTION_ARGUMENTS_WITH_DEFAULTS GEOGRAPHY GROUPING_BUILTIN GROUPING_SETS
GROUP_BY_ALL GROUP_BY_ARRAY GROUP_BY_ROLLUP GROUP_BY_STRUCT HAVING_IN_AGGREGATE
INTERVAL_TYPE INVERSE_TRIG_FUNCTIONS IS_DISTINCT JSON_ARRAY_FUNCTIONS
JSON_CONSTRUCTOR_FUNCTIONS JSON_KEYS_FUNCTION JSON_LAX_VALUE_EXTRACTION_FUNCTIONS
JSON_MUTATOR_FUNCTIONS JSON_TYPE JSON_VALUE_EXTRACTION_FUNCTIONS LIKE_ANY_SOME_ALL
LIMIT_IN_AGGREGATE MATCH_RECOGNIZE NAMED_ARGUMENTS
NULLS_FIRST_LAST_IN_ORDER_BY NULL_HANDLING_MODIFIER_IN_AGGREGATE
NULL_HANDLING_MODIFIER_IN_ANALYTIC NUMERIC_TYPE OMIT_INSERT_COLUMN_LIST
ORDER_BY_COLLATE ORDER_BY_IN_AGGREGATE PARAMETERIZED_TYPES PIPES PIVOT QUALIFY
RANGE_TYPE REMOTE_FUNCTION REMOTE_MODEL REPEAT ROUND_WITH_ROUNDING_MODE
SAFE_FUNCTION_CALL SCRIPT_LABEL SELECT_STAR_EXCEPT_REPLACE TABLESAMPLE
TABLE_VALUED_FUNCTIONS TEMPLATE_FUNCTIONS TIME_BUCKET_FUNCTIONS TYPEOF_FUNCTION
UNENFORCED_PRIMARY_KEYS UNNEST_AND_FLATTEN_ARRAYS UNPIVOT WEEK_WITH_WEEKDAY
WITH_EXPRESSION WITH_ON_SUBQUERY WITH_RECURSIVE
"""
# ZetaSQL has these whatever its features; BigQuery's function reference has not.
NOT_IN_BIGQUERY = """
apply array_avg array_filter array_find array_find_all array_first_n array_includes
array_includes_all array_includes_any array_is_distinct array_last_n array_max
array_min array_offset array_offsets array_remove_first_n array_remove_last_n
array_sum array_transform array_zip dot_product elementwise_avg elementwise_sum iferror
iserror l1_norm l2_norm manhattan_distance nulliferror safe_to_json
timestamp_from_unix_micros timestamp_from_unix_millis timestamp_from_unix_seconds
to_seconds_interval
"""
# BigQuery documents these with OVER only.
ONLY_ANALYTIC = {"percentile_cont", "percentile_disc"}
# BigQuery has these, ZetaSQL has not: the first argument's type is returned.
MISSING_AGGREGATES = ("max_by", "min_by")
ALIASES = {
    "INT": "INT64",
    "INTEGER": "INT64",
    "SMALLINT": "INT64",
    "BIGINT": "INT64",
    "TINYINT": "INT64",
    "BYTEINT": "INT64",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
SYSTEM_VARIABLES = ("project_id", "dataset_id", "time_zone", "location", "session_id")
EPOCH = datetime.date(1970, 1, 1)


class SqlError(Exception):
    """What Google says is wrong, and where: (line, column) counted from 1, or None."""

    def __init__(self, message: str):
        found = re.search(r"\s*\[at (\d+):(\d+)\]\s*$", message)
        self.message = message[: found.start()] if found else message
        self.position = (int(found[1]), int(found[2])) if found else None
        super().__init__(message)


class Node:
    """A node of the resolved tree: its message type and its bytes, decoded once."""

    __slots__ = ("_fields", "data", "kind")

    def __init__(self, kind: Any, data: bytes):
        self.kind, self.data = kind, data
        self._fields: dict[int, list] | None = None

    @property
    def name(self) -> str:
        """Its type, such as JoinScan."""
        return self.kind.name.removeprefix("Resolved").removesuffix("Proto")

    @property
    def fields(self) -> dict[int, list]:
        """Its values by number; messages are nodes."""
        if self._fields is None:
            kinds = self.kind.fields_by_number
            self._fields = {
                number: [peel(Node(kinds[number].message_type, v)) for v in values]
                if kinds[number].message_type
                else values
                for number, values in split(self.data).items()
            }
        return self._fields

    def get(self, field: str) -> list:
        """Return the values of a field, also of what the node extends."""
        number = self.kind.fields_by_name.get(field)
        if number is not None:
            return self.fields.get(number.number, [])
        return [v for parent in self._parent() for v in parent.get(field)]

    def _parent(self) -> list["Node"]:
        return self.get("parent") if "parent" in self.kind.fields_by_name else []

    def children(self) -> Iterator["Node"]:
        """Yield the nodes directly below, and the part that belongs to a base type."""
        for number, values in self.fields.items():
            kind = self.kind.fields_by_number[number].message_type
            if kind and kind.name.startswith(("Resolved", "AnyResolved")):
                yield from values

    def walk(self) -> Iterator["Node"]:
        """Yield this node and everything below it."""
        yield self
        for child in self.children():
            yield from child.walk()


def split(data: bytes) -> dict[int, list]:
    """Return the fields of a message, {number: values}: protobuf refuses deep trees."""
    fields: dict[int, list] = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            value: Any = number()
        else:
            size = number() if tag & 7 == 2 else {1: 8, 5: 4}[tag & 7]
            value = data[at : at + size]
            at += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def peel(node: Node) -> Node:
    """Return the node itself: AnyResolved... messages are trees of alternatives."""
    while "node" in node.kind.oneofs_by_name:
        ((number, values),) = split(node.data).items()
        node = Node(node.kind.fields_by_number[number].message_type, values[-1])
    return node


def simple_type(name: str) -> type_pb2.TypeProto:
    """Return the type of a column: a plain type, or ARRAY of one."""
    name = re.sub(r"\(.*\)", "", name).strip().upper()
    kind = type_pb2.TypeProto()
    if name.startswith("ARRAY<"):
        kind.type_kind = type_pb2.TYPE_ARRAY
        kind.array_type.element_type.CopyFrom(simple_type(name[6:-1]))
    else:
        name = {"FLOAT64": "DOUBLE"}.get(name, ALIASES.get(name, name))
        kind.type_kind = type_pb2.TypeKind.Value(f"TYPE_{name}")
    return kind


def type_name(kind: type_pb2.TypeProto) -> str:
    if kind.type_kind == type_pb2.TYPE_ARRAY:
        return f"ARRAY<{type_name(kind.array_type.element_type)}>"
    name = type_pb2.TypeKind.Name(kind.type_kind).removeprefix("TYPE_")
    return {"DOUBLE": "FLOAT64"}.get(name, name)


class Resolved:
    """What the analyzer makes of a statement.

    Attributes:
        tables: the names of the tables it reads.
        columns: name and type of every column that comes out.
        costs: what it must not cost, once somebody has looked.
    """

    def __init__(self, statement: Node, tables: list[str]):
        self.root, self.tables = (statement.kind, statement.data), tables
        self.costs: list[str] | None = None
        self.columns = []
        for column in statement.get("output_column_list"):
            message = GetMessageClass(column.kind).FromString(column.data)
            self.columns.append((message.name, type_name(message.column.type)))

    @property
    def statement(self) -> Node:
        """Its tree, which is not kept: there are many, and each is large."""
        return Node(*self.root)


class GoogleSql:
    """The analyzer with BigQuery's language; `tables` is what statements may read."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, str]] = {}
        self.known: dict[tuple, Resolved] = {}
        self.module = _module()
        self._start()
        self.language = options_pb2.LanguageOptionsProto(
            name_resolution_mode=language.NAME_RESOLUTION_DEFAULT,
            product_mode=language.PRODUCT_EXTERNAL,
            enabled_language_features=[
                language.LanguageFeature.Value(f"FEATURE_{name}")
                for name in FEATURES.split()
            ],
            reserved_keywords=["QUALIFY", "MATCH_RECOGNIZE"],
        )
        self.options = options_pb2.AnalyzerOptionsProto(
            language_options=self.language,
            error_message_mode=language.ERROR_MESSAGE_ONE_LINE,
            default_timezone="UTC",
            prune_unused_columns=True,
            preserve_column_aliases=True,
        )

    def analyze(self, sql: str) -> Resolved:
        """Resolve one statement.

        Raises:
            SqlError: what Google has against it.
        """
        names = self._table_names(sql)
        read = tuple((name, repr(self.tables.get(name))) for name in names)
        # Variants of a project share most statements and the tables they read.
        if (sql, read) not in self.known:
            self.known[sql, read] = Resolved(self._resolve(sql, names), names)
        return self.known[sql, read]

    def _resolve(self, sql: str, names: list[str]) -> Node:
        request = service.AnalyzeRequest(options=self.options, sql_statement=sql)
        request.simple_catalog.CopyFrom(self._catalog(names))
        for name in SYSTEM_VARIABLES:
            request.options.system_variables.add(
                name_path=[name], type=simple_type("STRING")
            )
        field = service.AnalyzeResponse.DESCRIPTOR.fields_by_name["resolved_statement"]
        answer = split(self._call("Analyze", request))
        node = peel(Node(field.message_type, answer[field.number][0]))
        self._refuse_functions(node)
        for name in names:
            known = next((t for t in self.tables if t.lower() == name.lower()), name)
            if known != name and name.count(".") == 2:
                raise SqlError(f"Table names are case-sensitive: {name} is {known}")
        return node

    def evaluate(self, sql: str) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
        """Run a query that reads no table, with the reference implementation.

        Returns:
            Name and type of every column, and the rows.

        Raises:
            SqlError: what Google has against it, also while it runs.
        """
        request = service.EvaluateQueryRequest(sql=sql, options=self.options)
        request.simple_catalog.CopyFrom(self._catalog([]))
        answer = service.EvaluateQueryResponse.FromString(
            self._call("EvaluateQuery", request)
        )
        columns = [(c.name, type_name(c.type)) for c in answer.prepared.columns]
        return columns, [
            {
                name: _python(cell, kind)
                for cell, (name, kind) in zip(row.cell, columns, strict=True)
            }
            for row in answer.content.table_data.row
        ]

    def _table_names(self, sql: str) -> list[str]:
        request = service.ExtractTableNamesFromStatementRequest(
            sql_statement=sql, options=self.language
        )
        answer = service.ExtractTableNamesFromStatementResponse.FromString(
            self._call("ExtractTableNamesFromStatement", request)
        )
        return [".".join(table.table_name_segment) for table in answer.table_name]

    def _catalog(self, names: list[str]) -> simple_catalog_pb2.SimpleCatalogProto:
        """Return the tables that a statement names; all of them when one is unknown.

        With all of them Google can say 'Did you mean'.
        """
        root = simple_catalog_pb2.SimpleCatalogProto(name="bigquery")
        root.builtin_function_options.language_options.CopyFrom(self.language)
        for alias, target in ALIASES.items():
            root.named_type.add(name=alias, type=simple_type(target))
        for name in MISSING_AGGREGATES:
            root.custom_function.append(_first_argument_aggregate(name))
        wanted = {n: self.tables[n] for n in names if n in self.tables}
        known = wanted if len(wanted) == len(set(names)) else self.tables
        catalogs: dict[tuple, Any] = {(): root}
        for number, (name, columns) in enumerate(sorted(known.items()), 1):
            *path, last = name.split(".")
            for depth in range(1, len(path) + 1):
                here = tuple(path[:depth])
                if here not in catalogs:
                    catalogs[here] = catalogs[here[:-1]].catalog.add(name=here[-1])
            table = simple_table_pb2.SimpleTableProto(
                name=last, serialization_id=number, full_name=name
            )
            for column, kind in columns.items():
                table.column.add(name=column, type=simple_type(kind))
            catalogs[tuple(path)].table.append(table)
            # `project.dataset.table` in one pair of quotes is the same table.
            root.table.add(name_in_catalog=name).MergeFrom(table)
            root.table[-1].name = name
        return root

    @staticmethod
    def _refuse_functions(statement: Node) -> None:
        foreign = {f"ZetaSQL:{name}".encode() for name in NOT_IN_BIGQUERY.split()}
        analytic = {f"ZetaSQL:{name}".encode() for name in ONLY_ANALYTIC}
        if not any(name in statement.data for name in foreign | analytic):
            return
        for node in statement.walk():
            for function in node.get("function"):
                name = function.get("name")[0]
                short = name.decode().removeprefix("ZetaSQL:").upper()
                if name in foreign:
                    raise SqlError(f"Function {short} is not in BigQuery")
                if name in analytic and node.name == "AggregateFunctionCall":
                    raise SqlError(f"Function {short} needs an OVER clause")

    def _start(self) -> None:
        engine, module = self.module
        wasi = wasmtime.WasiConfig()
        zones = Path(tzdata.__file__).parent / "zoneinfo"
        wasi.preopen_dir(str(zones), "/usr/share/zoneinfo")
        self.store = wasmtime.Store(engine)
        self.store.set_wasi(wasi)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        if "_initialize" in self.exports:
            self.exports["_initialize"](self.store)

    def _call(self, method: str, request: Any) -> bytes:
        """Call the local service: bytes into the module's memory, bytes out of it."""
        store, exports, data = self.store, self.exports, request.SerializeToString()

        def address(offset: int) -> int:
            memory = exports["memory"].data_ptr()
            return ctypes.cast(memory, ctypes.c_void_p).value + offset

        try:
            sent = exports["wasm_malloc"](store, max(len(data), 1))
            size = exports["wasm_malloc"](store, 4)
            ctypes.memmove(address(sent), data, len(data))
            function = exports[f"ZetaSqlLocalService_{method}"]
            answer = function(store, sent, len(data), size)
            if answer:
                length = int.from_bytes(ctypes.string_at(address(size), 4), "little")
                result = ctypes.string_at(address(answer), length)
            else:
                length = exports["wasm_get_last_error_size"](store)
                where = address(exports["wasm_get_last_error"](store))
                message = ctypes.string_at(where, length).decode()
            for pointer in filter(None, (answer, sent, size)):
                exports["wasm_free"](store, pointer)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
            self._start()  # that instance is dead
            reason = str(trap).splitlines()[-1]
            raise SqlError(f"the analyzer itself crashed: {reason}") from None
        if not answer:
            raise SqlError(re.sub(r"^Code: \d+, Message: ", "", message))
        return result


def _module() -> tuple[wasmtime.Engine, wasmtime.Module]:
    """Return the compiled module, from the cache when it is there."""
    config = wasmtime.Config()
    config.shared_memory = True
    engine = wasmtime.Engine(config)
    source = Path(get_wasm_path())
    version = importlib.metadata.version("wasmtime").encode()
    digest = hashlib.sha256(source.read_bytes() + version).hexdigest()[:16]
    default = Path.home() / ".cache" / "clv-googlesql"
    folder = Path(os.environ.get("CLV_GOOGLESQL_CACHE") or default)
    cached = folder / f"zetasql-{digest}.cwasm"
    if cached.exists():
        return engine, wasmtime.Module.deserialize_file(engine, str(cached))
    module = wasmtime.Module.from_file(engine, str(source))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(module.serialize())
    os.replace(file.name, cached)
    return engine, module


def _first_argument_aggregate(name: str) -> function_pb2.FunctionProto:
    function = function_pb2.FunctionProto(
        name_path=[name],
        group="BigQuery",
        mode=functions.FunctionEnums.Mode.Value("AGGREGATE"),
    )
    function.options.supports_over_clause = True
    signature = function.signature.add()
    arguments = (signature.return_type, signature.argument.add())
    for argument in arguments:
        argument.kind, argument.num_occurrences = functions.ARG_TYPE_ANY_1, 1
    signature.argument.add(kind=functions.ARG_TYPE_ARBITRARY, num_occurrences=1)
    return function


def _python(value: Any, kind: str) -> Any:
    which = value.WhichOneof("value")
    if which is None:
        return None
    if kind.startswith("ARRAY<"):
        return [_python(each, kind[6:-1]) for each in value.array_value.element]
    if kind == "DATE":
        return EPOCH + datetime.timedelta(days=value.date_value)
    if kind == "TIMESTAMP":
        return value.timestamp_value.ToDatetime(datetime.UTC)
    if kind == "NUMERIC":  # scaled by 10**9, little endian
        number = int.from_bytes(value.numeric_value, "little", signed=True)
        return decimal.Decimal(number).scaleb(-9)
    return getattr(value, which)
