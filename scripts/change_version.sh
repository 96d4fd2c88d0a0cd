#!/usr/bin/env bash
# Change by hand which model version serves customers, and update all marts.
#
# usage: scripts/change_version.sh CHANGE [VERSION] --reason TEXT [options]
#
#   rollback            withdraw the champion: the version that served before serves again
#   promote VERSION     make a version with current scores the champion
#   withdraw-canary     withdraw the canary: the champion serves its share again
#   pin VERSION         make a version the champion and keep it, whatever the gate decides
#   unpin               let the gate decide again
#
#   --reason TEXT    reason, kept in mart model_registry
#   --target NAME    output of profiles.yml; default: CLV_TARGET, else duckdb
#   --vars YAML      the variables of the last full run
#   --fast           no tests and no page
#   --help           this text
#
# An impossible change is refused and changes nothing. The marts follow with a daily run as of the
# day of the last run.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

change="" version="" reason="" target="${CLV_TARGET:-duckdb}" vars="" build_options=()
while (($#)); do
    case "$1" in
        --help | -h) usage "${BASH_SOURCE[0]}" && exit ;;
        --fast) build_options+=(--fast) && shift && continue ;;
        --reason | --target | --vars) ;;
        --*) fail "There is no option $1: scripts/change_version.sh --help lists them." ;;
        *)
            [[ -z "$version" ]] || fail "One change and one version at a time: $1 is too much."
            if [[ -z "$change" ]]; then change="$1"; else version="$1"; fi
            shift && continue
            ;;
    esac
    [[ -n "${2:-}" ]] || fail "$1 needs a value: scripts/change_version.sh --help says which."
    case "$1" in
        --reason) reason="$2" ;;
        --target) target="$2" ;;
        --vars) vars="$2" ;;
    esac
    shift 2
done

case "$change" in
    rollback) operation=rollback_model ;;
    promote | pin) operation="${change}_model" ;;
    withdraw-canary) operation=withdraw_canary ;;
    unpin) operation=unpin_model ;;
    *) fail "Say rollback, promote, withdraw-canary, pin or unpin: scripts/change_version.sh --help." ;;
esac
[[ -n "$reason" ]] || fail "Say why with --reason: it stays in the registry."
case "$change" in
    promote | pin) [[ -n "$version" ]] || fail "Name the version: mart model_registry lists them." ;;
    *) [[ -z "$version" ]] || fail "$change takes no version." ;;
esac

[[ -z "${CLV_DUCKDB_PATH:-}" ]] || CLV_DUCKDB_PATH="$(absolute "$CLV_DUCKDB_PATH")"
export CLV_DUCKDB_PATH="${CLV_DUCKDB_PATH:-$clv_root/warehouse.duckdb}"
cd "$clv_root"
ensure_environment
arguments="$(python -c 'import json, sys; print(json.dumps(
    {k: v for k, v in zip(("reason", "version"), sys.argv[1:]) if v}))' "$reason" "$version")"
said="$(dbt --no-use-colors run-operation "$operation" --target "$target" --args "$arguments" \
    --vars "${vars:-"{}"}")" || {
    grep -E '^ +clv: ' <<< "$said" >&2 || echo "$said" >&2
    exit 1
}
grep -oE 'clv: .*' <<< "$said"
as_of="$(sed -nE 's/.*--run daily_scoring --as-of ([0-9-]+).*/\1/p' <<< "$said")"
[[ -z "$vars" ]] || build_options+=(--vars "$vars")
exec scripts/build.sh --target "$target" --run daily_scoring --as-of "$as_of" \
    ${build_options[@]+"${build_options[@]}"}
