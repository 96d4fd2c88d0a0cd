"""Mappings of shop systems: what staging sees of tiny tables of each, on both engines.

The views are made by `dbt run-operation map_source` and read through the project's own
staging on DuckDB. The same SQL, as BigQuery gets it, is run by Google's reference
implementation on the same rows.
"""

import datetime
import hashlib
import json
import re
import sys

import duckdb
import pytest
import yaml
from conftest import ROOT
from test_builds import Build

sys.path.insert(0, str(ROOT / "scripts"))
from googlesql import GoogleSql

PAGE = ROOT / "models" / "docs" / "mappings.md"
BIGQUERY = {"varchar": "string", "bigint": "int64", "double": "float64"}
BIGQUERY |= {"boolean": "bool", "timestamp": "timestamp"}


def guest(email):
    return "guest-" + hashlib.sha256(email.encode()).hexdigest()


def duck_type(kind):
    if isinstance(kind, list):
        return f"{duck_type(kind[0])}[]"
    if isinstance(kind, dict):
        fields = ", ".join(f'"{name}" {duck_type(kind[name])}' for name in kind)
        return f"struct({fields})"
    return kind


def google_type(kind):
    if isinstance(kind, list):
        return f"array<{google_type(kind[0])}>"
    if isinstance(kind, dict):
        fields = ", ".join(f"{name} {google_type(kind[name])}" for name in kind)
        return f"struct<{fields}>"
    return BIGQUERY[kind]


def literal(value, kind, type_of):
    """A value of that type as SQL; of a struct, fields that are not given are null."""
    if value is None:
        return f"cast(null as {type_of(kind)})"
    if isinstance(kind, list):
        each = ", ".join(literal(one, kind[0], type_of) for one in value)
        if type_of is duck_type:
            return f"cast([{each}] as {duck_type(kind)})"
        return f"{google_type(kind)}[{each}]"
    if isinstance(kind, dict):
        each = [literal(value.get(name), kind[name], type_of) for name in kind]
        if type_of is duck_type:
            pairs = zip(kind, each, strict=True)
            return "{" + ", ".join(f"'{name}': {one}" for name, one in pairs) + "}"
        return f"{google_type(kind)}({', '.join(each)})"
    if kind == "boolean":
        return str(value).lower()
    quoted = f"'{value}'" if isinstance(value, str) else repr(value)
    return f"cast({quoted} as {type_of(kind)})"


def rows_of(table, type_of):
    """A table as a query of literals."""
    columns, rows = table
    return "\nunion all\n".join(
        "select "
        + ", ".join(
            f'{literal(row.get(name), kind, type_of)} as "{name}"'.replace(
                '"', '"' if type_of is duck_type else "`"
            )
            for name, kind in columns.items()
        )
        for row in rows
    )


# -- Shopify, as Fivetran loads it: order 1 of a customer, two lines of one article, a
# discount, a refund of one of them, and of shipping; 2 of a guest with the customer's
# e-mail, in summer; 3 of the till, of nobody; 4 a test, 5 cancelled, 6 voided, 7
# deleted; 8 a gift card, and a refund of money beyond its lines.

