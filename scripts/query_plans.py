"""What a resolved statement reads, and how large its expressions become when inlined.

BigQuery bills a table's column once per statement, however often it is read, and only
the columns that the result needs, seen through views, CTEs and subqueries. It skips the
partitions that a comparison with a literal excludes. It keeps no CTE: one that is used
twice is computed twice, and a column used in two places is written out in both.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message_factory import GetMessageClass
from googlesql import EPOCH, Node

COMPARISONS = {
    "$greater_or_equal": ">=",
    "$greater": ">",
    "$less_or_equal": "<=",
    "$less": "<",
    "$equal": "=",
}
TURNED = {">=": "<=", ">": "<", "<=": ">=", "<": ">", "=": "="}
DAY = 86_400  # seconds
ALL = "*"  # every column of a table


class Bound(NamedTuple):
    """A comparison of a column with days that are written out."""

    column: Any
    operator: str
    days: tuple[str, ...]


def is_scan(node: Node) -> bool:
    return node.name.endswith("Scan")


def table_name(scan: Node) -> str:
    return scan.get("table")[0].get("full_name")[0].decode()


def column_id(column: Node) -> int:
    return GetMessageClass(column.kind).FromString(column.data).column_id


def column_name(column: Node) -> str:
    return GetMessageClass(column.kind).FromString(column.data).name


def columns_of(scan: Node) -> list[int]:
    """Return the ids of the columns that a scan gives, in order."""
    return [column_id(column) for column in scan.get("column_list")]


def function_name(call: Node) -> str:
    """Return the name of a call's function, or nothing for another node."""
    found = call.get("function") if call.name.endswith("FunctionCall") else []
    return found[0].get("name")[0].decode().partition(":")[2] if found else ""


def conditions(expression: Node) -> Iterator[Node]:
    """Yield the parts of a condition that all must hold."""
    if function_name(expression) == "$and":
        for part in expression.get("argument_list"):
            yield from conditions(part)
    else:
        yield expression


def referenced(expression: Node) -> set[int]:
    """Return the ids of the columns that an expression names, subqueries included."""
    return {
        column_id(column)
        for each in expression.walk()
        if each.name == "ColumnRef"
        for column in each.get("column")
    }


def literal_date(node: Node) -> str | None:
    """Return the day of a DATE or TIMESTAMP literal."""
    if node.name != "Literal":
        return None
    found = node.get("value")[0]
    value = GetMessageClass(found.kind).FromString(found.data).value
    kind = value.WhichOneof("value")
    if kind == "date_value":
        days = value.date_value
    elif kind == "timestamp_value":
        days = value.timestamp_value.seconds // DAY
    else:
        return None
    return (EPOCH + (EPOCH.resolution * days)).isoformat()


def bounds(condition: Node) -> Iterator[Bound]:
    """Yield the comparisons of columns with literal dates that must hold."""
    for part in conditions(condition):
        name = function_name(part)
        arguments = part.get("argument_list") if name else []
        # Where there is no day, there is a partition of its own.
        dated = [each for each in arguments if function_name(each) != "$is_null"]
        if name == "$or" and len(dated) == 1:
            absent = set().union(*(referenced(each) for each in arguments))
            yield from bounds(dated[0]) if len(absent) == 1 else ()
        pairs = []
        if name == "$between":
            pairs = [(arguments[0], ">=", arguments[1:2])]
            pairs.append((arguments[0], "<=", arguments[2:]))
        elif name == "$in":
            pairs = [(arguments[0], "in", arguments[1:])]
        elif name in COMPARISONS:
            left, right = arguments
            operator = COMPARISONS[name]
            pairs = [(left, operator, [right]), (right, TURNED[operator], [left])]
        for one, operator, others in pairs:
            # The month of a date bounds its partition too.
            column = one.get("argument_list")[0] if is_month(one) else one
            days = tuple(literal_date(other) for other in others)
            if column.name == "ColumnRef" and None not in days:
                yield Bound(column_id(column.get("column")[0]), operator, days)


def is_month(node: Node) -> bool:
    return function_name(node) == "date_trunc"


class Read(NamedTuple):
    """One scan of a table: the columns that are needed, and the bounds on its rows."""

    columns: set[str]
    bounds: list[Bound]


