{# Stops the run with one sentence when a variable has an invalid value. #}
{% macro check_config() %}
    {%- if execute -%}
        {%- do check_names() -%}
        {%- set choices = {
            'clv_value': ['margin', 'revenue', 'none'],
            'clv_duplicates': ['order_lines', 'rows', 'none'],
            'clv_customer_grain': ['customer', 'account'],
            'clv_fit_engine': ['own', 'lifetimes'],
            'clv_season': ['auto', 'none'],
            'clv_period': ['day', 'month'],
            'clv_run': ['full', 'daily'],
            'clv_forecast_reconciliation': ['bottom_up', 'mint'],
            'clv_promotion': ['gate', 'always'],
            'clv_accept_load': [true, false],
            'clv_overlay': [true, false],
            'clv_fail_on': ['page', 'ticket', 'never'],
            'clv_planned_refit': [true, false],
            'clv_stop_campaigns': [true, false],
            'clv_offer_cap_by_uplift': [true, false],
            'clv_export_value': ['band', 'value', 'none'],
            'clv_export_key': ['pseudonym', 'subscriber_key'],
            'clv_consent': [none, 'required', 'managed_at_destination'],
        } -%}
        {%- for name, allowed in choices.items() -%}
            {%- do require(
                var(name) in allowed, name,
                'must be one of ' ~ allowed | join(', ') | replace('None', 'null')
            ) -%}
        {%- endfor -%}

        {%- do check_period_config() -%}
        {%- set known = purchase_models() -%}
        {%- set spec = var('clv_purchase_model') -%}
        {%- do require(
            spec in ['auto'] + known
            or spec is mapping and spec.get('default')
            and spec.values() | reject('in', ['auto'] + known) | list | length == 0,
            'clv_purchase_model',
            'must be one of auto, ' ~ known | join(', ')
            ~ ', or one for each stratum, such as {default: bgnbd, DE: paretonbd}'
        ) -%}
        {%- set challengers = var('clv_challenger_models') -%}
        {%- do require(
            challengers is sequence and challengers is not string
            and challengers | reject('in', known) | list | length == 0
            and spec not in challengers,
            'clv_challenger_models',
            'must be a list of ' ~ known | join(', ') ~ ', without clv_purchase_model'
        ) -%}

        {#- name: (lowest, highest allowed value, an example) -#}
        {%- set ranges = {
            'clv_margin_rate': (0, 1, '0.35'),
            'clv_discount_rate': (0, 1, '0.10'),
            'clv_min_stratum_customers': (1, 100000000, '1000'),
            'clv_fit_max_customers': (1000, 100000000, '5000000'),
            'clv_min_history_days': (1, 3650, '84'),
            'clv_lookback_days': (0, 365, '7'),
            'clv_refund_days': (0, 3650, '180'),
            'clv_loyal_purchases': (2, 1000, '4'),
            'clv_overlay_min_customers': (200, 1000000, '1000'),
            'clv_canary_share': (0, 0.5, '0.10'),
            'clv_retention_days': (30, 36500, '730'),
            'clv_days_between_full_runs': (1, 365, '35'),
            'clv_load_tolerance': (0, 1, '0.05'),
            'clv_load_max_gap_days': (0, 365, '7'),
            'clv_identity_max_users': (2, 100000, '10'),
            'clv_offer_cap_share': (0, 1, '0.30'),
            'clv_export_max_age_hours': (1, 8760, '48'),
            'clv_campaign_window_days': (1, 365, '90'),
            'clv_campaign_budget_limit': (1, 10, '1.10'),
            'clv_campaign_redemption_limit': (1, 10, '3'),
        } -%}
        {%- for name, (lowest, highest, example) in ranges.items() -%}
            {%- do require(
                var(name) is number and var(name) is not boolean and lowest <= var(name) <= highest,
                name,
                'must be a number from ' ~ lowest ~ ' to ' ~ highest ~ ', such as ' ~ example
            ) -%}
        {%- endfor -%}

        {%- do check_date_config() -%}
        {%- do require(
            var('clv_time_zone') in modules.pytz.all_timezones,
            'clv_time_zone',
            'must be the IANA name of a time zone, such as Europe/Berlin'
        ) -%}
        {%- do require(
            var('clv_currency') is none
            or var('clv_currency') is string and modules.re.fullmatch('[A-Z][A-Z0-9]{2,9}', var('clv_currency')),
            'clv_currency',
            'must be a code in capitals such as EUR, or null for the currency of the log'
        ) -%}
        {%- do check_input_config() -%}

        {%- do require(
            not is_daily() or var('clv_as_of_date') is not none,
            'clv_as_of_date',
            'must be given for a daily run: partitions are pruned by dates known before it starts'
        ) -%}

        {%- set horizons = var('clv_horizons') -%}
        {%- do require(
            horizons is sequence and horizons is not string
            and horizons | select('integer') | list | length == horizons | length
            and horizons | select('gt', 0) | list | length == horizons | length
            and [30, 90, 180, 365] | reject('in', horizons) | list | length == 0
            and horizons | sort == horizons,
            'clv_horizons',
            'must be a list of rising whole days that holds 30, 90, 180 and 365, the columns of the marts'
        ) -%}

        {%- do require(
            var('clv_gate_horizon_days') in horizons,
            'clv_gate_horizon_days',
            'must be one of clv_horizons, such as 90'
        ) -%}

        {%- set backtests = var('clv_backtest_days') -%}
        {%- do require(
            backtests is sequence and backtests is not string
            and backtests | select('integer') | list | length == backtests | length
            and backtests | select('gt', 0) | list | length == backtests | length,
            'clv_backtest_days',
            'must be a list of whole days before the as-of date, such as [91, 182, 273, 365]'
        ) -%}

        {%- set strata = var('clv_strata') -%}
        {%- set attributes = [
            'country', 'device', 'acquisition_source', 'tier', 'first_channel',
            'first_country'
        ] -%}
        {%- do require(
            strata is sequence and strata is not string
            and strata | reject('in', attributes) | list | length == 0,
            'clv_strata',
            'must be a list of ' ~ attributes | join(', ') ~ '; [] fits all customers together'
        ) -%}

        {%- set inactivity = var('clv_inactivity_days') -%}
        {%- do require(
            inactivity is none or (inactivity is integer and inactivity > 0),
            'clv_inactivity_days',
            'must be a number of days such as 180, or null to learn it from the data'
        ) -%}

        {%- do require(
            var('clv_min_cell') is integer and var('clv_min_cell') is not boolean and var('clv_min_cell') >= 1,
            'clv_min_cell',
            'must be a whole number of customers from 1, such as 10'
        ) -%}

        {%- set words = var('clv_words') -%}
        {%- set replaced = [
            'title', 'customer', 'purchase day', 'purchase', 'order', 'buy', 'buys', 'bought'
        ] -%}
        {%- do require(
            words is mapping and words | reject('in', replaced) | list | length == 0
            and words.values() | reject('string') | list | length == 0
            and words.values() | map('trim') | reject('ne', '') | list | length == 0,
            'clv_words',
            'must have a word for some of ' ~ replaced | join(', ') ~ ', such as {customer: member}'
        ) -%}

        {#- name: (its keys, an example) -#}
        {%- set shares = {
            'clv_segment_percentiles': (
                ['vip', 'notable', 'valuable', 'promising', 'historic', 'outlier', 'gap'],
                '{vip: 0.95, notable: 0.8, valuable: 0.5, promising: 0.8, historic: 0.5, '
                ~ 'outlier: 0.995, gap: 0.9}'
            ),
            'clv_at_risk_thresholds': (
                ['probability_alive', 'repeat_share', 'one_time_share'],
                '{probability_alive: 0.5, repeat_share: 0.75, one_time_share: 0.5}'
            ),
        } -%}
        {%- for name, (keys, example) in shares.items() -%}
            {%- do require(
                var(name) is mapping
                and var(name) | list | sort == keys | sort
                and var(name).values() | reject('number') | list | length == 0
                and 0 < var(name).values() | min and var(name).values() | max <= 1,
                name,
                'must have a share above 0, at most 1, for each of its keys, such as ' ~ example
            ) -%}
        {%- endfor -%}
        {%- set percentiles = var('clv_segment_percentiles') -%}
        {%- do require(
            percentiles.valuable <= percentiles.notable <= percentiles.vip,
            'clv_segment_percentiles',
            'must have valuable at most notable, and notable at most vip'
        ) -%}

        {%- set ratios = var('clv_channel_ratios') -%}
        {%- do require(
            ratios is mapping and ratios | list | sort == ['amber', 'green']
            and ratios.values() | reject('number') | list | length == 0
            and 0 < ratios.amber <= ratios.green,
            'clv_channel_ratios',
            'must have green and amber above 0, amber at most green, such as {green: 3, amber: 1}'
        ) -%}

        {%- set statuses = var('clv_suppressed_statuses') -%}
        {%- do require(
            statuses is sequence and statuses is not string
            and statuses | select('string') | select('lower') | list | length
            == statuses | length,
            'clv_suppressed_statuses',
            'must be a list of statuses in lower case, such as [closed, deceased, fraud, erased]'
        ) -%}

        {%- do check_overlay_config() -%}
        {%- do check_export_config() -%}
        {#- A day or channel listed twice would be counted twice. -#}
        {%- for name in [
            'clv_horizons', 'clv_backtest_days', 'clv_strata', 'clv_challenger_models',
            'clv_suppressed_statuses', 'clv_consent_channels', 'clv_other_channels',
            'clv_control_arms',
        ] -%}
            {%- do require(
                var(name) | map('string') | map('lower') | unique | list | length == var(name) | length,
                name, 'must not name anything twice'
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# Every variable of this project; a test compares the list with dbt_project.yml. #}
{% macro variable_names() %}
    {%- do return([
        'clv_source_database', 'clv_source_schema', 'clv_input_tables', 'clv_input_columns',
        'clv_history_from', 'clv_period', 'clv_as_of_date', 'clv_time_zone', 'clv_horizons',
        'clv_backtest_days', 'clv_min_history_days', 'clv_run', 'clv_lookback_days',
        'clv_days_between_full_runs', 'clv_customer_grain', 'clv_identity_max_users',
        'clv_duplicates', 'clv_refund_days', 'clv_accept_load', 'clv_load_tolerance',
        'clv_load_max_gap_days', 'clv_fail_on', 'clv_min_cell', 'clv_words', 'clv_planned_refit',
        'clv_now', 'clv_value', 'clv_margin_rate', 'clv_currency', 'clv_discount_rate',
        'clv_strata', 'clv_purchase_model', 'clv_challenger_models', 'clv_season',
        'clv_min_stratum_customers', 'clv_fit_max_customers', 'clv_fit_engine',
        'clv_forecast_reconciliation', 'clv_overlay', 'clv_gate_horizon_days',
        'clv_overlay_candidates', 'clv_overlay_min_customers', 'clv_text_model',
        'clv_text_connection', 'clv_text_table', 'clv_promotion', 'clv_canary_share',
        'clv_retention_days', 'clv_loyal_purchases', 'clv_inactivity_days',
        'clv_at_risk_thresholds', 'clv_segment_percentiles', 'clv_suppressed_statuses',
        'clv_channel_ratios', 'clv_campaign_window_days', 'clv_control_arms',
        'clv_campaign_budget_limit', 'clv_campaign_redemption_limit', 'clv_stop_campaigns',
        'clv_export_key', 'clv_export_value', 'clv_export_bands', 'clv_consent_channels',
        'clv_other_channels', 'clv_consent', 'clv_export_max_age_hours', 'clv_holdout_share',
        'clv_holdout_salt', 'clv_offer_cap_share', 'clv_offer_caps', 'clv_offer_cap_by_uplift',
    ]) -%}
{% endmacro %}

{# Variables of earlier versions, with what replaces them; none = a constant. #}
{% macro former_variables() %}
    {%- do return({
        'clv_overlay_horizon_days': 'clv_gate_horizon_days is used', 'clv_overlay_objectives': none,
        'clv_overlay_max_customers': none, 'clv_overlay_min_cohort': none, 'clv_calibration_max_customers': none,
        'clv_calibration_strength': none, 'clv_calibration_prior_windows': none, 'clv_shared_error': none,
        'clv_shared_error_windows': none, 'clv_prior_strength': none, 'clv_cac_prior_customers': none,
        'clv_confirm_refreshes': none, 'clv_cut_point_refresh_days': none, 'clv_exit_band': none,
        'clv_statistics_window_days': none, 'clv_drift_days': none, 'clv_export_probability_step': none,
        'clv_offer_cap_quantile': none, 'clv_gate_tolerances': none, 'clv_identity_hops': none,
        'clv_load_max_scale': none, 'clv_load_max_duplicates': none, 'clv_probation_days': none,
        'clv_winsor_percentile': none,
        'clv_versions_kept': 'a withdrawn version is scored for 14 days',
    }) -%}
{% endmacro %}

{# Unknown variables with the project's prefix are most likely misspelt; ignoring them would hide that. #}
{% macro check_names() %}
    {%- set given = adapter.config.vars.to_dict() -%}
    {%- set scoped = given.get(project_name, {}) -%}
    {%- for name in (invocation_args_dict.get('vars') or {}) | list + given | list + scoped | list
        if name not in variable_names() and name != project_name
        and ((name | lower).startswith('clv') or 'clv_' ~ name in variable_names()) -%}
        {%- set successors = former_variables() -%}
        {%- do exceptions.raise_compiler_error(
            "clv: there is no variable '" ~ name ~ "'"
            ~ (
                ' any more: ' ~ (successors[name] or 'its default is a constant of the model that used it')
                if name in successors
                else ': ' ~ nearest(name, variable_names()) ~ ' is the nearest one'
            )
            ~ ' (dbt_project.yml lists all).'
        ) -%}
    {%- endfor -%}
{% endmacro %}

{# The name most similar to `name`, by shared pairs of letters. #}
{% macro nearest(name, names) %}
    {%- set best = namespace(name=none, likeness=-1) -%}
    {%- for other in names -%}
        {%- set shared = namespace(pairs=0) -%}
        {%- for place in range(name | length - 1) if name[place:place + 2] in other -%}
            {%- set shared.pairs = shared.pairs + 1 -%}
        {%- endfor -%}
        {%- set likeness = shared.pairs / (name | length + other | length) -%}
        {%- if likeness > best.likeness -%}
            {%- set best.name, best.likeness = other, likeness -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do return(best.name) -%}
{% endmacro %}

{# Whether a text is a valid date, such as 2024-02-29. #}
{% macro is_date(text) %}
    {%- if not modules.re.fullmatch('[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])', text) or text < '1' -%}
        {%- do return(false) -%}
    {%- endif -%}
    {%- set day = modules.datetime.date(text[:4] | int, text[5:7] | int, 1)
        + modules.datetime.timedelta(days=text[8:] | int - 1) -%}
    {%- do return(day | string == text) -%}
{% endmacro %}

{# What a log of days and a log of months may not have. #}
{% macro check_period_config() %}
    {%- if not is_monthly() -%}
        {%- for name in ['clv_purchase_model', 'clv_challenger_models'] -%}
            {%- do require(
                'bgbb' not in (var(name).values() | list if var(name) is mapping else var(name)),
                name,
                'may have bgbb, which knows months only, with clv_period: month alone'
            ) -%}
        {%- endfor -%}
    {%- else -%}
        {%- set as_of = var('clv_as_of_date') | string -%}
        {%- do require(
            var('clv_as_of_date') is none or not is_date(as_of)
            or (modules.datetime.date.fromisoformat(as_of) + modules.datetime.timedelta(1)).day == 1,
            'clv_as_of_date',
            'must be the last day of a month with clv_period: month, such as 2024-12-31: a month that is '
            ~ 'not over has not had all of its purchases'
        ) -%}
        {%- for horizon in shaped('clv_horizons') -%}
            {%- do require(
                months_ahead(horizon) >= 1
                and (horizon - month_days() * months_ahead(horizon)) | abs <= 6,
                'clv_horizons',
                'must be whole months, 30 or 31 days each, with clv_period: month'
            ) -%}
        {%- endfor -%}
        {%- set backtests = shaped('clv_backtest_days') | sort -%}
        {%- for days in backtests[1:] -%}
            {%- do require(
                days - backtests[loop.index0] > 31, 'clv_backtest_days',
                'must be more than a month apart with clv_period: month'
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{# The dates: must be valid. #}
{% macro check_date_config() %}
    {%- set tomorrow = (run_started_at + modules.datetime.timedelta(days=1)).strftime('%Y-%m-%d') -%}
    {%- for name, otherwise in [
        ('clv_as_of_date', 'the last loaded transaction date'), ('clv_now', 'the as-of date'),
        ('clv_history_from', 'the first line')
    ] -%}
        {%- set date = var(name) | string -%}
        {%- do require(
            var(name) is none or is_date(date) and date <= tomorrow,
            name,
            'must be a date such as 2024-12-31, not after today, or null for ' ~ otherwise
        ) -%}
    {%- endfor -%}
{% endmacro %}

{# The inputs: tables and column mappings. #}
{% macro check_input_config() %}
    {%- for name in ['clv_source_database', 'clv_source_schema'] -%}
        {%- do require(
            var(name) is none or var(name) is string and var(name),
            name,
            'must be a name, or null for that of the target'
        ) -%}
    {%- endfor -%}
    {%- do require(var('clv_text_table') is string, 'clv_text_table', 'must be the name of a table') -%}
    {%- set tables, mappings = var('clv_input_tables'), var('clv_input_columns') -%}
    {%- do require(
        tables is mapping and tables.get('transactions')
        and tables | reject('in', input_contract()) | list | length == 0
        and tables.values() | reject('none') | reject('string') | list | length == 0,
        'clv_input_tables',
        'must name the table of transactions, and may name those of '
        ~ input_contract() | reject('equalto', 'transactions') | join(', ')
    ) -%}
    {%- do require(
        mappings is mapping
        and mappings | reject('in', input_contract()) | list | length == 0
        and mappings.values() | reject('mapping') | list | length == 0,
        'clv_input_columns',
        'must have columns by input, such as {transactions: {user_id: customer_no}}'
    ) -%}
    {%- for input, columns in mappings.items() -%}
        {%- for column, expression in columns.items() -%}
            {%- do require(
                column in input_contract()[input] and (expression is none or expression is string),
                'clv_input_columns',
                'has ' ~ input ~ '.' ~ column ~ ', where ' ~ input ~ ' has '
                ~ input_contract()[input] | join(', ')
                ~ '; each stands for the name of a column, an expression or null'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{% endmacro %}

{# The variables of the overlay. #}
{% macro check_overlay_config() %}
    {%- for name, example in {
        'clv_text_model': 'gemini-2.5-flash', 'clv_text_connection': 'my-project.eu.my-connection',
    }.items() -%}
        {%- do require(
            var(name) is none or modules.re.fullmatch('[A-Za-z0-9_./:@-]+', var(name) | string),
            name,
            'must be null or a name such as ' ~ example
        ) -%}
    {%- endfor -%}
    {%- do require(
        not var('clv_overlay') or var('clv_value') != 'none',
        'clv_overlay',
        'must be false where clv_value is none: it is learnt from money'
    ) -%}
    {%- set candidates = var('clv_overlay_candidates') -%}
    {%- do require(
        candidates is sequence and candidates is not string and candidates
        and candidates | reject('in', ['offset', 'free', 'two_stage']) | list | length == 0
        and candidates | unique | list == candidates,
        'clv_overlay_candidates',
        'must be a list of offset, free and two_stage, the preferred one first'
    ) -%}
{% endmacro %}

{# The variables of the export that are lists, mappings or text. #}
{% macro check_export_config() %}
    {%- set bands = var('clv_export_bands') -%}
    {%- do require(
        bands is sequence and bands is not string and bands
        and bands | select('number') | list | length == bands | length
        and bands | sort == bands and bands[0] > 0 and bands | unique | list == bands,
        'clv_export_bands',
        'must be a list of rising numbers above 0, such as [10, 50, 100]'
    ) -%}
    {%- for name, example in {
        'clv_consent_channels': '[email]',
        'clv_control_arms': '[control, holdout]',
        'clv_suppressed_statuses': '[closed, deceased, fraud, erased]',
    }.items() -%}
        {%- set names = var(name) -%}
        {%- do require(
            names is sequence and names is not string and names
            and names | reject('string') | list | length == 0
            and not modules.re.search("['\\\\]", names | join),
            name,
            'must be a list of words, such as ' ~ example
        ) -%}
    {%- endfor -%}
    {%- set others = var('clv_other_channels') -%}
    {%- do require(
        others is sequence and others is not string and others is not mapping
        and others | reject('string') | list | length == 0
        and not modules.re.search("['\\\\]", others | join),
        'clv_other_channels',
        'must be a list of words, such as [sms, post], or []'
    ) -%}
    {%- set shares = campaign_shares() -%}
    {%- do require(
        shares
        and shares.values() | select('number') | select('ge', 0) | select('le', 1)
            | list | length == shares | length
        and shares.keys() | map('string') | reject('in', ['']) | list | length == shares | length
        and modules.re.fullmatch('[A-Za-z0-9_-]*', shares.keys() | join),
        'clv_holdout_share',
        'must be a number from 0 to 1, or one per campaign, such as {winback: 0.2, upsell: 0.1}, '
        ~ 'campaigns named with letters, digits, _ and -'
    ) -%}
    {%- set caps = var('clv_offer_caps') -%}
    {%- do require(
        caps is mapping and 'default' in caps
        and caps.values() | select('number') | select('ge', 0) | list | length == caps | length
        and not modules.re.search("['\\\\]", caps.keys() | join),
        'clv_offer_caps',
        'must be amounts by segment with a default, such as {default: 25, Champions: 50}'
    ) -%}
    {%- do require(
        modules.re.fullmatch('[A-Za-z0-9_.-]+', var('clv_holdout_salt') | string),
        'clv_holdout_salt',
        'must be letters, digits, _, . and -'
    ) -%}
{% endmacro %}

{#
    A variable that is a list (of days, whole numbers) or a mapping by default, and must be one: it is
    read when the project is parsed, before check_config runs.
#}
{% macro shaped(name) %}
    {%- set value = var(name) -%}
    {%- set is_mapping = name in [
        'clv_segment_percentiles',
        'clv_at_risk_thresholds', 'clv_channel_ratios', 'clv_offer_caps',
    ] -%}
    {%- do require(
        value is mapping and is_mapping
        or value is sequence and value is not string and value is not mapping and not is_mapping
        and (
            name not in ['clv_horizons', 'clv_backtest_days']
            or value | select('integer') | list | length == value | length
        ),
        name,
        ('must be a mapping' if is_mapping else 'must be a list') ~ ', as in dbt_project.yml'
    ) -%}
    {%- do return(value) -%}
{% endmacro %}

{# Raises one sentence that names the variable, what it must be and what it is. #}
{% macro require(is_met, name, rule) %}
    {%- if not is_met -%}
        {%- do exceptions.raise_compiler_error(
            "clv: var '" ~ name ~ "' " ~ rule ~ '; it is ' ~ (var(name) | tojson) ~ '.'
        ) -%}
    {%- endif -%}
{% endmacro %}
