{#
    A daily run adds to what a full run left: one that is there, not older than var
    clv_days_between_full_runs allows, not of a later date, with the same settings, and known to the
    state: the counts of what is not read again are those of the newest accepted load. No day may lie
    between the lines that were read last and those that it reads.
#}
{% macro check_daily() %}
    {%- set declared, logs = ref('int_closed_until'), ref('int_logs') -%}
    {%- set looked_up = [
        declared, logs, ref('int_orders__closed'), ref('int_purchases__closed'), ref('int_first_touches__closed')
    ] -%}
    {%- set learned = [ref('int_corrections'), ref('int_calibration__bounds'), ref('int_calibration')] -%}
    {%- if 'model.clv.int_predictions__expected' in selected_resources -%}
        {%- set looked_up = looked_up + learned -%}
    {%- endif -%}
    {%- if execute and is_daily() and flags.WHICH in ['build', 'run'] -%}
        {%- set full_run = 'Run a full build first (var clv_run: full).' -%}
        {%- for table in looked_up if load_relation(table) is none -%}
            {%- do exceptions.raise_compiler_error(
                'clv: a daily run adds to a full one of all models, and there is none: table ' ~ table
                ~ ' does not exist. ' ~ full_run
            ) -%}
        {%- endfor -%}
        {%- set kept = adapter.get_columns_in_relation(declared) | map(attribute='name') | map('lower') | list -%}
        {%- for column in ['settings', 'lines_closed_until'] if column not in kept -%}
            {%- do exceptions.raise_compiler_error(
                'clv: the last full run is of an earlier release, which kept no ' ~ column ~ '. ' ~ full_run
            ) -%}
        {%- endfor -%}
        {%- set known = run_query(
            'select max(loads.as_of_date) from ' ~ source('clv_state', 'accepted_loads') ~ ' as loads inner join '
            ~ logs ~ ' as logs on ' ~ log_family('loads.log_id') ~ ' = ' ~ log_family('logs.log_id')
            ~ ' where logs.is_current'
        ).rows -%}
        {%- set read = run_query(
            'select as_of_date from ' ~ source('clv_state', 'run_results')
            ~ " where node = 'int_transactions__resolved' and status = 'success' and as_of_date is not null"
            ~ ' order by recorded_at desc limit 1'
        ).rows -%}
        {%- set day_before = daily_window().lines_from - modules.datetime.timedelta(1) -%}
        {%- for last in run_query('select as_of_date, closed_until, settings from ' ~ declared).rows -%}
        {#- Those that move the window by which a full run counts as too old are named first. -#}
        {%- set before, now, changed, moved = fromjson(last[2]), fromjson(daily_settings()), [], [] -%}
        {%- for name in now if before.get(name) != now[name] -%}
            {%- do moved.append(name) if name.endswith(('refund_days', 'lookback_days')) -%}
            {%- do changed.append(
                name if name.startswith('clv_input') or name == 'clv_source_schema' else
                (name if name.startswith('clv_') else 'clv_' ~ name) ~ ' (' ~ before.get(name) | tojson
                ~ ' then, ' ~ now[name] | tojson ~ ' now)'
            ) -%}
        {%- endfor -%}
        {%- set others = 'clv: a daily run needs the variables of the full run that it adds to; other values have '
            ~ changed | join(', ') ~ '. Set them as then, or run a full build with them.' -%}
        {%- if last[0] | string > var('clv_as_of_date') | string -%}
            {%- do exceptions.raise_compiler_error(
                'clv: a daily run as of ' ~ var('clv_as_of_date') ~ ' cannot follow the full run as of '
                ~ last[0] ~ '. ' ~ full_run
            ) -%}
        {%- elif moved -%}
            {%- do exceptions.raise_compiler_error(others) -%}
        {%- elif last[1] | string < daily_window().closed_from | string -%}
            {%- do exceptions.raise_compiler_error(
                'clv: the last full run, as of ' ~ last[0] ~ ', is too old for a daily run as of '
                ~ var('clv_as_of_date') ~ ': var clv_days_between_full_runs is '
                ~ var('clv_days_between_full_runs') ~ '. ' ~ full_run
            ) -%}
        {%- elif known[0][0] is none or known[0][0] | string < last[0] | string -%}
            {%- do exceptions.raise_compiler_error(
                'clv: clv_state knows no load as of ' ~ last[0] ~ ', the day of the last full run'
                ~ (', but one as of ' ~ known[0][0] if known[0][0] else '')
                ~ ': it was restored from an older copy. ' ~ full_run
            ) -%}
        {%- elif read and read[0][0] | string < day_before | string -%}
            {%- do exceptions.raise_compiler_error(
                'clv: lines were read last as of ' ~ read[0][0] ~ ', and a daily run as of '
                ~ var('clv_as_of_date') ~ ' reads those from ' ~ daily_window().lines_from
                ~ ' on (var clv_lookback_days): those between would be missing. Run a day between, or a '
                ~ 'full build (var clv_run: full).'
            ) -%}
        {%- elif changed -%}
            {%- do exceptions.raise_compiler_error(others) -%}
        {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
