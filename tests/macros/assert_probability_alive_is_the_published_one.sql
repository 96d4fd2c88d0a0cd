-- P(alive) at r 0.243, alpha 4.414, a 0.793, b 2.426 (Fader, Hardie & Lee 2005; time in weeks), as
-- given by BTYD 2.4.3 and lifetimes 0.11.3; the last history would overflow a plain power.
{%- set histories = [
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
] %}
with histories as (

    {% for frequency, recency, age, published in histories -%}
    select
        {{ frequency }} as frequency,
        {{ recency }} as recency,
        {{ age }} as age,
        {{ published }} as published
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

computed as (

    select
        *,
        {{ probability_alive(
            'frequency', 'recency', 'age', '0.243', '4.414', '0.793', '2.426'
        ) | indent(8) }} as probability_alive
    from histories

)

select *
from computed
where abs(probability_alive - published) > 0.5e-8
