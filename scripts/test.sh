#!/usr/bin/env bash
# Run every check, two or three at a time, and stop when one fails.
#
# usage: scripts/test.sh [--all] [builds | sql | python]
#
#   --all    what CI runs: also sqlfluff on all SQL, not on what has changed alone, the
#            tests that build many times or simulate, every set of variables through
#            Google's analyzer, and builds on a local BigQuery emulator, compared with
#            DuckDB; takes several times as long
#   builds   these checks only: the demo, unit tests, its second build, docs, rules; with --all the
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
        touch "$scratch/failed"
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
    local path paths=()
    while IFS= read -r path; do
        paths+=("$path")
    done < <("$all" && printf '%s\n' models tests || changed_sql)
    [[ ${#paths[@]} -gt 0 ]] || { echo "no SQL has changed" && return; }
    CLV_DUCKDB_PATH="$scratch/lint.duckdb" DBT_TARGET_PATH="$scratch/lint" \
        sqlfluff lint --disable-progress-bar "${paths[@]}"
}

# The models and tests that differ from those of origin/main, or of the commit before where there
# is none; all of them where a macro or a setting differs, or nobody knows what does.
changed_sql() {
    local base changed
    if ! { base="$(git merge-base HEAD origin/main || git rev-parse HEAD^)" \
        && changed="$(git diff --name-only --diff-filter=d "$base" -- \
            && git ls-files --others --exclude-standard)"; } 2> /dev/null \
        || grep -qE '^(macros/|\.sqlfluff|dbt_project\.yml|requirements\.lock)' <<< "$changed"; then
        printf '%s\n' models tests
    else
        grep -E '^(models|tests)/.*\.sql$' <<< "$changed" || true
    fi
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

run_unit_tests() {
    dbt --quiet test --select test_type:unit
}

rebuild_and_compare() {
    { scripts/build.sh --fast > "$scratch/second.log" || { cat "$scratch/second.log" && false; }; } \
        && python scripts/compare_builds.py "$scratch/first/warehouse.duckdb" "$CLV_DUCKDB_PATH"
}

# side_by_side LANE LANE: two functions at once, for dbt hardly uses a second core. What the second
# prints comes when both are done, or when it fails.
side_by_side() {
    local other failed=false
    { ("$2") > "$scratch/$2.log" 2>&1 || { cat "$scratch/$2.log" && exit 1; }; } &
    other=$!
    ("$1") || failed=true
    wait "$other" && cat "$scratch/$2.log" || failed=true
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
    gate "dbt: unit tests" run_unit_tests
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

# check_python OPTION...: pytest, with more of its options. In places of its own, beside a build.
check_python() {
    local tests=(-m "not slow")
    if "$all"; then
        tests=()
        ensure_emulator || echo "No Python 3.13: the tests on the emulator are skipped." >&2
    fi
    mkdir "$scratch/tests"
    # The file keeps its name, which is the database of a project that was read once.
    CLV_TEST_DEMO="$scratch/first/warehouse.duckdb" CLV_DUCKDB_PATH="$scratch/tests/warehouse.duckdb" \
        DBT_TARGET_PATH="$scratch/tests" DBT_LOG_PATH="$scratch/tests" gate "Python: pytest" \
        python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/python \
        ${tests[@]+"${tests[@]}"} "$@"
}

# The demo, then what looks at it; beside it what needs none, then what builds on it: no core waits.
check_demo_first() {
    trap 'touch "$scratch/demo_ended"' EXIT
    check_demo
    touch "$scratch/demo_ended"
    [[ ! -e "$scratch/failed" ]] || exit 1
    check_python
}

check_beside() {
    check_style
    check_analyzer
    until [[ -e "$scratch/demo_ended" ]]; do sleep 1; done
    [[ ! -e "$scratch/first/report.html" ]] || check_builds
}

case "$part" in
    everything)
        side_by_side check_demo_first check_beside
        ;;
    builds)
        check_demo
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
