"""What plant_faults.py plants: at least one fault for each invariant and alert rule."""

from plant_faults import Fault

TODAY = "(select as_of_date from int_as_of)"
# One customer in so many, always the same.
SOME = "hash({}) % {} = 0"

LINES, LIFETIME = "int_transactions__resolved", "customer_lifetime_value"
MEASURED_90D = (
    "horizon_days = 90 and cutoff_date = (select max(cutoff_date) from "
    "int_calibration__histograms where horizon_days = 90)"
)
LINES_COUNTED = "assert_every_line_is_counted_or_set_aside"
CONSERVED = "assert_customers_are_conserved_through_identity"
CONSENT = "assert_nobody_is_synced_without_consent"
EQUITY = "assert_equity_of_the_day_of_a_full_run_is_that_of_the_backtest"
COHORT_FORECAST = "assert_the_cohort_forecast_is_the_published_expectation"
BACKTEST = "assert_backtest_totals_are_the_log"
EXPLANATIONS = "assert_explanations_leave_only_what_all_customers_share"
FACTORS = "assert_explanations_multiply_to_the_factor"
OVERLAY_TOTAL = "assert_the_overlay_leaves_the_total_to_the_baseline"
SEGMENTS = "assert_every_customer_is_in_one_segment"
WITHHELD = "assert_nothing_is_expected_where_forecasts_are_withheld"
SUPPRESSED = "assert_nothing_is_expected_of_suppressed_customers"
ORDERED = "assert_predictions_are_ordered"
GROWTH = "assert_growth_conserves_customers_and_revenue"
SEGMENT_GROWTH = "assert_segment_growth_is_the_transitions"
LIVES = "assert_lifetimes_are_ordered"
CONTRACTS = "assert_contracts_are_ordered"
ONE_SOURCE = "assert_contracts_have_one_source_and_one_value"
NEXT_ORDERS = "assert_next_orders_agree_with_the_forecast"
WAITS = "assert_waits_are_those_of_the_expectation_table"
REVENUE = "assert_revenue_is_conserved_to_every_mart"
# Who refuses is believed to consent.
ALLOWED = (
    "replace view export_marketing_cloud__permissions as "
    "select * from this where customer_id != '{0}' "
    "union all select '{0}', false, true"
)

