{#
    A daily run adds to what a full run left: one that is there, not older than var
    clv_days_between_full_runs allows, and not of a later date.
#}
{% macro check_daily() %}
    {%- set declared = ref('int_settled_until') -%}
    {%- if execute and is_daily() and flags.WHICH in ['build', 'run'] -%}
        {%- set full_run = 'Run a full build first (var clv_run: full).' -%}
        {%- if load_relation(declared) is none -%}
            {%- do exceptions.raise_compiler_error(
                'clv: a daily run adds to a full one, and there is none: table ' ~ declared
                ~ ' does not exist. ' ~ full_run
            ) -%}
        {%- endif -%}
        {%- for last in run_query('select as_of_date, settled_until from ' ~ declared).rows -%}
        {%- if last[0] | string > var('clv_as_of_date') | string -%}
            {%- do exceptions.raise_compiler_error(
                'clv: a daily run as of ' ~ var('clv_as_of_date') ~ ' cannot follow the full run as of '
                ~ last[0] ~ '. ' ~ full_run
            ) -%}
        {%- elif last[1] | string < daily_window().settled_from | string -%}
            {%- do exceptions.raise_compiler_error(
                'clv: the last full run, as of ' ~ last[0] ~ ', is too old for a daily run as of '
                ~ var('clv_as_of_date') ~ ': var clv_days_between_full_runs is '
                ~ var('clv_days_between_full_runs') ~ '. ' ~ full_run
            ) -%}
        {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