TEXT, WHOLE, FLOAT, FLAG, TIME = "varchar", "bigint", "double", "boolean", "timestamp"
ORDER = {
    **{"id": WHOLE, "customer_id": WHOLE, "email": TEXT, "created_at": TIME},
    **{"processed_at": TIME, "cancelled_at": TIME, "currency": TEXT, "test": FLAG},
    **{"financial_status": TEXT, "source_name": TEXT, "_fivetran_deleted": FLAG},
    "shipping_address_country_code": TEXT,
}
BOUGHT = {
    **{"processed_at": "2024-01-31 23:30:00", "created_at": "2024-02-09 00:00:00"},
    **{"currency": "EUR", "financial_status": "paid", "source_name": "web"},
    **{"test": False, "_fivetran_deleted": False},
    **{"customer_id": 11, "shipping_address_country_code": "DE"},
}
SHOPIFY = {
    "order": (
        ORDER,
        [
            BOUGHT | {"id": 1, "email": "ann@example.com"},
            BOUGHT
            | {"id": 2, "customer_id": None, "email": " Ann@Example.com "}
            | {"processed_at": "2024-06-30 22:30:00"},
            BOUGHT | {"id": 3, "customer_id": None, "source_name": "pos"},
            BOUGHT | {"id": 4, "test": True},
            BOUGHT | {"id": 5, "cancelled_at": "2024-02-01 00:00:00"},
            BOUGHT | {"id": 6, "financial_status": "voided"},
            BOUGHT | {"id": 7, "_fivetran_deleted": True},
            BOUGHT | {"id": 8, "processed_at": "2024-03-01 12:00:00"},
        ],
    ),
    "order_line": (
        {
            **{"id": WHOLE, "order_id": WHOLE, "sku": TEXT, "price": FLOAT},
            **{"quantity": WHOLE, "gift_card": FLAG},
        },
        [
            {"id": 101, "order_id": 1, "sku": "mug", "price": 10.0, "quantity": 2},
            {"id": 102, "order_id": 1, "sku": "mug", "price": 10.0, "quantity": 2},
            {"id": 103, "order_id": 1, "sku": "tea", "price": 5.5, "quantity": 1},
            {"id": 104, "order_id": 2, "sku": "tea", "price": 5.5, "quantity": 1},
            {"id": 105, "order_id": 3, "sku": "tea", "price": 5.5, "quantity": 1},
            *(
                {"id": 100 + n, "order_id": n, "sku": "mug", "price": 9, "quantity": 1}
                for n in (4, 5, 6, 7)
            ),
            {"id": 110, "order_id": 8, "sku": "mug", "price": 30.0, "quantity": 1},
            {"id": 111, "order_id": 8, "price": 50, "quantity": 1, "gift_card": True},
        ],
    ),
    "discount_allocation": (
        {"order_line_id": WHOLE, "amount": FLOAT},
        [
            {"order_line_id": 101, "amount": 1.5},
            {"order_line_id": 101, "amount": 0.5},
        ],
    ),
    "refund": (
        {"id": WHOLE, "order_id": WHOLE, "created_at": TIME, "processed_at": TIME},
        [
            {"id": 201, "order_id": 1, "created_at": "2024-02-05 10:00:00"},
            {"id": 202, "order_id": 8, "processed_at": "2024-03-02 10:00:00"},
            {"id": 205, "order_id": 5, "created_at": "2024-02-01 00:00:00"},
            # Of shipping only.
            {"id": 203, "order_id": 2, "created_at": "2024-07-01 00:00:00"},
        ],
    ),
    "order_line_refund": (
        {"refund_id": WHOLE, "order_line_id": WHOLE, "subtotal": FLOAT},
        [
            {"refund_id": 201, "order_line_id": 102, "subtotal": 20.0},
            {"refund_id": 202, "order_line_id": 111, "subtotal": 50.0},
            {"refund_id": 205, "order_line_id": 105, "subtotal": 9.0},
        ],
    ),
    "order_adjustment": (
        {"refund_id": WHOLE, "amount": FLOAT, "kind": TEXT},
        [
            # Four of the twenty were kept.
            {"refund_id": 201, "amount": 4.0, "kind": "refund_discrepancy"},
            {"refund_id": 201, "amount": -3.0, "kind": "shipping_refund"},
            {"refund_id": 202, "amount": -7.5, "kind": "refund_discrepancy"},
            {"refund_id": 203, "amount": -3.0, "kind": "shipping_refund"},
        ],
    ),
    "customer": (
        {"id": WHOLE, "email": TEXT, "created_at": TIME},
        [
            {"id": 11, "email": "ann@example.com", "created_at": "2023-12-01 08:00:00"},
            {"id": 12, "email": None, "created_at": "2023-12-02 08:00:00"},
        ],
    ),
}
ANN = guest("ann@example.com")
SHOPIFY_SEEN = [
    ("11", "1", "mug", 38.0, False, "EUR", "2024-01-31 23:30:00"),
    ("11", "1", "tea", 5.5, False, "EUR", "2024-01-31 23:30:00"),
    ("11", "1", None, -16.0, True, "EUR", "2024-02-05 10:00:00"),
    (ANN, "2", "tea", 5.5, False, "EUR", "2024-06-30 22:30:00"),
    (None, "3", "tea", 5.5, False, "EUR", "2024-01-31 23:30:00"),
    ("11", "8", "mug", 30.0, False, "EUR", "2024-03-01 12:00:00"),
    ("11", "8", None, -7.5, True, "EUR", "2024-03-02 10:00:00"),
]
# The same with the columns of Shopify's GraphQL API: no refund of shipping is there.
RENAMED = {
    "order": {
        "currency": "currency_code",
        "financial_status": "display_financial_status",
    },
    "order_line": {
        "price": "original_unit_price_set_shop_amount",
        "gift_card": "is_gift_card",
    },
    "discount_allocation": {"amount": "allocated_amount_set_shop_amount"},
    "order_line_refund": {"subtotal": "subtotal_set_shop_amount"},
    "order_adjustment": {"amount": "amount_set_shop_amount"},
}


