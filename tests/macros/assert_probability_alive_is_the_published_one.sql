-- P(alive) as given by BTYD 2.4.3, BTYDplus 1.2.0 and lifetimes 0.11.3 (time in weeks); the last
-- history of each model would overflow a plain power.
{%- set published = {
    ('bgnbd', '0.243, 4.414, 0.793, 2.426, null, null'): [
        (2, 30.43, 38.86, 0.72657857),
        (10, 35, 39, 0.84260319),
        (15, 30, 39, 0.37509189),
        (26, 30.86, 31, 0.96891565),
        (0, 0, 38.86, 1),
        (1, 1.71, 38.86, 0.21210099),
        (7, 29.43, 38.86, 0.64175635),
        (29, 37.71, 38, 0.96912952),
        (20, 10, 39, 0.00000001),
        (3, 20, 39, 0.46323539),
        (5, 35, 39, 0.82998081),
        (5000, 1, 3000, 0),
    ],
    ('mbgnbd', '0.525, 6.183, 0.891, 1.614, null, null'): [
        (2, 30.43, 38.86, 0.70620227),
        (0, 0, 38.86, 0.38973508),
        (7, 29.43, 38.86, 0.62272381),
        (5000, 1, 3000, 0),
    ],
    ('paretonbd', '0.553, 10.578, null, null, 0.606, 11.669'): [
        (2, 30.43, 38.86, 0.86916756),
        (26, 30.86, 31, 0.99791873),
        (0, 0, 38.86, 0.29528660),
        (1, 1.71, 38.86, 0.16800233),
        (7, 29.43, 38.86, 0.74950141),
        (20, 10, 39, 0.00000031),
        (5000, 1, 3000, 0),
    ],
    ('paretonbd', '0.5629966, 12.5590370, null, null, 0.4081095, 10.5148048'): [
        (0, 0, 39, 0.41394091),
        (23, 39, 39, 1),
        (5, 20, 39, 0.48535420),
        (8, 10, 39, 0.01179718),
    ],
} %}
with histories as (

    {% for (purchase_model, parameters), rows in published.items() -%}
    {%- set r, alpha, a, b, s, beta = parameters.split(', ') -%}
    {%- set is_last_model = loop.last -%}
    {%- for frequency, recency, age, probability in rows -%}
    select
        '{{ purchase_model }}' as purchase_model,
        1 as k,
        {{ r }} as r,
        {{ alpha }} as alpha,
        cast({{ a }} as {{ type_double() }}) as a,
        cast({{ b }} as {{ type_double() }}) as b,
        cast({{ s }} as {{ type_double() }}) as s,
        cast({{ beta }} as {{ type_double() }}) as beta,
        {{ frequency }} as frequency,
        {{ recency }} as recency_time,
        {{ age }} as age_time,
        {{ probability }} as published
    {{- '\n\n    union all\n\n    ' if not (loop.last and is_last_model) }}
    {%- endfor %}
    {%- endfor %}

),

prepared as (

    select
        *,
        {{ leaving_from() }} as leaving_from,
        {{ leaving_span() | indent(8) }} as leaving_span,
        {{ stage_chances() | indent(8) }}
    from histories

),

computed as (

    select
        *,
        {{ probability_alive(
            models=purchase_models() | reject('equalto', 'bgbb') | list
        ) | indent(8) }}
            as probability_alive
    from prepared

)

select *
from computed
where not coalesce(abs(probability_alive - published) <= 0.5e-8, false)
