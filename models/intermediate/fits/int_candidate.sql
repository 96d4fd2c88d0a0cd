-- grain: one row per stratum of the model version that this run fitted for the as-of date
-- A version is named after its date, definition and spec. The same data give the same version; the
-- same date with other data (late lines, for example) or another log gives its next revision.
{%- set parameters = model_parameter_names() %}
{%- set commit = env_var('CLV_GIT_COMMIT', env_var('GITHUB_SHA', '')) %}
{%- set base = "concat(cast(cutoffs.as_of_date as " ~ type_text() ~ "), '-', substr("
    ~ dbt.hash("'" ~ model_definition() ~ model_spec() ~ "'") ~ ", 1, 8))" %}
with fitted as (

    select
        {{ base }} as version_base,
        timing.stratum,
        timing.purchase_model,
        timing.k,
        {%- for name in parameters %}
        {{ 'money' if name in ['p', 'q', 'gamma'] else 'timing' }}.{{ name }},
        {%- endfor %}
        {%- for name in parameters %}
        {{ 'money' if name in ['p', 'q', 'gamma'] else 'timing' }}.se_{{ name }},
        {%- endfor %}
        nullif(timing.season, '') as season,
        timing.customers,
        timing.log_likelihood,
        money.log_likelihood as value_log_likelihood,
        timing.converged and coalesce(money.converged, true) as is_converged,
        trim(concat(timing.message, ' ', coalesce(money.message, ''))) as message,
        as_of.first_transaction_date as data_from,
        cutoffs.as_of_date as fitted_until
    from {{ ref('int_purchases__parameters') }} as timing
    inner join {{ ref('int_cutoffs') }} as cutoffs
        on timing.cutoff_date = cutoffs.cutoff_date
    cross join {{ ref('int_as_of') }} as as_of
    left join {{ ref('int_gamma_gamma__parameters') }} as money
        on
            timing.stratum = money.stratum
            and timing.cutoff_date = money.cutoff_date
    where cutoffs.is_production

),

registered as (

    select
        versions.version_base,
        versions.revision,
        versions.stratum,
        {%- for name in parameters %}
        versions.{{ name }},
        {%- endfor %}
        versions.season
    from {{ source('clv_state', 'registry_parameters') }} as versions
    {{ seen('versions', 'fitted_until') | indent(4) }}
    qualify versions.revision = max(versions.revision) over (
        partition by versions.version_base
    )

),

-- Revisions are unique across logs.
taken as (

    select max(revision) as revision
    from {{ source('clv_state', 'registry_parameters') }}
    where version_base in (select ours.version_base from fitted as ours)

),

compared as (

    select
        max(registered.revision) as latest_revision,
        sum(
            case
                when
                    fitted.stratum is null
                    {%- for name in parameters %}
                    or coalesce(
                        abs(fitted.{{ name }} - registered.{{ name }})
                        > 1e-9 * abs(registered.{{ name }}),
                        (fitted.{{ name }} is null) != (registered.{{ name }} is null)
                    )
                    {%- endfor %}
                    or coalesce(fitted.season, '') != coalesce(registered.season, '')
                    or registered.stratum is null
                    then 1
                else 0
            end
        ) as differences
    from fitted
    full outer join registered
        on
            fitted.version_base = registered.version_base
            and fitted.stratum = registered.stratum
    where
        fitted.version_base is not null
        or registered.version_base in (select ours.version_base from fitted as ours)

),

revised as (

    select
        case
            when compared.differences = 0 then compared.latest_revision
            else coalesce(taken.revision, 0) + 1
        end as revision
    from compared
    cross join taken

)

select
    concat(
        fitted.version_base,
        case
            when revised.revision > 1
                then concat('.', cast(revised.revision as {{ type_text() }}))
            else ''
        end
    ) as model_version,
    revised.revision,
    '{{ model_definition() }}' as definition,
    '{{ model_spec() }}' as spec,
    nullif('{{ commit }}', '') as git_commit,
    fitted.*
from fitted
cross join revised