FAULTS = [
    # -- Lines and money
    Fault(
        LINES_COUNTED,
        "lines of a month are lost",
        f"delete from {LINES} where transaction_date > '2024-03-01' and "
        "transaction_date < '2024-04-01'",
    ),
    Fault(
        LINES_COUNTED,
        "some lines are there twice",
        f"insert into {LINES} select * from {LINES} "
        f"where {SOME.format('transacted_at', 7)}",
    ),
    Fault(
        LINES_COUNTED,
        "amounts of the project's currency are a tenth too high",
        f"update {LINES} set revenue_amount = 1.1 * revenue_amount "
        "where currency = 'USD'",
    ),
    Fault(
        LINES_COUNTED,
        "amounts of another currency are not converted",
        f"update {LINES} set revenue_amount = revenue_amount / 1.25 "
        "where currency = 'EUR' and transaction_date >= '2024-01-01'",
    ),
    Fault(
        LINES_COUNTED,
        "good lines are set aside as later than the as-of date",
        f"update {LINES} set is_counted = false where transaction_date > '2024-06-01'",
    ),
    Fault(
        LINES_COUNTED,
        "the log is delivered with two lines more than are read",
        f"delete from {LINES} where customer_id is null",
    ),
    Fault(
        REVENUE,
        "some customers have twice their revenue",
        "update customers set revenue_amount = 2 * revenue_amount "
        f"where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        REVENUE,
        "a day that was bought on is missing from purchase days",
        "delete from int_purchase_days where purchase_date = '2024-02-10'",
    ),
    Fault(
        REVENUE,
        "a cohort's month is lost",
        "delete from cohorts where months_since = 2 and cohort_month = '2023-05-01'",
    ),
    Fault(
        "assert_every_currency_has_a_rate",
        "a currency has no rate before 2024",
        "delete from currency_rates where valid_from = '2023-01-01'",
    ),
    Fault(
        "assert_ad_spend_is_counted_or_set_aside",
        "a channel's spend counts twice",
        "replace view int_ad_spend__resolved as "
        "select * from this union all select * from this where channel = 'tv'",
    ),
    Fault(
        "assert_ad_spend_is_counted_or_set_aside",
        "a month of a channel is not in channel_economics",
        "delete from channel_economics "
        "where channel = 'web' and cohort_month = '2023-09-01'",
    ),
    Fault(
        "assert_every_currency_of_spend_has_a_rate",
        "a channel is paid in a currency without a rate",
        "replace view int_ad_spend__resolved as select * replace (case "
        "when channel = 'tv' then 'no_rate' else disposition end as disposition) "
        "from this",
    ),
    Fault(
        "assert_what_purchases_bring_is_what_was_bought_less_refunds",
        "some refunds vanish",
        "delete from int_refunds__matched "
        f"where is_matched and {SOME.format('refund_id', 20)}",
    ),
    Fault(
        "assert_what_purchases_bring_is_what_was_bought_less_refunds",
        "a day that was bought on has its revenue twice",
        "update int_purchase_days set revenue_amount = 2 * revenue_amount "
        "where purchase_date = '2024-02-10'",
    ),
    # -- Who is who
    Fault(
        CONSERVED,
        "some customers are lost",
        f"delete from customers where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        CONSERVED,
        "a customer is there twice",
        "insert into customers select * from customers where customer_id = 'p7'",
    ),
    Fault(
        CONSERVED,
        "customers whose user ids were merged are lost, together with their lines",
        f"delete from {LINES} where customer_id in (select customer_id from {LINES} "
        "where merged_user_id like '%7b'); "
        "delete from int_customers__profiled where customer_id like '%7a'",
    ),
    Fault(
        CONSERVED,
        "who is in the customer list and has not bought is left out",
        "delete from int_customers__profiled where first_transaction_date is null",
    ),
    Fault(
        "assert_every_customer_is_scored_once",
        "some customers have no row of predictions",
        f"delete from {LIFETIME} where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        "assert_every_customer_is_scored_once",
        "two versions serve everybody",
        "replace view int_scores__served as "
        "select * from this union all select * from this",
    ),
    Fault(
        "assert_identity_hops_converged",
        "labels have not reached the end of a chain",
        "update int_identities__resolved set customer_id = identifier "
        "where identifier like '%5b'",
    ),
    Fault(
        "assert_identity_hops_converged",
        "some linked ids belong to nobody",
        "delete from int_identities__resolved where identifier like '%5b'",
    ),
    # -- Time
    Fault(
        "assert_nothing_is_later_than_its_cutoff",
        "histories see the day after their cutoff",
        "update int_histories__observed set last_purchase_date = cutoff_date + 1 "
        f"where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        "assert_nothing_is_later_than_its_cutoff",
        "lines of the day after the as-of date count",
        f"update {LINES} set transaction_date = {TODAY} + 1 "
        f"where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        BACKTEST,
        "outcomes leave out some of the customers",
        "update int_histories__held_out set value_90d = 0 "
        f"where {SOME.format('customer_id', 20)}",
    ),
    Fault(
        BACKTEST,
        "cohorts have their money a month late",
        "update cohort_clv set actual_value_amount = 0 "
        "where cohort_month = '2023-05-01' and is_completed",
    ),
    Fault(
        BACKTEST,
        "the totals know no backtest",
        "delete from customer_equity where not is_production",
    ),
    Fault(
        BACKTEST,
        "there is no backtest at all",
        "delete from int_histories__held_out",
    ),
    # -- Cohorts
    Fault(
        "assert_cohorts_hold_every_buyer",
        "some buyers are in no cohort",
        f"delete from int_customers__current where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        "assert_cohorts_hold_every_buyer",
        "a cohort is a month late and joins the next",
        "delete from cohorts where cohort_month = '2023-05-01' and months_since = 0",
    ),
    Fault(
        GROWTH,
        "a month of new customers is lost",
        "delete from new_and_returning where period_month = '2023-05-01'",
    ),
    Fault(
        GROWTH,
        "a day that was bought on is no second purchase",
        "update second_purchases set repeat_customers = repeat_customers - 1 "
        "where repeat_customers > 0",
    ),
    Fault(
        GROWTH,
        "customers who lapsed stay in the base",
        "update growth_accounting set active_customers = active_customers "
        "+ lapsed_customers where lapsed_customers > 0",
    ),
    Fault(
        GROWTH,
        "a month's new value is in the base twice",
        "update growth_accounting set active_value_amount = active_value_amount "
        "+ new_value_amount where new_value_amount > 0",
    ),
    Fault(
        GROWTH,
        "customers without a purchase in the last year are in no decile",
        "delete from decile_migration where decile_now = 'no_purchase'",
    ),
    Fault(
        "assert_revenue_forecasts_add_up",
        "a month's customers to come are left out of its total",
        "update revenue_forecast set total_value = total_value - 1 "
        "where period_month = (select min(period_month) from revenue_forecast)",
    ),
    Fault(
        "assert_revenue_forecasts_add_up",
        "known customers are expected to buy more than their equity",
        "update revenue_forecast set existing_value = 1.01 * existing_value, "
        "total_value = 1.01 * existing_value + new_value",
    ),
    Fault(
        "assert_revenue_forecasts_add_up",
        "a channel is forecast twice",
        "update acquisition_forecast set new_customers = 1 + new_customers",
    ),
    Fault(
        "assert_cohort_forecasts_add_up_at_every_level",
        "a country's weeks are not those of its cohorts",
        "update cohort_forecast set forecast_value = forecast_value + 0.01 "
        "where group_level = 'country' and country = 'DE'",
    ),
    Fault(
        "assert_cohort_forecasts_add_up_at_every_level",
        "a week of all is missing",
        "delete from cohort_forecast where group_level = 'total' and week = 3",
    ),
    Fault(
        COHORT_FORECAST,
        "a cohort's curve is 1 % too high",
        "update int_cohort_forecast set purchase_model = 1.01 * purchase_model "
        "where cohort_month = '2023-05-01'",
    ),
    Fault(
        COHORT_FORECAST,
        "the weeks of a cohort are one short",
        "delete from cohort_forecast where cohort_month = '2023-05-01' and week = 52",
    ),
    Fault(
        COHORT_FORECAST,
        "as of today there are no cohorts",
        f"delete from cohort_clv where cutoff_date = {TODAY}; "
        f"delete from int_cohort_forecast where cutoff_date = {TODAY}",
    ),
    # -- Forecasts
    Fault(
        "assert_compressed_tables_hold_every_customer",
        "compression loses a kind of history",
        "delete from int_histories__compressed where frequency = 2",
    ),
    Fault(
        "assert_compressed_tables_hold_every_customer",
        "values lose their largest bin",
        "delete from int_values__compressed where value_bin = "
        "(select max(value_bin) from int_values__compressed)",
    ),
    Fault(
        "assert_compressed_tables_hold_every_customer",
        "the sample is half of a few customers",
        "replace view int_histories__sampled as "
        f"select * from this where {SOME.format('customer_id', 2)}",
    ),
    Fault(
        "assert_compressed_tables_hold_every_customer",
        "the sample is empty",
        "replace view int_histories__sampled as select * from this where false",
    ),
    Fault(
        "assert_every_buyer_is_predicted",
        "a stratum's customers are not scored",
        "delete from int_predictions__expected where stratum = 'web|DE'",
    ),
    Fault(
        "assert_every_buyer_is_predicted",
        "a stratum has no parameters",
        "delete from int_parameters "
        f"where stratum = 'store|US' and cutoff_date = {TODAY}",
    ),
    Fault(
        "assert_every_buyer_is_predicted",
        "a version was fitted without values",
        "update int_parameters set p = null, q = null, gamma = null "
        f"where cutoff_date = {TODAY}; "
        "update int_predictions__expected set clv_365d = null "
        f"where cutoff_date = {TODAY}",
    ),
    Fault(
        ORDERED,
        "the ends of a range are swapped",
        f"update {LIFETIME} set clv_90d_p10 = clv_90d_p90, clv_90d_p90 = clv_90d_p10 "
        f"where {SOME.format('customer_id', 20)}",
    ),
    Fault(
        ORDERED,
        "a probability is above 1",
        f"update {LIFETIME} set probability_purchase_30d = 1.2 "
        f"where customer_id = (select max(customer_id) from {LIFETIME} "
        "where expected_purchases_30d < 1)",
    ),
    Fault(
        ORDERED,
        "half a year is worth less than a quarter",
        f"update {LIFETIME} set clv_180d = 0.5 * clv_90d where clv_90d > 0",
    ),
    Fault(
        ORDERED,
        "what is expected is in cents",
        f"update {LIFETIME} set clv_365d = clv_365d / 100, clv_180d = clv_180d / 100, "
        "clv_90d = clv_90d / 100, clv_30d = clv_30d / 100",
    ),
    Fault(
        LIVES,
        "a life is worth less than three years of it",
        "update customer_lifetime set clv_lifetime = 0.5 * clv_1095d "
        "where clv_1095d > 0",
    ),
    Fault(
        LIVES,
        "the total forgets what has been bought",
        "update customer_lifetime set clv_total = clv_lifetime "
        "where value_to_date_amount > 0",
    ),
    Fault(
        LIVES,
        "a closed account has a life ahead",
        "update customer_lifetime set clv_lifetime_p90 = 10 "
        "where lifetime_status = 'suppressed'",
    ),
    Fault(
        CONTRACTS,
        "survival rises with the renewals",
        "update contract_retention set fitted_survival = 1 - fitted_survival",
    ),
    Fault(
        CONTRACTS,
        "a contract is worth less than a year of it",
        "update contract_lifetime set clv_lifetime = 0.5 * clv_365d where clv_365d > 0",
    ),
    Fault(
        CONTRACTS,
        "a lapsed contract has renewals ahead",
        "update contract_lifetime set expected_renewals_lifetime = 3 "
        "where contract_status = 'lapsed'",
    ),
    Fault(
        ONE_SOURCE,
        "a contract is served with another value than its own",
        f"update {LIFETIME} set clv_90d_p50 = clv_90d where clv_source = 'contract'",
    ),
    Fault(
        ONE_SOURCE,
        "customers on a plan are in the backtest",
        "insert into int_histories__held_out select outcomes.* replace ("
        "(select min(customer_id) from int_contracts__listed) as customer_id) "
        "from int_histories__held_out as outcomes limit 1",
    ),
    Fault(
        NEXT_ORDERS,
        "dates are a quarter late",
        "update customer_next_order "
        "set expected_next_purchase_date = expected_next_purchase_date + 91",
    ),
    Fault(
        NEXT_ORDERS,
        "waits are in weeks",
        "replace view int_predictions__waits as "
        "select * replace (wait_days_p50 / 7 as wait_days_p50) from this",
    ),
    Fault(
        WAITS,
        "a model's purchase rate is half as high as the expectation table knew it",
        f"update int_parameters set alpha = 2 * alpha where cutoff_date = {TODAY}",
    ),
    Fault(
        WAITS,
        "one-time buyers have no wait",
        "delete from int_expectations__waits where frequency = 0",
    ),
    Fault(
        "assert_ranges_of_totals_are_ordered",
        "the range of totals is narrower than chance",
        "update customer_equity set lower_95 = lower_95_raw + 1 "
        "where horizon_days = 90",
    ),
    Fault(
        "assert_ranges_of_totals_are_ordered",
        "80 % reach further than 95 %",
        "update cohort_clv set upper_80 = upper_95 + 1 "
        "where cohort_month = '2023-05-01'",
    ),
    Fault(
        "assert_ranges_of_totals_are_ordered",
        "today's total is below its range",
        "update customer_equity_daily set expected_value = 0.5 * lower_80",
    ),
    Fault(
        EQUITY,
        "as of today there is no equity",
        f"delete from int_cohorts__compressed where cutoff_date = {TODAY}",
    ),
    Fault(
        EQUITY,
        "the day of a full run is not kept",
        "delete from clv_state.equity_history",
    ),
    Fault(
        EQUITY,
        "a country's customers are left out of both",
        "delete from int_cohorts__compressed where country = 'DE'; "
        "update clv_state.equity_history set customers = customers / 2",
    ),
    Fault(
        WITHHELD,
        "forecasts are withheld, and totals are published all the same",
        "update int_readiness set is_forecast = false, status = 'log_too_short'",
    ),
    Fault(
        WITHHELD,
        "customers are told that nothing is forecast of them, and it is",
        f"update {LIFETIME} set clv_source = 'withheld' "
        f"where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        ORDERED,
        "a suppressed customer is worth something",
        f"update {LIFETIME} set clv_90d = 10 where is_suppressed",
    ),
    Fault(
        SUPPRESSED,
        "a closed account has a segment that is written to",
        "update customer_segments set clv_segment = '02_loyal_vip' "
        "where clv_segment = 'suppressed'",
    ),
    # -- The overlay
    Fault(
        OVERLAY_TOTAL,
        "the overlay adds 1 %",
        "update int_overlay__predictions set overlay_value = 1.01 * overlay_value",
    ),
    Fault(
        OVERLAY_TOTAL,
        "the overlay has nobody",
        "delete from int_overlay__scored",
    ),
    Fault(
        EXPLANATIONS,
        "what a family says of some customers is lost",
        "delete from clv_explanations where family = 'rhythm' "
        f"and {SOME.format('customer_id', 5)}",
        world="update int_overlay__decisions set is_overlay = true",
    ),
    Fault(
        EXPLANATIONS,
        "some trees are not explained",
        "update int_overlay__contributions set contribution = contribution + 0.01 "
        f"where {SOME.format('customer_id', 5)}",
        world="update int_overlay__decisions set is_overlay = true",
    ),
    Fault(
        EXPLANATIONS,
        "nobody is explained",
        "delete from clv_explanations",
        world="update int_overlay__decisions set is_overlay = true",
    ),
    Fault(
        FACTORS,
        "the largest factor of some customers is explained twice",
        "update clv_explanations set multiplier = multiplier * multiplier "
        f"where factor_rank = 1 and {SOME.format('customer_id', 5)}",
        world="update int_overlay__decisions set is_overlay = true",
    ),
    # -- Segments
    Fault(
        SEGMENTS,
        "some customers have no segment",
        f"delete from customer_segments where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        SEGMENTS,
        "prospects are loyal customers",
        "update customer_segments set clv_segment = '03_notable_loyal' "
        "where clv_segment = '00_prospect'",
    ),
    Fault(
        SEGMENTS,
        "the summary counts a segment twice",
        "update segment_summary set share_of_customers = 2 * share_of_customers",
    ),
    Fault(SEGMENTS, "the summary is empty", "delete from segment_summary"),
    Fault(
        "assert_every_segment_is_in_its_seed",
        "a segment has another name in the seed",
        "update clv_segments set clv_segment = '02_vip' "
        "where clv_segment = '02_loyal_vip'",
    ),
    Fault(
        "assert_rfm_grid_is_complete",
        "a combination of scores has no segment",
        "delete from rfm_segments where recency_score = 5 "
        "and frequency_monetary_score = 1",
    ),
    Fault(
        "assert_transitions_conserve_customers",
        "a flow between segments is lost",
        "delete from segment_transitions where to_segment = "
        "(select min(to_segment) from segment_transitions)",
    ),
    Fault(
        "assert_transitions_conserve_customers",
        "memory has forgotten some customers",
        f"delete from int_segments__remembered where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        SEGMENT_GROWTH,
        "a customer is new twice",
        "update segment_growth set new_customers = new_customers + 1",
    ),
    # -- What leaves the building
    Fault(
        "assert_every_customer_is_synced_or_excluded_for_a_reason",
        "some customers are neither exported nor excluded",
        "delete from export_marketing_cloud__candidates "
        f"where {SOME.format('customer_id', 50)}",
    ),
    Fault(
        "assert_every_customer_is_synced_or_excluded_for_a_reason",
        "the audience has a row twice",
        "replace view export_marketing_cloud__audience as "
        "select * from this union all (select * from this limit 1)",
    ),
    Fault(
        CONSENT,
        "a customer without consent is exported",
        "replace view export_marketing_cloud__permissions as "
        "select * from this union all select 'p9', false, true",
    ),
    Fault(
        CONSENT,
        "a no under another user id of the customer is not heard",
        ALLOWED.format("u004a"),
    ),
    Fault(
        CONSENT,
        "a suppressed customer is exported",
        "update export_marketing_cloud__candidates set exclusion_reason = null "
        "where customer_id = 'u001a';" + ALLOWED.format("u001a"),
    ),
    Fault(
        CONSENT,
        "rows are nobody's",
        "replace view export_marketing_cloud__audience as "
        "select * replace (reverse(customer_id) as customer_id) from this",
    ),
    # -- Alerts: data and scores
    Fault(
        "assert_no_alert_is_loud_enough_to_fail_the_build",
        "a page rings: every fourth customer has no CLV",
        f"update {LIFETIME} set clv_365d = null where {SOME.format('customer_id', 4)}",
    ),
    Fault(
        "data_stale",
        "scores are ten days old",
        f"update {LIFETIME} set scored_on = scored_on - 10",
    ),
    Fault(
        "fit_stale",
        "the version that serves was fitted ninety days ago",
        "update clv_state.registry_parameters set fitted_until = fitted_until - 90",
    ),
    Fault(
        "score_coverage_low",
        "every fourth customer has no CLV",
        f"update {LIFETIME} set clv_365d = null where {SOME.format('customer_id', 4)}",
    ),
    Fault(
        "scores_invalid",
        "a CLV is negative",
        f"update {LIFETIME} set clv_365d = -0.5 where customer_id = 'p9'",
    ),
    Fault(
        "score_drift_high",
        "every CLV is four times that of a week ago",
        f"update {LIFETIME} set clv_365d = 4 * clv_365d",
        world="insert into clv_state.score_profiles by name "
        "select * replace (as_of_date - 7 as as_of_date) from clv_state.score_profiles",
    ),
    Fault(
        "lines_without_user_rising",
        "half of a month's lines have lost their user",
        "update int_loads__checked set lines_without_user = line_count // 2 "
        "where transaction_month = '2024-06-01'",
    ),
    Fault(
        "identity_too_large",
        "a till links its buyers",
        "update int_identities__resolved set customer_id = 'u000a' "
        f"where {SOME.format('identifier', 9)}",
    ),
    Fault(
        "accounts_merged",
        "two accounts are one customer",
        "insert into int_identities__resolved values "
        "('account:1', 'u000a'), ('account:2', 'u000a')",
    ),
    Fault(
        "ids_differ_in_case_or_blanks",
        "an id is there in capitals too",
        "insert into int_customers__profiled by name select * replace "
        "(upper(customer_id) as customer_id) from int_customers__profiled "
        "where customer_id = 'p9'",
    ),
    Fault(
        "first_load_inconsistent",
        "the first load has a month of another size of amounts",
        "update int_loads__checked set notice = 'transactions.amount has a median of' "
        "where transaction_month = '2024-05-01'",
    ),
    # -- Alerts: readiness
    Fault(
        "forecasts_withheld",
        "there is not enough to forecast",
        "update int_readiness set is_forecast = false, status = 'log_too_short', "
        "reason = '80 days of log' where is_production",
    ),
    Fault(
        "forecasts_unchecked",
        "the longest horizon has not been checked",
        "update int_readiness set status = 'unchecked', "
        "reason = '365-day values have not been checked' "
        "where is_production and horizon_days = 365",
        world="update int_readiness set status = 'ready', reason = null",
    ),
    Fault(
        "log_looks_contractual",
        "nine in ten pay the same amount at regular intervals",
        "update int_purchases__regularity set regular_share = 0.9, "
        "warning = 'looks contractual'",
    ),
    # -- Alerts: fits, calibration, tracking, drift
    Fault(
        "fits_flagged",
        "a fit has run to its bounds",
        "update int_purchases__parameters set is_flagged = true "
        f"where stratum = 'web|DE' and cutoff_date = {TODAY}",
    ),
    Fault(
        "rate_value_correlation_high",
        "who buys often pays twice as much each time",
        "update int_gamma_gamma__parameters set rate_value_correlation = -0.5 "
        f"where stratum = 'web|DE' and cutoff_date = {TODAY}",
    ),
    Fault(
        "brier_skill_low",
        "probabilities say nothing of who buys",
        f"update int_calibration__histograms set squared_error = 1.3 * squared_error "
        f"where {MEASURED_90D}",
    ),
    Fault(
        "probabilities_miscalibrated",
        "probabilities are a fifth too high",
        "update int_calibration__histograms set probability = "
        f"least(probability + 0.2 * customers, customers) where {MEASURED_90D}",
    ),
    Fault(
        "decile_miscalibrated",
        "the surest buyers do not buy",
        "update int_calibration__histograms set buyers = 0 "
        f"where probability_bin > 7000 and {MEASURED_90D}",
    ),
    Fault(
        "purchase_bias_high",
        "half as many purchases again are expected as come",
        "update int_calibration__histograms set expected_purchases = "
        f"1.5 * expected_purchases where {MEASURED_90D}",
    ),
    Fault(
        "tracking_error_in_sample_high",
        "the curve leaves the log within the fit",
        "update model_tracking set expected_cumulative = 1.3 * expected_cumulative "
        "where is_in_sample",
    ),
    Fault(
        "tracking_error_after_fit_high",
        "the curve leaves the log after the fit",
        "update model_tracking set expected_cumulative = 1.3 * expected_cumulative "
        "where not is_in_sample",
    ),
    Fault(
        "feature_drift_high",
        "all buy in one channel",
        "update int_drift__observed set channel = 'web' where period = 'current'",
        world="update int_drift__observed set gap_days = null",
    ),
    Fault(
        "feature_level_shift_high",
        "orders have doubled",
        "update int_drift__observed set order_value = 2 * order_value "
        "where period = 'current'",
    ),
    Fault(
        "capped_value_rate_high",
        "a tenth of all value is above the cap",
        "update int_histories__observed "
        "set capped_mean_value = 0.9 * capped_mean_value "
        f"where cutoff_date = {TODAY}",
    ),
    # -- Alerts: segments and campaigns
    Fault(
        "segments_unstable",
        "every fifth customer leaves the segment without a purchase",
        "update customer_segments set previous_segment = '03_notable_loyal', "
        "segment_since = as_of_date, moved_by = 'inactivity' "
        f"where {SOME.format('customer_id', 5)} and moved_by is not null",
        world="update customer_segments set segment_since = as_of_date - 60, "
        "moved_by = 'purchase' where moved_by is not null",
    ),
    Fault(
        "vip_loss_high",
        "every fifth VIP is one no more, without a purchase",
        "update customer_segments set previous_segment = clv_segment, "
        "clv_segment = '06_valuable_repeater', "
        "segment_since = as_of_date, moved_by = 'inactivity' "
        f"where {SOME.format('customer_id', 5)} and clv_segment = '02_loyal_vip'",
        world="update customer_segments set segment_since = as_of_date - 60, "
        "moved_by = 'purchase', clv_segment = '02_loyal_vip' "
        "where moved_by is not null",
    ),
    Fault(
        "campaigns_over_budget",
        "a campaign costs ten times its plan",
        "update int_campaigns__members set cost_amount = 10 * cost_amount",
    ),
    Fault(
        "redemptions_above_plan",
        "everybody redeems",
        "update int_campaigns__members set is_redeemed = true",
    ),
]
