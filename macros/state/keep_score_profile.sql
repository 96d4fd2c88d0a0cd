{# Appends the histogram of the scores to clv_state.score_profiles: a post-hook of its model. #}
{% macro keep_score_profile() %}
    insert into {{ source('clv_state', 'score_profiles') }} (
        invocation_id, as_of_date, score_bin, customers, recorded_at
    )
    select
        '{{ invocation_id }}',
        as_of_date,
        score_bin,
        customers,
        {{ run_started() }}
    from {{ this }}
{% endmacro %}
