# Shared by build.sh and test.sh: the environments they run in. Source it, do not run it.

clv_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
    echo "$*" >&2
    exit 2
}

# The comment at the head of a script, which is its help.
usage() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//;/^set /!p;}' "$1"
}

absolute() {
    [[ "$1" == /* ]] && echo "$1" || echo "$PWD/$1"
}

# A Python that the lock supports, whatever its name.
find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
            2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "clv needs Python 3.11 or 3.12: none of python3.11, python3.12 and python3 is one."
}

# The uv installer: the one on PATH, else the one of scripts/uv_requirements.lock, fetched into
# .venv/uv with pip, which comes from the Python itself or from a throw-away environment.
find_uv() {
    local python="$1" own="$clv_root/.venv/uv" pip
    if command -v uv > /dev/null && uv --version > /dev/null 2>&1; then
        echo uv
        return
    fi
    if [[ ! -x "$own/bin/uv" ]]; then
        if "$python" -m pip --version > /dev/null 2>&1; then
            pip="$python"
        elif "$python" -m venv "$own/pip" > /dev/null 2>&1; then
            pip="$own/pip/bin/python"
        else
            rm -rf "$own"
            fail "clv installs itself with uv, or with pip or venv of $python to fetch it, and" \
                "finds none of them: install one (on Debian or Ubuntu: apt install python3-venv)."
        fi
        "$pip" -m pip install -qq --disable-pip-version-check --target "$own" \
            --require-hashes -r "$clv_root/scripts/uv_requirements.lock" >&2 \
            || fail "uv could not be fetched from PyPI: see the lines above."
    fi
    echo "$own/bin/uv"
}

# The vectors of the fits are too short to be shared out: threads of BLAS wait more than they work.
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"

# The certificates of the machine, as pip and curl use them; patience on slow lines.
export UV_NATIVE_TLS="${UV_NATIVE_TLS:-true}" UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}"

# The folder of an environment that Python reads .pth files from.
packages_of() {
    "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

# dbt, sqlfluff and the emulator keep nearly all objects that they make. Python looks for garbage
# after some hundred of them; after 100,000 dbt takes an eighth less time, and sqlfluff a quarter.
search_garbage_less() {
    echo 'import gc; gc.set_threshold(100_000)' > "$(packages_of "$1")/search_garbage_less.pth"
}

# dbt looks for the type of a target among the packages on its path: that of target bigquery is here.
find_adapter() {
    echo "$clv_root/scripts/adapter" > "$(packages_of "$1")/clv_adapter.pth"
}

# Make .venv hold exactly what requirements.lock says; nothing to do when it already does.
ensure_environment() {
    local lock="$clv_root/requirements.lock" venv="$clv_root/.venv" python uv
    if ! cmp -s "$lock" "$venv/installed.lock" || [[ ! -x "$venv/bin/dbt" ]]; then
        echo "Installing requirements.lock into .venv (a minute or two the first time)"
        python="$(find_python)"
        uv="$(find_uv "$python")"
        if [[ ! -x "$venv/bin/python" ]]; then
            "$uv" venv --quiet --allow-existing --python "$python" "$venv"
        fi
        "$uv" pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock" \
            || fail "requirements.lock could not be installed: see the lines above."
        search_garbage_less "$venv"
        find_adapter "$venv"
        cp "$lock" "$venv/installed.lock"
    fi
    # dbt starts in half the time once its modules are kept compiled.
    unset PYTHONDONTWRITEBYTECODE
    export PATH="$venv/bin:$PATH"
    export DBT_PROFILES_DIR="$clv_root" DO_NOT_TRACK=1 PYTHONUTF8=1
}

# A Python 3.13, which the emulator needs: on PATH, among pyenv's versions, or through uv, which
# installs one where there is none.
find_python_3_13() {
    local uv="$1" candidate
    for candidate in python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python3.13; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' \
            2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
    "$uv" python find --quiet --no-python-downloads 3.13 2> /dev/null && return
    "$uv" python install --quiet 3.13 2> /dev/null \
        && "$uv" python find --quiet --no-python-downloads 3.13 2> /dev/null
}

# Make .venv/emulator hold exactly what scripts/emulator_requirements.lock says; 1 where no
# Python 3.13 can be had. After ensure_environment.
ensure_emulator() {
    local lock="$clv_root/scripts/emulator_requirements.lock" venv="$clv_root/.venv/emulator"
    local python uv
    if cmp -s "$lock" "$venv/installed.lock" && [[ -x "$venv/bin/python" ]]; then
        return
    fi
    uv="$(find_uv "$(find_python)")"
    python="$(find_python_3_13 "$uv")" || return 1
    echo "Installing the emulator into .venv/emulator (half a gigabyte, the first time)"
    rm -rf "$venv"
    "$uv" venv --quiet --python "$python" "$venv" \
        && "$uv" pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock" \
        || fail "scripts/emulator_requirements.lock could not be installed: see the lines above."
    search_garbage_less "$venv"
    cp "$lock" "$venv/installed.lock"
}
