-- grain: one row per model version, stratum and cutoff to score
-- The only table from which scoring reads parameters. The as-of date is scored with every version that
-- may serve after this run: those in the registry and this run's candidate. A backtest cutoff is scored
-- with what was fitted to it; the gate's cutoff also with the champion, if it was fitted by then.
{%- set parameters = model_parameter_names() %}
with registered as (

    select
        versions.model_version,
        versions.stratum,
        versions.purchase_model,
        coalesce(versions.k, 1) as k,
        {%- for name in parameters %}
        versions.{{ name }},
        {%- endfor %}
        versions.season,
        versions.fitted_until,
        statuses.role,
        row_number() over (
            partition by versions.model_version
            order by versions.customers desc, versions.stratum asc
        ) = 1 as is_largest
    from {{ source('clv_state', 'registry_parameters') }} as versions
    inner join {{ ref('int_registry__statuses') }} as statuses
        on versions.model_version = statuses.model_version
    where statuses.is_scored

),

cutoffs as (

    select *
    from {{ ref('int_cutoffs') }}

),

{%- if shaped('clv_strata') %}

-- A stratum that did not exist at the fit gets the parameters of the largest.
strata as (

    select distinct histories.stratum
    from {{ ref('int_histories__observed') }} as histories
    inner join cutoffs
        on histories.cutoff_date = cutoffs.cutoff_date
    where cutoffs.is_production

),

production as (

    select
        coalesce(own.model_version, largest.model_version) as model_version,
        strata.stratum,
        {%- for name in parameters %}
        case when own.stratum is null then largest.{{ name }} else own.{{ name }} end
            as {{ name }},
        {%- endfor %}
        largest.season,
        coalesce(own.purchase_model, largest.purchase_model) as purchase_model,
        coalesce(own.k, largest.k) as k
    from strata
    inner join registered as largest
        on largest.is_largest
    left join registered as own
        on
            strata.stratum = own.stratum
            and largest.model_version = own.model_version

)
{%- if not is_daily() %},

largest_candidate as (

    select *
    from {{ ref('int_candidate') }}
    qualify row_number() over (
        partition by model_version
        order by customers desc, stratum asc
    ) = 1

),

-- A stratum of customers on a plan alone is in no fit.
candidates as (

    select *
    from {{ ref('int_candidate') }}

    union all

    select largest.* replace (strata.stratum as stratum) -- noqa: AM04
    from largest_candidate as largest
    cross join strata
    where
        strata.stratum not in (
            select fitted.stratum
            from {{ ref('int_candidate') }} as fitted
        )

)
{%- endif %}
{%- else %}

production as (

    select *
    from registered

)
{%- endif %}

select
    registered.model_version,
    registered.stratum,
    false as is_current_spec,
    false as is_challenger,
    registered.purchase_model,
    registered.k,
    {%- for name in parameters %}
    registered.{{ name }},
    {%- endfor %}
    registered.season,
    cutoffs.cutoff_date
from production as registered
inner join cutoffs
    on cutoffs.is_production
{%- if not is_daily() %}
where
    registered.model_version not in (
        select candidate.model_version
        from {{ ref('int_candidate') }} as candidate
    )

union all

select
    registered.model_version,
    registered.stratum,
    false as is_current_spec,
    false as is_challenger,
    registered.purchase_model,
    registered.k,
    {%- for name in parameters %}
    registered.{{ name }},
    {%- endfor %}
    registered.season,
    cutoffs.cutoff_date
from registered
inner join {{ ref('int_gate__cutoff') }} as cutoffs
    on registered.fitted_until <= cutoffs.cutoff_date
where registered.role = 'champion'

union all

select
    candidate.model_version,
    candidate.stratum,
    true as is_current_spec,
    false as is_challenger,
    candidate.purchase_model,
    candidate.k,
    {%- for name in parameters %}
    candidate.{{ name }},
    {%- endfor %}
    candidate.season,
    cutoffs.cutoff_date
from {{ 'candidates' if shaped('clv_strata') else ref('int_candidate') }} as candidate
inner join cutoffs
    on cutoffs.is_production

union all

select
    timing.model_version,
    timing.stratum,
    timing.is_current_spec,
    not timing.is_current_spec as is_challenger,
    timing.purchase_model,
    timing.k,
    {%- for name in parameters %}
    {{ 'money' if name in ['p', 'q', 'gamma'] else 'timing' }}.{{ name }},
    {%- endfor %}
    nullif(timing.season, '') as season,
    timing.cutoff_date
from {{ ref('int_purchases__parameters') }} as timing
inner join cutoffs
    on timing.cutoff_date = cutoffs.cutoff_date
left join {{ ref('int_gamma_gamma__parameters') }} as money
    on
        timing.stratum = money.stratum
        and timing.cutoff_date = money.cutoff_date
where not cutoffs.is_production
{%- endif %}
