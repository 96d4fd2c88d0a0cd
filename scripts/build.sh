#!/usr/bin/env bash
# Build the project: load the input, run every seed, model and data test, write the page,
# sum up. Unit tests, of the code, are not run: scripts/test.sh does.
#
# usage: scripts/build.sh [options]
#
#   --input PATH     load yours first: a file of transactions, or a folder of them and, if
#                    you have them, customers, identities, events, ad_spend,
#                    campaign_assignments, consents, customer_status (.parquet, .csv, .xlsx,
#                    ...); default: what is loaded, and where nothing is yet, the demo
#   --demo [NAME]    load a demo first: retail, the default, the CDNOW orders in seeds/demo, or
#                    airline, a simulated frequent-flyer programme, with its variables
#   --columns PAIRS  what your columns are called: user_id=CustomerID,ts=InvoiceDate
#   --dates ORDER    day-first or month-first, where your file does not settle it
#   --decimal SIGN   comma or point, where your file does not settle it
#   --run KIND       monthly_refit: everything, the default; weekly_backtest: everything,
#                    scored by the champion; daily_scoring: as of a given date, without
#                    a fit, on history that only the last months are added to
#   --as-of DATE     every number is as of this day; default: the last transaction's
#   --value KIND     margin, revenue, or none for visits without a price
#   --vars YAML      other variables of dbt_project.yml, e.g. '{clv_strata: [country]}'
#   --full-refresh   rebuild incremental tables from nothing
#   --fast           no tests and no page
#   --empty          for target bigquery: every statement and every test, but of no rows, into
#                    datasets of their own (clv_smoke, ...): rights and planner for cents
#   --target NAME    output of profiles.yml; default: CLV_TARGET, else duckdb
#   --daily N        for target emulator: N daily runs after one build, the last again, on both
#   --help           this text
#
# The page is report.html here, or beside the file CLV_DUCKDB_PATH. It is written whatever alert
# rings; where some table could not be built, the page of the last build stays.
#
# On DuckDB the tables go to the file CLV_DUCKDB_PATH, default warehouse.duckdb here. On
# BigQuery the inputs are tables of the warehouse and nothing is loaded. Target emulator
# starts a BigQuery emulator on this machine, loads the input, builds twice, compares
# every mart with DuckDB's and stops it again: a proof, which leaves no tables. It needs
# a Python 3.13, and fetches one with uv; without, it is skipped, or fails where CI=true.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

input="" demo="" run="" as_of="" value="" vars="" daily="" target="${CLV_TARGET:-duckdb}"
dbt_options=() load_options=() reading=() page=true empty=false
while (($#)); do
    case "$1" in
        --help | -h) usage "${BASH_SOURCE[0]}" && exit ;;
        --full-refresh) dbt_options+=(--full-refresh) && shift && continue ;;
        --fast)
            dbt_options+=(--exclude-resource-type test)
            page=false
            shift && continue
            ;;
        --empty)
            dbt_options+=(--empty)
            empty=true page=false
            shift && continue
            ;;
        --demo)
            demo=retail
            if [[ "${2:-}" =~ ^[a-z] ]]; then demo="$2" && shift; fi
            [[ "$demo" == retail || "$demo" == airline ]] \
                || fail "There is no demo $demo: retail and airline are."
            load_options=(--demo "$demo")
            shift && continue
            ;;
        --columns | --dates | --decimal) ;;
        --input | --run | --as-of | --value | --vars | --target | --daily) ;;
        *) fail "There is no option $1: scripts/build.sh --help lists them." ;;
    esac
    [[ -n "${2:-}" ]] || fail "$1 needs a value: scripts/build.sh --help says which."
    case "$1" in
        --input) input="$2" ;;
        --columns | --dates | --decimal) reading+=("$1" "$2") ;;
        --run) run="$2" ;;
        --as-of) as_of="$2" ;;
        --value) value="$2" ;;
        --vars) vars="$2" ;;
        --target) target="$2" ;;
        --daily) daily="$2" ;;
    esac
    shift 2
done

