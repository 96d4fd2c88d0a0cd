{#
    Where int_outlook tabulates the quantiles of scaled spend: `nodes` levels v with ln(v / (1 - v))
    running from `first` in steps of `step`. The constants of python_models/int_outlook.py.
#}
{% macro outlook_grid() %}
    {%- do return({'nodes': 61, 'first': -6.0, 'step': 0.2}) -%}
{% endmacro %}
