#!/usr/bin/env bash
# Run every check, two at a time, and stop when one fails.
#
# usage: scripts/test.sh [--all] [builds | sql | python]
#
#   --all    what CI runs: also the tests that build many times or simulate, every set of
#            variables through Google's analyzer, and builds on a local BigQuery
#            emulator, compared with DuckDB; takes several times as long
#   builds   these checks only: the demo, its second build, docs, rules; with --all the
#            builds on the emulator
#   sql      ruff, codespell, sqlfluff and Google's analyzer
#   python   pytest, on the demo
#   --help   this text
#
# Builds the demo into a scratch folder; warehouse.duckdb and target/ stay as they are. What is to
# be looked at (the page, how it looks, dbt's docs) is kept in the folder CLV_ARTIFACTS, if
# that is set.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

all=false part=everything
for option in "$@"; do
    case "$option" in
        --all) all=true ;;
        builds | sql | python) part="$option" ;;
        --help | -h) usage "${BASH_SOURCE[0]}" && exit ;;
        *) fail "There is no option $option: scripts/test.sh --help lists them." ;;
    esac
done

cd "$clv_root"
ensure_environment

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
unset CLV_TARGET
export CLV_DUCKDB_PATH="$scratch/warehouse.duckdb"
export DBT_LOG_PATH="$scratch/logs" DBT_TARGET_PATH="$scratch/target"
export DBT_LOG_LEVEL_FILE=none # a twelfth of a build's time, for a file that nobody would see
export DBT_BOUNCER_DISABLE_CONF_CACHE=1 # it would keep one at home for every scratch folder
export CLV_TEST_EMULATOR="$all"
python_files=(python_models scripts tests/python)

# gate NAME COMMAND...: run a command under a heading, and say how long it took.
gate() {
    local name="$1" start=$SECONDS
    shift
    echo "== $name"
    if ! "$@"; then
        echo "== FAILED after $((SECONDS - start)) s: $name" >&2
        exit 1
    fi
    echo "   $((SECONDS - start)) s"
}

lint_python() {
    ruff check --quiet "${python_files[@]}" && ruff format --quiet --check "${python_files[@]}"
}

# Beside a build: with a warehouse of its own, for DuckDB's has one writer.
lint_sql() {
    CLV_DUCKDB_PATH="$scratch/lint.duckdb" DBT_TARGET_PATH="$scratch/lint" \
        sqlfluff lint --disable-progress-bar models tests
}

# The JSON schemas behind dbt's deprecations are checked for BigQuery only. With the models of the overlay.
parse_for_bigquery() {
    dbt --quiet parse --no-partial-parse --target bigquery_offline \
        --vars '{clv_overlay: true, clv_text_model: x, clv_strata: [country]}' \
        --target-path "$scratch/overlay/target" --warn-error-options '{"error": ["Deprecations"]}'
}

# lint_manifest FOLDER: of FOLDER/target. Its table of 80 columns would have no room for what is wrong.
lint_manifest() {
    DBT_PROJECT_DIR="$1" COLUMNS=160 dbt-bouncer run > "$1/rules.log" 2>&1 \
        || { cat "$1/rules.log" && false; }
}

check_rules() {
    lint_manifest "$scratch" && lint_manifest "$scratch/overlay" \
        && python scripts/check_project.py --database "$CLV_DUCKDB_PATH"
}

# The copy keeps its name, which is the database that its views read.
build_demo() {
    scripts/build.sh --input seeds/demo \
        && mkdir "$scratch/first" \
        && cp "$CLV_DUCKDB_PATH" "$scratch/report.html" "$scratch/first/"
}

rebuild_and_compare() {
    { scripts/build.sh --fast > "$scratch/second.log" || { cat "$scratch/second.log" && false; }; } \
        && python scripts/compare_builds.py "$scratch/first/warehouse.duckdb" "$CLV_DUCKDB_PATH"
}

# side_by_side LANE LANE: two functions at once, for dbt hardly uses a second core. What the second
# prints comes when both are done.
side_by_side() {
    local other failed=false
    "$2" > "$scratch/$2.log" 2>&1 &
    other=$!
    ("$1") || failed=true
    wait "$other" || failed=true
    cat "$scratch/$2.log"
    if "$failed"; then exit 1; fi
}

# One page about every table and column, for those who have no dbt. It shows the pages of models/docs
# under #!/overview/NAME, where their links shall lead, too.
write_docs() {
    dbt --quiet docs generate --static --no-compile \
        && sed -i -E 's=\]\(([a-z_]+)\.md(#[a-z0-9_-]+)?\)=](#!/overview/\1)=g' \
            "$DBT_TARGET_PATH/static_index.html" \
        && keep "$DBT_TARGET_PATH/static_index.html" "$scratch/report.html"
}

keep() {
    [[ -z "${CLV_ARTIFACTS:-}" ]] || { mkdir -p "$CLV_ARTIFACTS" && cp "$@" "$CLV_ARTIFACTS/"; }
}

check_demo() {
    gate "dbt: the project parses for BigQuery, nothing deprecated" parse_for_bigquery
    gate "dbt: the demo builds and its tests pass" build_demo
}

check_builds() {
    check_demo
    gate "dbt: a second build changes no mart" rebuild_and_compare
    gate "dbt: the docs are one page" write_docs
    gate "project rules" check_rules
}

check_style() {
    gate "Python: ruff" lint_python
    gate "Spelling: codespell" codespell
    gate "SQL: sqlfluff" lint_sql
}

check_emulator() {
    gate "BigQuery: with every optional input the emulator gives the same marts" \
        python -m pytest tests/python/test_emulator.py
}

check_analyzer() {
    local variants=(--variant default)
    if "$all"; then variants=(); fi
    gate "BigQuery: every statement passes Google's analyzer" \
        python scripts/check_bigquery.py ${variants[@]+"${variants[@]}"}
}

# check_python OPTION...: pytest, with more of its options.
check_python() {
    local tests=(-m "not slow")
    if "$all"; then
        tests=()
        ensure_emulator || echo "No Python 3.13: the tests on the emulator are skipped." >&2
    fi
    CLV_TEST_DEMO="$scratch/first/warehouse.duckdb" gate "Python: pytest" \
        python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/python \
        ${tests[@]+"${tests[@]}"} "$@"
}

case "$part" in
    everything)
        side_by_side check_builds check_style
        side_by_side check_python check_analyzer
        ;;
    builds)
        check_builds
        if "$all"; then
            ensure_emulator && check_emulator
        fi
        ;;
    sql)
        side_by_side check_style check_analyzer
        ;;
    python)
        check_demo
        if "$all"; then
            check_python --ignore=tests/python/test_emulator.py # which is a part of builds
        else
            check_python
        fi
        ;;
esac
echo "All checks passed in $SECONDS s."
