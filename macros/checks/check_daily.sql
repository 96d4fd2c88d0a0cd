{#
    A daily run adds to what a full run left: one that is there, not older than var
    clv_days_between_full_runs allows, not of a later date, and with the same settings. And no run that
    leaves the registry as it is (a weekly backtest), or fits nothing, can do without a version that
    predicts what it asks for.
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
        {%- if 'settings' not in adapter.get_columns_in_relation(declared) | map(attribute='name') | map('lower') -%}
            {%- do exceptions.raise_compiler_error(
                'clv: the last full run is of an earlier release, which kept no settings. ' ~ full_run
            ) -%}
        {%- endif -%}
        {%- for last in run_query('select as_of_date, settled_until, settings from ' ~ declared).rows -%}
        {%- set before, now, changed = fromjson(last[2]), fromjson(daily_settings()), [] -%}
        {%- for name in now if before.get(name) != now[name] -%}
            {%- do changed.append(
                name if name.startswith('clv_input') or name == 'clv_source_schema' else
                (name if name.startswith('clv_') else 'clv_' ~ name) ~ ' (' ~ before.get(name) | tojson
                ~ ' then, ' ~ now[name] | tojson ~ ' now)'
            ) -%}
        {%- endfor -%}
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
        {%- elif changed -%}
            {%- do exceptions.raise_compiler_error(
                'clv: a daily run needs the variables of the full run that it adds to; other values have '
                ~ changed | join(', ') ~ '. Set them as then, or run a full build with them.'
            ) -%}
        {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do check_champion() -%}
{% endmacro %}

{% macro check_champion() %}
    {%- set serving, ready = ref('int_serving'), ref('int_readiness') -%}
    {%- set versions = source('clv_state', 'registry_parameters') -%}
    {%- set makes_one = 'model.clv.int_registry__decisions' in selected_resources and not is_daily() -%}
    {%- if execute and flags.WHICH in ['build', 'run'] and not makes_one
        and 'model.clv.int_scores' in selected_resources -%}
        {%- set definitions = [] -%}
        {%- if load_relation(serving) is not none and load_relation(ready) is not none -%}
            {%- set query -%}
                select distinct
                    versions.definition,
                    readiness.is_forecast
                from {{ ready }} as readiness
                left join {{ serving }} as serving
                    on serving.status = case when readiness.is_forecast then 'champion' end
                left join {{ versions }} as versions
                    on serving.model_version = versions.model_version
                where readiness.is_production
            {%- endset -%}
            {%- for definition, is_forecast in run_query(query).rows -%}
                {%- do definitions.append(definition if is_forecast else model_definition()) -%}
            {%- endfor -%}
        {%- endif -%}
        {%- if model_definition() not in definitions -%}
            {%- do exceptions.raise_compiler_error(
                'clv: no model version serves that predicts what this run asks for'
                ~ (' (the champion predicts ' ~ definitions[0] ~ ', this run ' ~ model_definition() ~ ')'
                    if definitions and definitions[0] else '')
                ~ '. Run a full build, which makes one, or set the variables of the champion.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
