-- grain: one row per feature of the overlay: its position, family and wording
{% for feature, (family, above, below) in overlay_features().items() -%}
select
    '{{ feature }}' as feature,
    {{ loop.index0 }} as position,
    '{{ family }}' as family,
    '{{ above }}' as above_average,
    '{{ below }}' as below_average
{{- '\n\nunion all\n\n' if not loop.last }}
{%- endfor %}
