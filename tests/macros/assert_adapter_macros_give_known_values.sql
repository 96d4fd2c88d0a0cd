-- Every adapter macro on values with known answers: the same table runs on each warehouse.
{%- set day = "cast('2024-02-28' as date)" %}
{%- set instant = "cast('1970-01-02 00:00:01' as timestamp)" %}
{#- Zones west and east of UTC, and days that clocks begin an hour late or that follow a day of 25 hours. -#}
{%- set midnights = [
    ('America/New_York', '2024-01-01', '2024-01-01 05:00:00'),
    ('Asia/Tokyo', '2024-01-01', '2023-12-31 15:00:00'),
    ('Pacific/Kiritimati', '2024-01-01', '2023-12-31 10:00:00'),
    ('Asia/Kolkata', '2024-01-01', '2023-12-31 18:30:00'),
    ('America/Sao_Paulo', '2018-11-04', '2018-11-04 03:00:00'),
    ('America/Sao_Paulo', '2019-02-17', '2019-02-17 03:00:00'),
    ('Asia/Beirut', '2023-03-26', '2023-03-25 22:00:00'),
] %}
{%- set sum_of_products -%}
    {% call(one, other) sum_of(['one', 'other'], [(1, 2), (3, 4)]) %}{{ one }} * {{ other }}{% endcall %}
{%- endset %}
{%- set square_of_three -%}
    {% call(each) once('three', 'each') %}{{ each }} * {{ each }}{% endcall %}
{%- endset %}
{%- set cases = [
    ('add_days over a leap day', add_days(day, 2), "cast('2024-03-01' as date)"),
    ('add_days backwards', add_days(day, -59), "cast('2023-12-31' as date)"),
    ('add_months', add_months("cast('2024-01-01' as date)", 13), "cast('2025-02-01' as date)"),
    ('days_between', days_between("cast('2024-01-01' as date)", day), '58'),
    ('days_between backwards', days_between(day, "cast('2024-01-01' as date)"), '-58'),
    ('month_start', month_start(day), "cast('2024-02-01' as date)"),
    (
        'months_between counts calendar months',
        months_between("cast('2023-12-31' as date)", day), '2'
    ),
    (
        'local_date of an instant in a zone', adapter.dispatch('local_date', 'clv')(
            "cast('2024-01-01 00:30:00' as timestamp)", 'America/New_York'
        ), "cast('2023-12-31' as date)"
    ),
    (
        'as_instant of a time in a zone',
        as_instant("cast('2024-01-01' as timestamp)", 'TIMESTAMP', time_zone='Asia/Tokyo'),
        "cast('2024-01-01' as timestamp)"
    ),
    (
        'as_instant of a text with a time',
        as_instant("'2024-01-01 00:00:00'", time_zone='Asia/Tokyo'), "cast('2024-01-01' as timestamp)"
    ),
    (
        'as_instant of a day in UTC', as_instant("'2024-01-01'", time_zone='UTC'),
        "cast('2024-01-01' as timestamp)"
    ),
    (
        'as_instant of nonsense', "coalesce(" ~ as_instant(
            "'abc'", is_safe=true, time_zone='Asia/Tokyo'
        ) ~ ", " ~ instant ~ ")", instant
    ),
    ('epoch_micros', epoch_micros(instant), '86401000000'),
    ('from_micros', from_micros('86401000000'), instant),
    ('unnested', '(select sum(each_one) from ' ~ unnested('[1, 2]', 'each_one') ~ ')', '3'),
    ('as_money rounds half away from zero', as_money("'10.00005'"), '10.0001'),
    ('as_money of a refund', as_money("'-10.00005'"), '-10.0001'),
    ('hash_bucket', hash_bucket("'abc'", 100), '72'),
    (
        'raise_error does nothing where no row comes',
        "case when 1 = 2 then " ~ raise_error("'never'") ~ " else 1 = 1 end", 'true'
    ),
    (
        'sha256_hex', sha256_hex("'abc'"),
        "'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'"
    ),
    ('least_known leaves nulls aside', least_known(['null', '3', '2']), '2'),
    ('trimmed', trimmed("' abc '"), "'abc'"),
    ('trimmed of what is trimmed', trimmed("'a bc'"), "'a bc'"),
    ('trimmed of more bytes than characters', trimmed("' ä '"), "'ä'"),
    (
        'trimmed of tabs and line ends',
        trimmed('concat(chr(9), chr(10), chr(11), chr(12), chr(13), ' ~ "'a b'" ~ ', chr(13), chr(10))'),
        "'a b'"
    ),
    (
        'trimmed of the white space of other scripts',
        trimmed("concat(chr(133), chr(160), chr(5760), chr(8192), chr(8202), 'ä', chr(8232), "
            ~ "chr(8233), chr(8239), chr(8287), chr(12288))"),
        "'ä'"
    ),
    (
        'trimmed of what only looks like white space',
        trimmed("concat(chr(8203), 'a', chr(65279))"), "concat(chr(8203), 'a', chr(65279))"
    ),
    ('trimmed of white space alone', trimmed("concat(' ', chr(9))"), "''"),
    (
        'trimmed of null', "coalesce(" ~ trimmed("cast(null as " ~ type_text() ~ ")") ~ ", 'null')",
        "'null'"
    ),
    (
        'count_copies counts each row once, null among them',
        "(select sum(copies * copies * coalesce(number, 10)) from (" ~ count_copies(
            "(select 2 as number union all select null union all select 2"
            ~ " union all select 3 union all select null) as numbers",
            {'number': 'number'}, 'coalesce(number, 0) < 3'
        ) ~ ") as counted)", '48'
    ),
    ('array_at counts from 0', array_at('[10, 20, 30]', 1), '20'),
    ('sum_of', sum_of_products, '14'),
    ('once', '(select ' ~ square_of_three ~ ' from (select 3 as three) as threes)', '9'),
    ('safe_cast_to of nonsense', "coalesce(" ~ safe_cast_to("'abc'", 'date') ~ ", " ~ day ~ ")", day),
    (
        'safe_cast_to of a number', safe_cast_to("'12.5'", type_double()), '12.5'
    ),
    (
        'number_series has both ends',
        '(select count(*) * 100 + max(number) from ' ~ number_series(3) ~ ' as series)', '403'
    ),
    (
        'surrogate_key tells null from empty text',
        "case when " ~ surrogate_key(['cast(null as string)']) ~ " = "
        ~ surrogate_key(["''"]) ~ " then 1 else 0 end", '0'
    ),
    (
        'surrogate_key of ordinary values is that of earlier versions',
        surrogate_key(["'a'", '1', 'cast(null as string)']), dbt.hash("'a|1|~'")
    ),
] %}
{#- Different values, which must have different keys. -#}
{%- for one, other in [
    (["'a|b'", "'c'"], ["'a'", "'b|c'"]),
    (["'a|'", "'b'"], ["'a'", "'|b'"]),
    (["'~'", "'|'"], ["cast(null as string)", "'|'"]),
    (["'~'"], ["cast(null as string)"]),
    (["'~1'", "'a'"], ["'|'", "'a'"]),
    (["'~1'", "'|'"], ["'|'", "'|'"]),
    (["'a~'", "cast(null as string)", "'|'"], ["'a'", "'~'", "'|'"]),
] %}
{%- do cases.append((
    'surrogate_key without collisions ' ~ loop.index,
    "case when " ~ surrogate_key(one) ~ " = " ~ surrogate_key(other) ~ " then 1 else 0 end", '0'
)) %}
{%- endfor %}
{%- if var('clv_time_zone') == 'UTC' %}
{%- do cases.append(('local_date', local_date(instant), "cast('1970-01-02' as date)")) %}
{%- endif %}
{%- for zone, day, start in midnights %}
{%- set started = "cast('" ~ start ~ "' as timestamp)" %}
{%- for value, type in [
    ("cast('" ~ day ~ "' as date)", 'DATE'), ("cast('" ~ day ~ "' as date)", none), ("'" ~ day ~ "'", none),
] %}
{%- do cases.append((
    'as_instant of ' ~ day ~ ' in ' ~ zone ~ ' ' ~ loop.index,
    as_instant(value, type, time_zone=zone), started
)) %}
{%- endfor %}
{%- do cases.append((
    'local_date of ' ~ day ~ ' in ' ~ zone,
    adapter.dispatch('local_date', 'clv')(started, zone), "cast('" ~ day ~ "' as date)"
)) %}
{%- endfor %}
with cases as (

    {% for name, actual, expected in cases -%}
    select
        '{{ name }}' as macro_case,
        {{ actual }} = {{ expected }} as is_right
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select macro_case
from cases
where not coalesce(is_right, false)
