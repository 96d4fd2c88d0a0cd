{#
    P(alive) at the cutoff under BG/NBD, for x = frequency, t_x = recency, T = age in one time unit:
        1 / (1 + a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ^ (r + x)),  and 1 when x = 0
    (Fader, Hardie & Lee 2005, "Counting your customers the easy way"; 2008, technical note 021).
    Computed through logarithms: the power overflows for frequent customers long gone.
#}
{% macro probability_alive(frequency, recency, age, r, alpha, a, b) -%}
    case
        when {{ frequency }} = 0 then 1.0
        else 1.0 / (
            1.0 + exp(
                least(
                    700.0,
                    ln({{ a }} / ({{ b }} + {{ frequency }} - 1))
                    + ({{ r }} + {{ frequency }})
                    * ln(({{ alpha }} + {{ age }}) / ({{ alpha }} + {{ recency }}))
                )
            )
        )
    end
{%- endmacro %}
