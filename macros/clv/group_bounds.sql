{#
    The factor exp(t * deviation) that a total stays below (sign 1) or above (sign -1), where t is
    the quantile of Student's distribution that leaves `outside` on both sides together
    (0.05 or 0.20): Cornish and Fisher's expansion of it, within 1 % from 3 degrees of freedom on.
#}
{% macro student_quantile(outside, degrees) -%}
    {%- set z = {'0.05': 1.959963985, '0.20': 1.281551566}[outside] -%}
    (
        {{ z }}
        + {{ (z ** 3 + z) / 4 }} / {{ degrees }}
        + {{ (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96 }} / power({{ degrees }}, 2)
        + {{ (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384 }} / power({{ degrees }}, 3)
    )
{%- endmacro %}

{#
    Bounds of a group's expected value, as columns: from the chance of single customers alone
    (lower_95_raw, upper_95_raw), and with the shared error (lower_80 ... upper_95).
#}
{% macro group_bounds(predicted, errors) -%}
    {%- set chance -%}
        {{ predicted }}.value_variance / nullif(power({{ predicted }}.expected_value, 2), 0)
    {%- endset -%}
    {%- for name, sign in {'lower': '-', 'upper': ''}.items() %}
    {{ predicted }}.expected_value * exp(
        {{ sign }}1.959963985 * sqrt({{ chance }})
    ) as {{ name }}_95_raw,
    {%- for percent, outside in {'80': '0.20', '95': '0.05'}.items() %}
    {{ predicted }}.expected_value * exp(
        {{ sign }}1 * {{ student_quantile(outside, errors ~ '.degrees_of_freedom') }}
        * sqrt(power({{ errors }}.shared_error, 2) + {{ chance }})
    ) as {{ name }}_{{ percent }},
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}