def renamed(table, names):
    columns, rows = table
    return (
        {names.get(name, name): kind for name, kind in columns.items()},
        [{names.get(name, name): row[name] for name in row} for row in rows],
    )


GRAPHQL = {
    name: renamed(table, RENAMED.get(name, {})) for name, table in SHOPIFY.items()
}
GRAPHQL["refund"][0].pop("processed_at")
GRAPHQL["refund"][1][1]["created_at"] = "2024-03-02 10:00:00"
GRAPHQL["order_adjustment"][0].pop("kind")
del GRAPHQL["order_adjustment"][1][3], GRAPHQL["order_adjustment"][1][1]

# -- GA4: T1 of a user on a device, sent twice, with items; T2 of the device alone, its
# items do not add up; a purchase without an id; refunds: of T1 in part from another
# device, of T2 in whole.

PARAM = {"key": TEXT, "value": {"string_value": TEXT, "int_value": WHOLE}}
ITEM = {
    **{"item_id": TEXT, "item_category": TEXT, "price": FLOAT, "quantity": WHOLE},
    **{"item_revenue": FLOAT, "item_refund": FLOAT},
}
EVENT = {
    **{"event_name": TEXT, "event_timestamp": WHOLE, "user_id": TEXT},
    **{"user_pseudo_id": TEXT, "platform": TEXT, "event_params": [PARAM]},
    "ecommerce": {
        "transaction_id": TEXT,
        "purchase_revenue": FLOAT,
        "refund_value": FLOAT,
    },
    **{"geo": {"country": TEXT}, "items": [ITEM], "_table_suffix": TEXT},
}


def micros(text):
    instant = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    return int(instant.timestamp()) * 1_000_000


def event(kind, at, transaction=None, revenue=None, refund=None, items=(), **others):
    return {
        **{"event_name": kind, "event_timestamp": micros(at), "platform": "WEB"},
        "event_params": [
            {"key": "page_title", "value": {"string_value": "Thanks"}},
            {"key": "currency", "value": {"string_value": "EUR"}},
        ],
        "ecommerce": {
            **{"transaction_id": transaction, "purchase_revenue": revenue},
            "refund_value": refund,
        },
        **{"geo": {"country": "Germany"}, "items": list(items)},
        **{"_table_suffix": "20240131", "user_pseudo_id": "d1"},
        **others,
    }


