{# Appends the histogram of the scores to clv_state.score_profiles: a post-hook of its model. #}
{% macro keep_score_profile() %}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    insert into {{ source('clv_state', 'score_profiles') }} (
        invocation_id, as_of_date, score_bin, customers, log_id, recorded_at
    )
    select
        '{{ invocation_id }}',
        as_of_date,
        score_bin,
        customers,
        {{ current_log() | indent(8) }},
        {{ run_started() }}
    from {{ this }}
    where period = 'current'
{% endmacro %}
