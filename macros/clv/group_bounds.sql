{#
    The quantile 1 - `outside` / 2 (0.05 or 0.20) of Student's distribution:
    Cornish and Fisher's expansion in 1 / degrees, within 1 % from 3 degrees of freedom on.
    student_quantile('0.05', 10) -> 2.228
#}
{% macro student_quantile(outside, degrees) -%}
    {%- set z = {'0.05': 1.959963985, '0.20': 1.281551566}[outside] -%}
    (
        {{ z }}
        + {{ (z ** 3 + z) / 4 }} / {{ degrees }}
        + {{ (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96 }} / power({{ degrees }}, 2)
        + {{ (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384 }}
        / power({{ degrees }}, 3)
    )
{%- endmacro %}

{#
    Bounds of a group's expected value, as columns, from value_variance of `predicted` and
    shared_error of `errors`: lower_95_raw and upper_95_raw from the variance of single customers
    only; lower_80 ... upper_95 with the shared error, a factor. Variances add. Null without an
    expectation: greatest() passes over a null on DuckDB alone.
#}
{% macro group_bounds(predicted, errors) -%}
    {%- set expected = predicted ~ '.expected_value' -%}
    {%- set variance = predicted ~ '.value_variance' -%}
    {%- for percent, outside in {'80': '0.20', '95': '0.05'}.items() %}
    {%- set z = {'80': 1.281551566, '95': 1.959963985}[percent] %}
    {%- set reach -%}
        {{ student_quantile(outside, errors ~ '.degrees_of_freedom') }}
        * {{ errors }}.shared_error
    {%- endset %}
    case
        when {{ expected }} is not null
            then greatest(
                0, {{ expected }} - sqrt(
                    power({{ expected }} * (1 - exp(-{{ reach }})), 2)
                    + {{ z ** 2 }} * {{ variance }}
                )
            )
    end as lower_{{ percent }},
    {{ expected }} + sqrt(
        power({{ expected }} * (exp({{ reach }}) - 1), 2) + {{ z ** 2 }} * {{ variance }}
    ) as upper_{{ percent }},
    {%- endfor %}
    case
        when {{ expected }} is not null
            then greatest(0, {{ expected }} - 1.959963985 * sqrt({{ variance }}))
    end as lower_95_raw,
    {{ expected }} + 1.959963985 * sqrt({{ variance }}) as upper_95_raw,
{%- endmacro %}

{#
    Half the width of the 80 % range of a total in the logarithm: its standard deviation, scaled to the errors
    of windows that have ended, over its mean. `ended` has their number, `windows`, and `squared_error`, the mean
    of squared errors over the variance; `prior_windows` is the weight of the variance itself. A factor of 10 at
    most: one order of a thousand times the others says no more, and money has no room for more. Null where the
    variance is, or the mean is 0.
#}
{% macro learned_reach(variance, mean, ended, prior_windows) -%}
    {%- set reach -%}
    1.281551566 * sqrt(
        {{ variance }}
        * ({{ prior_windows }} + coalesce({{ ended }}.windows * {{ ended }}.squared_error, 0.0))
        / ({{ prior_windows }} + coalesce({{ ended }}.windows, 0))
    ) / nullif({{ mean }}, 0)
    {%- endset -%}
    {#- Not least(), which passes over a null on DuckDB alone. -#}
    case when {{ reach }} > 2.302585093 then 2.302585093 else {{ reach }} end
{%- endmacro %}