MUG = {"item_id": "mug", "item_category": "kitchen", "item_revenue": 20.0}
TEA = {"item_id": "tea", "price": 2.75, "quantity": 2}
BOTH, ELSEWHERE = [MUG, TEA], {"user_pseudo_id": "d9"}
GA4 = {
    "events": (
        EVENT,
        [
            event("page_view", "2024-01-31 10:00:00", user_id="u1"),
            event(
                "purchase", "2024-01-31 23:30:00", "T1", 25.5, None, BOTH, user_id="u1"
            ),
            event(
                "purchase", "2024-01-31 23:40:00", "T1", 25.5, None, BOTH, user_id="u1"
            ),
            event("purchase", "2024-02-01 10:00:00", "T2", 18.0, None, [MUG]),
            event("purchase", "2024-02-02 10:00:00", "(not set)", None, None, [TEA]),
            event("purchase", "2024-02-03 10:00:00", "T4", 1.0, user_pseudo_id=None),
            event("refund", "2024-02-05 10:00:00", "T1", None, 5.5, **ELSEWHERE),
            event("refund", "2024-02-05 10:00:00", "T1", None, 5.5, **ELSEWHERE),
            event("refund", "2024-02-06 10:00:00", "T1", None, 1.0, **ELSEWHERE),
            event("refund", "2024-02-07 10:00:00", "T2"),
            # The day in progress, which is exported again when it is over.
            event("purchase", "2024-02-08 10:00:00", "T8", 9.0)
            | {"_table_suffix": "intraday_20240208"},
        ],
    ),
}
WITHOUT_ID = f"ga4-d1-{micros('2024-02-02 10:00:00')}"
GA4_SEEN = [
    ("u1", "T1", "mug", 20.0, False, "EUR", "2024-01-31 23:30:00"),
    ("u1", "T1", "tea", 5.5, False, "EUR", "2024-01-31 23:30:00"),
    ("d1", "T2", None, 18.0, False, "EUR", "2024-02-01 10:00:00"),
    ("d1", WITHOUT_ID, "tea", 5.5, False, "EUR", "2024-02-02 10:00:00"),
    (None, "T4", None, 1.0, False, "EUR", "2024-02-03 10:00:00"),
    ("u1", "T1", None, -5.5, True, "EUR", "2024-02-05 10:00:00"),
    ("u1", "T1", None, -1.0, True, "EUR", "2024-02-06 10:00:00"),
    ("d1", "T2", None, -18.0, True, "EUR", "2024-02-07 10:00:00"),
]

# -- WooCommerce: order 1 of two products, of which one is refunded; 2 with a fee; 3
# pending, 4 cancelled with its refund; 5 refunded in whole, without lines; 6 a part of
# order 2 of a marketplace.

STATS = {
    **{"order_id": WHOLE, "parent_id": WHOLE, "date_created_gmt": TIME},
    **{"net_total": FLOAT, "status": TEXT, "customer_id": WHOLE},
}
SOLD = {
    **{"parent_id": 0, "status": "wc-completed", "customer_id": 7},
    "date_created_gmt": "2024-01-31 23:30:00",
}
BACK = {"date_created_gmt": "2024-02-05 10:00:00"}


def product(order, article, variation, revenue):
    return {
        **{"order_id": order, "product_id": article, "variation_id": variation},
        "product_net_revenue": revenue,
    }


WOOCOMMERCE = {
    "wp_wc_order_stats": (
        STATS,
        [
            SOLD | {"order_id": 1, "net_total": 25.5},
            SOLD | BACK | {"order_id": 101, "parent_id": 1, "net_total": -5.5},
            SOLD | {"order_id": 2, "net_total": 12.0, "status": "wc-processing"},
            SOLD | {"order_id": 6, "parent_id": 2, "net_total": 12.0},
            SOLD | {"order_id": 3, "net_total": 12.0, "status": "wc-pending"},
            SOLD | {"order_id": 4, "net_total": 12.0, "status": "wc-cancelled"},
            SOLD | BACK | {"order_id": 104, "parent_id": 4, "net_total": -12.0},
            SOLD
            | {"order_id": 5, "net_total": 30, "customer_id": 8}
            | {"status": "wc-refunded"},
            # What a refund was stored with is not its parent's status of today.
            SOLD
            | BACK
            | {"order_id": 105, "parent_id": 5, "net_total": -30.0, "customer_id": 0},
        ],
    ),
    "wp_wc_order_product_lookup": (
        {
            **{"order_id": WHOLE, "product_id": WHOLE, "variation_id": WHOLE},
            "product_net_revenue": FLOAT,
        },
        [
            product(1, 50, 51, 20.0),
            product(1, 60, 0, 5.5),
            product(101, 60, 0, -5.5),
            product(2, 50, 0, 10.0),
        ],
    ),
    "wp_wc_customer_lookup": (
        {"customer_id": WHOLE, "date_registered": TIME, "country": TEXT},
        [
            {"customer_id": 7, "date_registered": "2023-12-01 08:00:00"},
            # A guest, known by e-mail.
            {"customer_id": 8, "country": "DE"},
        ],
    ),
}
WOOCOMMERCE_SEEN = [
    ("7", "1", "51", 20.0, False, None, "2024-01-31 23:30:00"),
    ("7", "1", "60", 5.5, False, None, "2024-01-31 23:30:00"),
    ("7", "1", None, -5.5, True, None, "2024-02-05 10:00:00"),
    ("7", "2", None, 12.0, False, None, "2024-01-31 23:30:00"),
    ("8", "5", None, 30.0, False, None, "2024-01-31 23:30:00"),
    ("8", "5", None, -30.0, True, None, "2024-02-05 10:00:00"),
]