class Plan:
    """A statement as BigQuery reads it.

    Attributes:
        reads: table → its scans, views expanded.
        nodes: nodes of the largest expression, columns and CTEs written out, also where
            a subquery takes them from the row around it; a view's column is one.
        scans: how often a table that grows is scanned, CTEs computed anew each time.
    """

    def __init__(self, statement: Node, views: dict[str, Any], grows: Any = None):
        self.views, self.grows = views, grows or (lambda _: True)
        self.reads: dict[str, list[Read]] = defaultdict(list)
        self.nodes = 0
        self.scans = self.plan(statement)

    def plan(self, statement: Node) -> int:
        """Note what a statement reads; return how often it scans tables that grow."""
        query = statement.get("query")
        if not query:
            return self.change(statement)
        needed = {
            column_id(column.get("column")[0])
            for column in statement.get("output_column_list")
        } or set(columns_of(query[0]))
        self.ctes: dict[str, Node] = {}
        self.wanted: dict[str, set[int]] = {}
        self.limits: dict[str, list[list[Bound]]] = {}
        self.need(query[0], needed, [])
        self.counts: dict[str, int] = {}
        self.sizes: dict[str, list[int]] = {}
        self.outer: dict[int, int] = {}
        self.computed = 0
        self.size(query[0])
        return self.count(query[0])

    def change(self, statement: Node) -> int:
        """Note what a merge or delete reads: whole rows of the partitions it names.

        A merge that only inserts is billed none of them.
        """
        target = statement.get("table_scan")[0] if statement.get("table_scan") else None
        clauses, where = statement.get("when_clause_list"), statement.get("where_expr")
        named = list(where)
        for clause in clauses:
            named += clause.get("match_expr")
        named = [bound for condition in named for bound in bounds(condition)]
        self.ctes, self.wanted, self.limits = {}, {}, {}
        wanted = set()
        for each in [*clauses, *where, *statement.get("merge_expr")]:
            wanted |= self.expression(each)
        for source in statement.get("from_scan"):
            self.need(source, wanted, [])
        changes = any(any(clause.get("action_type")) for clause in clauses)
        if target is not None and (changes or where):
            name = table_name(target)
            given = {column_id(c): column_name(c) for c in target.get("column_list")}
            limits = [bound._replace(column=given.get(bound.column)) for bound in named]
            limits = [bound for bound in limits if bound.column]
            self.reads[name].append(Read({ALL}, limits))
        return sum(node.name == "TableScan" for node in statement.walk())

    # What is read.

    def expression(self, expression: Node) -> set[int]:
        """Return what an expression needs of its row; its subqueries are read."""
        if expression.name == "ColumnRef":
            return {column_id(column) for column in expression.get("column")}
        found: set[int] = set()
        for child in expression.children():
            if is_scan(child):
                self.need(child, set(columns_of(child)), [])
            else:
                found |= self.expression(child)
        return found

    def table(self, scan: Node, ids: set[int], limits: list[Bound]) -> None:
        """Note a scan of a table; that of a view is its query's."""
        name = table_name(scan)
        given = {column_id(c): column_name(c) for c in scan.get("column_list")}
        names = {given[each] for each in ids if each in given}
        own = [limit._replace(column=given.get(limit.column)) for limit in limits]
        own = [limit for limit in own if limit.column]
        if name not in self.views:
            self.reads[name].append(Read(names, own))
            return
        plan = Plan.__new__(Plan)
        plan.views, plan.grows, plan.reads = self.views, self.grows, self.reads
        plan.nodes, plan.ctes, plan.wanted, plan.limits = 0, {}, {}, {}
        view = self.views[name].statement
        outputs = {
            column.get("name")[0].decode(): column_id(column.get("column")[0])
            for column in view.get("output_column_list")
        }
        plan.need(
            view.get("query")[0],
            {outputs[each] for each in names},
            [limit._replace(column=outputs[limit.column]) for limit in own],
        )

    def need(self, scan: Node, ids: set[int], limits: list[Bound]) -> None:
        """Note what a scan reads so that these columns of it are known."""
        kind = scan.name
        if kind == "TableScan":
            self.table(scan, ids, limits)
        elif kind == "WithScan":
            entries = [
                (
                    entry.get("with_query_name")[0].decode(),
                    entry.get("with_subquery")[0],
                )
                for entry in scan.get("with_entry_list")
            ]
            self.ctes |= dict(entries)
            self.need(scan.get("query")[0], ids, limits)
            for name, query in reversed(entries):
                if name in self.wanted:
                    # It is written out where it is used, and then with what limits it.
                    once = self.limits[name] if len(self.limits[name]) == 1 else [[]]
                    self.need(query, self.wanted[name], once[0])
        elif kind == "WithRefScan":
            name = scan.get("with_query_name")[0].decode()
            theirs = columns_of(self.ctes[name])
            of = dict(zip(columns_of(scan), theirs, strict=True))
            self.wanted.setdefault(name, set()).update(
                of[each] for each in ids & of.keys()
            )
            self.limits.setdefault(name, []).append(
                [b._replace(column=of[b.column]) for b in limits if b.column in of]
            )
        elif kind == "FilterScan":
            condition = scan.get("filter_expr")[0]
            wanted = ids | self.expression(condition)
            self.need(scan.get("input_scan")[0], wanted, [*limits, *bounds(condition)])
        elif kind == "JoinScan":
            wanted, more = set(ids), list(limits)
            for condition in scan.get("join_expr"):
                wanted |= self.expression(condition)
                if not any(scan.get("join_type")):
                    more += bounds(condition)
            for side in ("left_scan", "right_scan"):
                self.need(scan.get(side)[0], wanted, more)
        elif kind == "SetOperationScan":
            own = columns_of(scan)
            is_all = not any(scan.get("op_type"))
            for item in scan.get("input_item_list"):
                theirs = [column_id(c) for c in item.get("output_column_list")]
                of = dict(zip(own, theirs, strict=True))
                wanted = {of[each] for each in ids} if is_all else set(theirs)
                here = [
                    b._replace(column=of[b.column]) for b in limits if b.column in of
                ]
                self.need(item.get("scan")[0], wanted, here)
        elif kind in ("ProjectScan", "AggregateScan"):
            field = "expr_list" if kind == "ProjectScan" else "group_by_list"
            made = {
                column_id(each.get("column")[0]): each.get("expr")[0]
                for each in scan.get(field)
            }
            wanted = set() if kind == "AggregateScan" else ids - made.keys()
            for name, expression in made.items():
                if name in ids or kind == "AggregateScan":
                    wanted |= self.expression(expression)
            for each in scan.get("aggregate_list"):
                if column_id(each.get("column")[0]) in ids:
                    wanted |= self.expression(each)
            here = []
            for limit in limits:
                from_below = made.get(limit.column)
                if from_below is None and kind == "ProjectScan":
                    here.append(limit)
                elif from_below is not None and from_below.name == "ColumnRef":
                    column = column_id(from_below.get("column")[0])
                    here.append(limit._replace(column=column))
            self.need(scan.get("input_scan")[0], wanted, here)
        else:
            # A window is computed over all rows, a limit takes of all.
            wanted, inputs = set(ids), []
            for child in scan.children():
                if is_scan(child):
                    inputs.append(child)
                elif child.name != "ScanBase":
                    wanted |= self.expression(child)
            for each in inputs:
                self.need(each, wanted, limits if kind == "OrderByScan" else [])

    # What is computed.

    def count(self, scan: Node) -> int:
        """Return how many scans of tables that grow are made, CTEs anew each time."""
        if scan.name == "TableScan":
            name = scan.get("table")[0].get("full_name")[0].decode()
            if name in self.views:
                return Plan(self.views[name].statement, self.views, self.grows).scans
            return int(self.grows(name))
        if scan.name == "WithRefScan":
            name = scan.get("with_query_name")[0].decode()
            if name not in self.counts:
                self.counts[name] = self.count(self.ctes[name])
            return self.counts[name]
        if scan.name == "WithScan":
            return self.count(scan.get("query")[0])
        return sum(self.count(each) for each in scans_below(scan))

    def length(self, expression: Node, sizes: dict[int, int]) -> int:
        """Return the nodes of an expression, columns written out."""
        if expression.name == "ColumnRef":
            found = max(sizes.get(column_id(c), 1) for c in expression.get("column"))
        else:
            found = 1
            for child in expression.children():
                if is_scan(child):
                    found += self.subquery(child, sizes)
                else:
                    found += self.length(child, sizes)
        self.nodes = max(self.nodes, found)
        return found

    def subquery(self, scan: Node, sizes: dict[int, int]) -> int:
        """Return the nodes of all that a subquery of such a row computes."""
        before = self.outer, self.computed
        self.outer, self.computed = self.outer | sizes, 0
        self.size(scan)
        found = self.computed
        self.outer, self.computed = before
        return found

    def size(self, scan: Node) -> dict[int, int]:
        """Return the nodes of each column that a scan gives, written out."""
        if scan.name == "WithRefScan":
            name = scan.get("with_query_name")[0].decode()
            if name not in self.sizes:
                found = self.size(self.ctes[name])
                self.sizes[name] = [
                    found.get(c, 1) for c in columns_of(self.ctes[name])
                ]
            return dict(zip(columns_of(scan), self.sizes[name], strict=True))
        if scan.name == "SetOperationScan":
            sizes: dict[int, int] = {}
            for item in scan.get("input_item_list"):
                found = self.size(item.get("scan")[0])
                theirs = [column_id(c) for c in item.get("output_column_list")]
                for own, other in zip(columns_of(scan), theirs, strict=True):
                    sizes[own] = max(sizes.get(own, 1), found.get(other, 1))
            return sizes
        if scan.name == "WithScan":
            return self.size(scan.get("query")[0])
        below = dict(self.outer)
        for each in scans_below(scan):
            below |= self.size(each)
        made = {}
        for field in ("expr_list", "group_by_list", "aggregate_list"):
            for each in scan.get(field) if scan.name.endswith("Scan") else []:
                if each.name == "ComputedColumn":
                    length = self.length(each.get("expr")[0], below)
                    self.computed += length
                    # A group is computed before what reads it.
                    grouped = scan.name == "AggregateScan"
                    made[column_id(each.get("column")[0])] = 1 if grouped else length
        for field in ("filter_expr", "join_expr", "array_expr"):
            for each in scan.get(field) if scan.name.endswith("Scan") else []:
                self.computed += self.length(each, below)
        return made if scan.name == "AggregateScan" else below | made


def scans_below(scan: Node) -> Iterator[Node]:
    """Yield the scans that a scan reads, also in expressions."""
    for child in scan.children():
        if is_scan(child):
            yield child
        elif child.name != "ScanBase":
            yield from scans_below(child)