# Paths count from where the caller stands; everything after runs in the project.
database="$(absolute "${CLV_DUCKDB_PATH:-$clv_root/warehouse.duckdb}")"
[[ -z "$input" || ${#load_options[@]} == 0 ]] || fail "Say either --input or --demo."
[[ -n "$input" || ${#reading[@]} == 0 ]] \
    || fail "--columns, --dates and --decimal say how to read a file: name it with --input."
[[ -z "$input" ]] || input="$(absolute "$input")"
export CLV_DUCKDB_PATH="$database"
cd "$clv_root"
ensure_environment

case "$run" in
    "") kind="" ;;
    monthly_refit | weekly_backtest) kind=full dbt_options+=(--selector "$run") ;;
    daily_scoring) kind=daily dbt_options+=(--selector "$run") ;;
    *) fail "There is no run $run: scripts/build.sh --help lists them." ;;
esac
vars="$(python scripts/merge_vars.py --vars "$vars" --as-of "$as_of" --value "$value" --run "$kind")"

if "$empty"; then
    [[ "$target" == bigquery ]] || fail "--empty is for target bigquery only."
    dataset="${CLV_BIGQUERY_DATASET:-clv}"
    vars="$(python scripts/merge_vars.py --vars "$vars" --inputs "${dataset}_raw")"
    export CLV_BIGQUERY_DATASET="${dataset}_smoke"
fi

if [[ "$target" == emulator ]]; then
    [[ "$demo" != airline ]] \
        || fail "Target emulator builds the retail demo, or --input: scripts/simulate_airline.py writes the airline's."
    if ! ensure_emulator; then
        missing="the BigQuery emulator needs Python 3.13, and none was found or could be installed"
        [[ "${CI:-}" != true ]] || fail "Emulator: $missing."
        echo "!!! SKIPPED: $missing. Nothing was checked. !!!"
        exit
    fi
    value="$(python scripts/merge_vars.py --vars "$vars" --get clv_value)"
    options=(--input "${input:-seeds/demo}" --vars "$vars" --value "$value")
    options+=(${reading[@]+"${reading[@]}"})
    [[ -z "$daily" ]] || options+=(--daily "$daily")
    [[ " ${dbt_options[*]-} " != *" test "* ]] || options+=(--fast)
    exec python scripts/build_emulator.py --server "$clv_root/.venv/emulator/bin/python" "${options[@]}"
fi
[[ -z "$daily" ]] || fail "--daily is for target emulator only."

# The table that is read, where it is not the one that is loaded into.
[[ -z "$input" ]] || load_options=(--input "$input" ${reading[@]+"${reading[@]}"})
table="$(python scripts/merge_vars.py --vars "$vars" --table-of "$target")"
if [[ "$target" == duckdb && "$table" == clv_raw.transactions ]]; then
    mkdir -p "$(dirname "$database")"
    value="$(python scripts/merge_vars.py --vars "$vars" --get clv_value)"
    loaded="$(python scripts/load_input.py --value "$value" ${load_options[@]+"${load_options[@]}"})"
    echo "$loaded"
    # Its variables go with it, in later runs too: they say what it is.
    [[ "$loaded" != "Reads the airline demo"* ]] \
        || vars="$(python scripts/merge_vars.py --vars "$vars" --demo airline)"
elif ((${#load_options[@]})); then
    fail "--input and --demo load DuckDB's clv_raw.transactions: target $target reads table $table."
else
    echo "Reads table $table"
fi

# Every fault, and what the checks say; the log keeps all.
echo "Building: the log of it is ${DBT_LOG_PATH:-logs}/dbt.log"
quiet=' START (sql|seed|snapshot|test|unit_test|hook)| PASS | SKIP (test|unit_test|relation|exposure)|^[0-9:]+ *$'
quiet+='| OK (created|loaded|hook:|snapshotted)|NO-OP exposure|^[0-9:]+ +(Running with|Registered|Unable to do|Found [0-9]|Concurrency)'
results="${DBT_TARGET_PATH:-target}/run_results.json" built=true
rm -f "$results"
dbt --no-use-colors build --target "$target" --vars "$vars" --exclude-resource-type unit_test \
    ${dbt_options[@]+"${dbt_options[@]}"} \
    | grep --line-buffered -vE "$quiet" \
    || built=false
failure="The build failed: the lines above say where, ${DBT_LOG_PATH:-logs}/dbt.log all."

# Whether all tables are of this run: a test failed that nothing waits for, such as that of alerts.
tables_are_whole() {
    python - "$results" << 'END'
import json, pathlib, sys

results = pathlib.Path(sys.argv[1])
found = json.loads(results.read_text())["results"] if results.exists() else []
tables = ("seed.", "model.", "snapshot.")
states = {each["status"] for each in found if each["unique_id"].startswith(tables)}
sys.exit(states != {"success"})
END
}

"$built" || tables_are_whole || fail "$failure The page is that of the last build."
if [[ "$target" == duckdb ]]; then
    python scripts/summarize.py --database "$database" --vars "$vars"
fi
if "$page"; then
    output="$clv_root"
    [[ "$target" != duckdb ]] || output="$(dirname "$database")"
    python scripts/report.py --target "$target" --vars "$vars" --output "$output/report.html"
fi
"$built" || fail "$failure All tables are of this run."
