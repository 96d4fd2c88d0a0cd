{#
    Logs in one line if this run does not continue the last one: another log, or an as-of date before the
    log's latest. A pre-hook of int_as_of, while the last accepted load is still the previous one.
#}
{% macro say_log() %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    {%- set accepted, chosen = source('clv_state', 'accepted_loads'), ref('int_logs__chosen') -%}
    {%- if execute -%}
        {%- set before = run_query(
            'select log_id, max(as_of_date), max(recorded_at) as recorded_at from ' ~ accepted
            ~ " where log_id not like '%@%' group by 1 order by 3 desc"
        ).rows -%}
        {%- for current in run_query(
            'select log_id, seen_until, continues_until from ' ~ chosen ~ ' where is_current'
        ).rows if before | length > 0 -%}
            {%- set same = [] -%}
            {%- for row in before if row[0][:8] == current[0][:8] -%}
                {%- do same.append(row) -%}
            {%- endfor -%}
            {%- set last = before[0] -%}
            {%- if not same -%}
                {%- do log('clv: these transactions are another log than those accepted as of '
                    ~ last[1] ~ '. Log ' ~ current[0] ~ ' starts with models, segments, equity and '
                    ~ 'export state of its own; the state of log ' ~ last[0] ~ ' is kept and not read.',
                    info=true) -%}
            {%- elif same[0][0] != last[0] -%}
                {%- do log('clv: these transactions continue log ' ~ same[0][0] ~ ', accepted as of '
                    ~ same[0][1] ~ ', with its state; that of log ' ~ last[0]
                    ~ ' is kept and not read.', info=true) -%}
            {%- endif -%}
            {%- if same and ('@' in current[0] or current[2] is not none) -%}
                {%- set after = rows_set_aside(same[0][0], chosen) -%}
                {%- do log('clv: the as-of date ' ~ current[1] ~ ' lies before ' ~ same[0][1]
                    ~ ' of the last accepted load: ' ~ after.events ~ ' registry events, '
                    ~ after.segments ~ ' rows of segments and ' ~ after.days
                    ~ ' days of equity from then on are set aside, '
                    ~ ('unchanged, for runs as of that date or later.' if '@' in current[0]
                       else 'for good: the log goes on from here.'),
                    info=true) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# The amount of state of a log after the day up to which this run reads it. #}
{% macro rows_set_aside(log_id, chosen) %}
    {%- set found = {'segments': 0} -%}
    {%- set memory = adapter.get_relation(
        target.database, target.schema ~ '_state', 'int_segments__remembered'
    ) -%}
    {%- set counted = {
        'events': ('count(*)', source('clv_state', 'registry_events'), 'decided_on'),
        'days': ('count(distinct as_of_date)', source('clv_state', 'equity_history'), 'as_of_date'),
    } -%}
    {%- if memory is not none -%}
        {%- do counted.update({'segments': ('count(*)', memory, 'refreshed_on')}) -%}
    {%- endif -%}
    {%- for what, (expression, relation, date) in counted.items() -%}
        {%- do found.update({what: run_query(
            'select ' ~ expression ~ ' from ' ~ relation ~ ' as state inner join ' ~ chosen
            ~ " as seen on state.log_id = seen.log_id where state.log_id = '" ~ log_id
            ~ "' and state." ~ date ~ ' > seen.seen_until'
        ).rows[0][0]}) -%}
    {%- endfor -%}
    {%- do return(found) -%}
{% endmacro %}
