{#
    P(at least one purchase) of the corrected forecast: the model's log-probability of no purchase times the ratio
    of corrected to modelled purchases. Where few are expected it is the first order of that, for 1 - exp() has
    few digits left of so small a number.
#}
{% macro corrected_chance(expected, base_purchases, base_chance) -%}
    case
        when {{ expected }} = {{ base_purchases }} then {{ base_chance }}
        when {{ expected }} < 1e-6
            then coalesce(
                {{ expected }} * {{ base_chance }} / nullif({{ base_purchases }}, 0), {{ expected }}
            )
        when {{ base_purchases }} < 1e-9 then 1 - exp(-{{ expected }})
        else
            1 - power(
                greatest(1 - {{ base_chance }}, 1e-300), {{ expected }} / {{ base_purchases }}
            )
    end
{%- endmacro %}