SHOPS = {
    "shopify": (SHOPIFY, SHOPIFY_SEEN),
    "shopify_graphql": (GRAPHQL, SHOPIFY_SEEN),
    "ga4": (GA4, GA4_SEEN),
    "woocommerce": (WOOCOMMERCE, WOOCOMMERCE_SEEN),
}


def seen(rows):
    """Rows in an order of their own."""
    return sorted(rows, key=lambda row: tuple(str(each) for each in row))


def on_duckdb(table):
    """The table there: one, of whole days only."""
    columns, rows = table
    return (
        {name: kind for name, kind in columns.items() if name != "_table_suffix"},
        [row for row in rows if len(row.get("_table_suffix", "20240131")) == 8],
    )


def lay(build, schema, tables):
    with duckdb.connect() as connection:
        connection.execute(f"attach '{build.database}' as warehouse; use warehouse")
        connection.execute(f"create schema {schema}")
        for name, table in tables.items():
            query = rows_of(on_duckdb(table), duck_type)
            connection.execute(f'create table {schema}."{name}" as {query}')


def map_source(build, *options, **arguments):
    return build.call(
        *("dbt", *options, "run-operation", "map_source"),
        *("--args", json.dumps(arguments)),
        knows=True,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    build = Build(tmp_path_factory.mktemp("shops"))
    build.declare_tests(False)
    return build


@pytest.fixture(scope="module")
def shops(project):
    """One build of three shops, their ids told apart: builds cost more than shops.

    Up to purchase days, no less: identity, refunds and the time zone meet there.
    """
    names = ("shopify", "ga4", "woocommerce")
    united = {}
    for shop in names:
        lay(project, shop, SHOPS[shop][0])
        schema = f"mapped_{shop}"
        said = map_source(project, source=shop, schema=shop, to=schema)
        assert f"set clv_source_schema: {schema} in dbt_project.yml" in said
        for view in set(re.findall(rf'"{schema}"."(\w+)" maps {shop}', said)):
            ids = ("user_id", "other_id", "order_id")
            found = project.read(f"describe {schema}.{view}")["column_name"]
            told = ", ".join(f"'{shop}-' || {i} as {i}" for i in ids if i in set(found))
            united.setdefault(view, []).append(
                f"select * replace ({told}) from {schema}.{view}"
            )
    with duckdb.connect() as connection:
        connection.execute(f"attach '{project.database}' as warehouse; use warehouse")
        connection.execute("create schema united")
        for view, queries in united.items():
            query = " union all by name ".join(queries)
            connection.execute(f"create view united.{view} as {query}")
    project.build(
        *("-s", "+int_purchase_days", "stg_customers"),
        clv_source_schema="united",
        clv_time_zone="Europe/Berlin",
        clv_value="revenue",
        clv_currency="EUR",
    )
    return project


@pytest.mark.parametrize("shop", ["shopify", "ga4", "woocommerce"])
def test_staging_sees_what_was_sold_and_refunded(shops, shop):
    found = shops.read(
        f"select regexp_replace(user_id, '^{shop}-', ''), "
        f"regexp_replace(order_id, '^{shop}-', ''), sku, "
        "cast(amount as double), is_refund, currency, cast(transacted_at as varchar) "
        "from clv_staging.stg_transactions "
        f"where order_id like '{shop}-%'"
    )
    rows = found.astype(object).where(found.notna(), None).itertuples(index=False)
    assert seen(tuple(row) for row in rows) == seen(SHOPS[shop][1])


def test_purchase_days_are_of_who_bought_in_the_zone_less_refunds(shops):
    found = shops.read(
        "select customer_id, cast(purchase_date as varchar) as day, "
        "cast(revenue_amount as double) as revenue "
        "from clv_intermediate.int_purchase_days "
        "where known_until is null and is_purchase order by 1, 2"
    )
    assert found.values.tolist() == [
        # What the device bought alone is the user's who was seen on it.
        ["ga4-u1", "2024-02-01", 25.5 - 5.5 - 1.0],
        ["ga4-u1", "2024-02-02", 5.5],
        # The guest of June is the customer with the address.
        ["shopify-11", "2024-02-01", 38.0 + 5.5 - 16.0],
        ["shopify-11", "2024-03-01", 30.0 - 7.5],
        ["shopify-11", "2024-07-01", 5.5],
        ["woocommerce-7", "2024-02-01", 25.5 - 5.5 + 12.0],
    ]


def test_a_table_is_never_replaced_by_a_view(shops):
    lay(shops, "taken", {"transactions": SHOPIFY["refund"]})
    arguments = {"source": "shopify", "schema": "shopify", "to": "taken"}
    said = shops.call(
        *("dbt", "run-operation", "map_source", "--args", json.dumps(arguments)),
        may_fail=True,
    )
    assert shops.exit_code
    assert "is there and is no view: name another schema with `to`" in said


@pytest.mark.parametrize("shop", SHOPS)
def test_bigquery_sees_the_same(project, shop):
    tables, expected = SHOPS[shop]
    said = project.call(
        *("dbt", "--quiet", "run-operation", "map_source"),
        *("--target", "bigquery_offline", "--args"),
        json.dumps({"source": shop, "schema": shop, "show": True}),
    )
    shown = dict(re.findall(r"^-- (\w+s)\n(.*?);$", said, re.M | re.S))
    assert "transactions" in shown
    google = GoogleSql()
    for name, sql in shown.items():
        for stored, table in tables.items():
            relation = f"`example-project`.`{shop}`.`{stored}{'_*' * (shop == 'ga4')}`"
            sql = sql.replace(relation, f"({rows_of(table, google_type)})")
        assert "example-project" not in sql
        columns, rows = google.evaluate(sql)
        assert rows
        if name == "transactions":
            assert dict(columns)["amount"] == "NUMERIC"
            assert seen(
                (
                    *(row["user_id"], row["order_id"], row["sku"]),
                    *(float(row["amount"]), row["is_refund"], row.get("currency")),
                    row["ts"].strftime("%Y-%m-%d %H:%M:%S"),
                )
                for row in rows
            ) == seen(expected)


def test_the_activities_of_a_loyalty_programme_are_read_by_the_variables_of_the_page(
    project,
):
    (block,) = re.findall(r"```yaml\n(vars:.*?)```", PAGE.read_text(), re.S)
    variables = yaml.safe_load(block)["vars"]
    flown = {
        **{"member_id": "M1", "status": "Processed", "transaction_amount": 250.0},
        **{"activity_date": "2024-01-31 23:30:00", "currency_iso_code": "EUR"},
        "external_transaction_number": "PNR1",
    }
    columns = dict.fromkeys(flown, TEXT)
    columns |= {"activity_date": TIME, "transaction_amount": FLOAT}
    flights = [
        flown,
        flown | {"external_transaction_number": "PNR2", "transaction_amount": -250.0},
        flown | {"status": "Cancelled", "external_transaction_number": "PNR3"},
    ]
    table = variables["clv_input_tables"]["transactions"]
    lay(project, variables["clv_source_schema"], {table: (columns, flights)})
    project.call(
        *("dbt", "run", "-s", "stg_transactions", "--vars", json.dumps(variables))
    )
    found = project.read(
        "select user_id, order_id, cast(amount as double) as amount, currency "
        "from clv_staging.stg_transactions order by order_id"
    )
    assert found.astype(object).where(found.notna(), None).values.tolist() == [
        ["M1", "PNR1", 250.0, "EUR"],
        ["M1", "PNR2", -250.0, "EUR"],
        # Counted nowhere: a line without a user.
        [None, "PNR3", 250.0, "EUR"],
    ]
