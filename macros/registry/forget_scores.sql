{#
    Deletes the scores of this log that the run replaces, those of versions that served too long ago or
    never, and those of rebuilt past days.
#}
{% macro forget_scores() -%}
    {%- if flags.EMPTY -%}{{ return('') }}{%- endif -%}
    delete from {{ this }}
    where
        (log_id like '%@%' and log_id != {{ current_log() }})
        or (
            log_id = {{ current_log() }}
            and (
                model_version in (
                    select parameters.model_version
                    from {{ ref('int_parameters') }} as parameters
                )
                or model_version not in (
                    select kept.model_version
                    from (
                        select
                            statuses.model_version,
                            row_number() over (
                                order by statuses.last_served_number desc
                            ) as place
                        from {{ ref('int_registry__statuses') }} as statuses
                        where statuses.last_served_number is not null
                    ) as kept
                    where kept.place <= {{ var('clv_versions_kept') }}
                )
            )
        )
{%- endmacro %}
