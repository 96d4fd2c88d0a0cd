"""README and docs: links lead somewhere, queries run, commands and numbers exist.

Queries and numbers are checked on the demo that scripts/test.sh has built.
"""

import importlib
import itertools
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest
import yaml
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import document_variables
from googlesql import GoogleSql

DOCS = ROOT / "models" / "docs"
PAGES = sorted(path for path in DOCS.glob("*.md") if path.stem != "columns")
README, RUNBOOKS = ROOT / "README.md", ROOT / "models" / "runbooks.md"
GITHUB = sorted(
    path for path in [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md")]
)
EVERYTHING = [*GITHUB, *PAGES, RUNBOOKS, ROOT / "scripts" / "README.md"]
# What a CHANGELOG names may be gone.
CURRENT = [path for path in EVERYTHING if path.stem not in ("CHANGELOG", "decisions")]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
# Types of DuckDB, as BigQuery calls them.
GOOGLES = {"VARCHAR": "STRING", "DOUBLE": "FLOAT64", "DECIMAL": "NUMERIC"}
GOOGLES |= {"INTEGER": "INT64", "BIGINT": "INT64", "BOOLEAN": "BOOL"}
GOOGLES |= {"TIMESTAMP WITH TIME ZONE": "TIMESTAMP"}
TOPS = "models|macros|seeds|tests|scripts|python_models|.github"
PATH = re.compile(rf"`((?:{TOPS.replace('.', '[.]')})/[\w./-]*)`")
COMMAND = re.compile(r"scripts/(\w+)\.(py|sh)\b([^`|&\n]*)")
OPTION = re.compile(r"(?<=\s)--[a-z][a-z-]*")


def name(path):
    return path.relative_to(ROOT).as_posix()


each = pytest.mark.parametrize("page", EVERYTHING, ids=name)


def fences(page, *languages):
    return [
        block for kind, block in FENCE.findall(page.read_text()) if kind in languages
    ]


def prose(page):
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))


def anchors(page):
    """The anchors that GitHub gives to headings."""
    titles = HEADING.findall(FENCE.sub("", page.read_text()))
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
        for title in titles
    }


def models(folder):
    return {path.stem for path in ROOT.glob(f"{folder}/**/*.sql")} | {
        path.stem for path in ROOT.glob(f"python_{folder}/**/*.py")
    }


def macros():
    return {
        found
        for path in ROOT.glob("macros/**/*.sql")
        for found in re.findall(r"\{% macro (\w+)", path.read_text())
    }


@pytest.fixture(scope="module")
def demo():
    """The demo as scripts/test.sh has built it, or as it stands in the project."""
    database = Path(os.environ.get("CLV_TEST_DEMO") or ROOT / "warehouse.duckdb")
    if not database.exists():
        pytest.skip("no built demo: run scripts/build.sh first")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{database}' as warehouse (read_only)")
        connection.execute("use warehouse")
        yield connection


# -- Where things are


def test_the_readme_is_read_in_minutes():
    assert len(README.read_text().splitlines()) <= 150


@each
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"https?:|mailto:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", CURRENT, ids=name)
def test_paths_that_are_named_are_there(page):
    for path in PATH.findall(page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_is_one_page_of_dbt_docs_too(page):
    """Dbt docs show a block __NAME__ under #!/overview/NAME."""
    text = page.read_text()
    assert text.startswith(f"{{% docs __{page.stem}__ %}}\n\n# ")
    assert text.endswith("\n\n{% enddocs %}\n")
    assert len(re.findall(r"\{[{%#]", text)) == 2
    if page.stem != "overview":
        assert f"]({page.name})" in (DOCS / "overview.md").read_text()
        assert f"](models/docs/{page.name})" in README.read_text()


@pytest.mark.parametrize("page", EVERYTHING, ids=name)
def test_customers_are_they_and_numbers_do_not_travel(page):
    words = r"\b(she|her|hers|came|brought|shipped)\b"
    assert re.findall(words, prose(page), re.IGNORECASE) == []


def test_neither_do_they_in_code_messages_and_names_of_tests():
    kinds = ("sql", "yml", "py", "sh", "csv", "jinja", "js", "css")
    words = re.compile(r"(?<![a-z])(she|her|hers|came|brought|shipped)(?![a-z])")
    # Columns of state as older versions named them.
    former = re.compile(r"is_shipped|shipped_rows")
    for folder in ("models", "macros", "python_models", "scripts", "seeds", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix.lstrip(".") in kinds and path != Path(__file__):
                text = former.sub("", path.read_text(errors="replace"))
                assert words.findall(text.lower()) == [], path


# -- What is named


def test_the_marts_are_listed():
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "marts.md").read_text(), re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == models("models/marts")
    named = re.findall(r"^\| `(\w+)` \|", README.read_text(), re.M)
    assert set(named) <= set(listed)


@pytest.mark.parametrize("page", CURRENT, ids=name)
def test_names_of_the_project_are_its_names(page):
    """Variables, models, columns, schemas: what begins like one is one."""
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())
    known = {*project["vars"], *models("models")}
    known |= {path.stem for path in ROOT.glob("seeds/**/*.csv")} | macros()
    for path in ROOT.glob("*models/**/*.yml"):
        known |= set(re.findall(r"\bname: (\w+)", path.read_text()))
    known |= {f"clv_{each}" for each in ("smoke", "staging", "intermediate", "export")}
    known |= {"clv_raw", "clv_state", "clv_H", "clv_bigquery", "clv_reference"}
    known |= {"clv_mapped"}
    for code in re.findall(r"`([^`\n]+)`", page.read_text()):
        for word in re.findall(r"(?<![\w/.-])(?:clv|stg|int|export)_\w+", code):
            is_part = word.endswith("_") or f"{word}.py" in code
            assert word in known or is_part, word


def help_of(script, kind, capsys):
    if kind == "sh":
        command = ["bash", ROOT / "scripts" / f"{script}.sh", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout
    with pytest.raises(SystemExit):
        importlib.import_module(script).main(["--help"])
    return capsys.readouterr().out


@each
def test_commands_are_there_with_their_options(page, capsys):
    wanted = {}
    for script, kind, rest in COMMAND.findall(page.read_text().replace("\\\n", " ")):
        path = ROOT / "scripts" / f"{script}.{kind}"
        assert path.exists() or page.stem == "CHANGELOG", path
        if path.exists():
            wanted.setdefault((script, kind), set()).update(OPTION.findall(rest))
    if page.stem == "CHANGELOG":
        return
    for (script, kind), options in wanted.items():
        if options:
            assert options <= set(
                re.findall(r"--[a-z][a-z-]*", help_of(script, kind, capsys))
            )
    assert set(re.findall(r"run-operation (\w+)", page.read_text())) <= macros()


def test_the_diagram_is_the_folders():
    (diagram,) = fences(DOCS / "concepts.md", "mermaid")
    drawn = set()
    for line in diagram.splitlines()[1:]:
        rooms = re.findall(r"(\w+)(?:\[\(.*?\)\])?(?: -->|$)", line.strip())
        drawn |= set(itertools.pairwise(rooms))
    rooms = {}
    for path in [*ROOT.glob("models/**/*.sql"), *ROOT.glob("python_models/**/*.py")]:
        _, room, *below = path.relative_to(ROOT).parts[:-1]
        rooms[path] = below[0] if room == "intermediate" else room
    by_model = {path.stem: room for path, room in rooms.items()}
    read = {
        (by_model.get(each), room)
        for path, room in rooms.items()
        for each in re.findall(r"\bref\(['\"](\w+)['\"]", path.read_text())
    }
    outside = {pair for pair in drawn if pair[0] in ("clv_raw", "clv_state")}
    assert drawn - outside <= read
    assert {room for pair in drawn for room in pair} == {
        *by_model.values(),
        *("clv_raw", "clv_state"),
    }


def test_the_cases_of_refunds_are_tested():
    tests = "\n".join(path.read_text() for path in ROOT.glob("models/**/*.yml"))
    for row in re.findall(
        r"^\| .*\| ([^|]*) \|$", (DOCS / "refunds.md").read_text(), re.M
    ):
        for test in re.findall(r"`(\w+)`", row):
            assert f"- name: {test}\n" in tests, test


# -- What runs


def queries(page):
    """The statements of a page: blocks of SQL, and in runbooks what is indented."""
    yield from fences(page, "sql")
    if page == RUNBOOKS:
        for block in INDENTED.findall(page.read_text()):
            code = textwrap.dedent(block)
            statements = re.split(r"^(?=select )", code, flags=re.MULTILINE)
            yield from (each for each in statements if each.startswith("select "))


QUERIES = [(page, query) for page in EVERYTHING for query in queries(page)]


def test_every_page_of_results_has_queries():
    pages = {page.stem for page, _ in QUERIES}
    assert {"README", "quickstart", "marts", "accuracy", "runbooks"} <= pages
    assert len([page for page, _ in QUERIES if page == RUNBOOKS]) >= 10


@pytest.mark.parametrize(
    ("page", "query"),
    QUERIES,
    ids=[f"{page.stem}-{i}" for i, (page, _) in enumerate(QUERIES)],
)
def test_queries_run_on_the_demo(demo, page, query):
    demo.execute(query).fetchall()


def test_queries_pass_googles_analyzer(demo):
    google = GoogleSql()
    for schema, table, column, kind in demo.execute(
        "select table_schema, table_name, column_name, data_type "
        "from information_schema.columns where table_catalog = 'warehouse'"
    ).fetchall():
        name, kind = f"{schema}.{table}", kind.partition("(")[0]
        google.tables.setdefault(name, {})[column] = GOOGLES.get(kind, kind)
    for _, query in QUERIES:
        if "score_history" not in query:  # a function, which is not in this catalog
            google.analyze(query)


def test_the_variables_are_those_of_the_project():
    written = document_variables.page((ROOT / "dbt_project.yml").read_text())
    told = "run scripts/document_variables.py"
    assert (DOCS / "variables.md").read_text() == written, told


def test_the_summary_in_the_readme_is_printed(demo, capsys):
    (block,) = fences(README, "text")
    (database,) = demo.execute(
        "select path from duckdb_databases() where database_name = 'warehouse'"
    ).fetchone()
    importlib.import_module("summarize").main(["--database", database])
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in block.splitlines() if line not in printed] == []


def test_the_accuracy_in_the_readme_is_printed(demo, capsys):
    (database,) = demo.execute(
        "select path from duckdb_databases() where database_name = 'warehouse'"
    ).fetchone()
    assert (
        importlib.import_module("compare_accuracy").main(["--database", database]) == 0
    )
    assert capsys.readouterr().out in README.read_text(), (
        "run scripts/compare_accuracy.py"
    )


# -- What is written in a table, a block of YAML or an argument


def rows_of(page, start):
    """Cells of the rows of a page's tables that begin with a text."""
    lines = re.findall(rf"^\| ({start}.*) \|$", page.read_text(), re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def number(cell):
    """12.4, .678 or −24.1 %, as a number and its last digit."""
    plain = cell.replace("−", "-").removesuffix("%").strip()
    scale = 100 if cell.endswith("%") else 1
    return float(plain) / scale, 0.51 * 10 ** -len(plain.partition(".")[2]) / scale


def test_the_gain_by_corrections_is_that_of_the_demo(demo):
    told = rows_of(DOCS / "accuracy.md", r"\d+ days from [\d-]+ \|.*→")
    assert len(told) == 5
    for window, *cells in told:
        days, _, _, cutoff = window.split()
        found = demo.execute(
            "select mae, rmse, bias, normalised_gini from clv.model_backtest "
            "where group_type = 'all' and cutoff_date = ? and horizon_days = ? "
            "and (method = 'purchase_model' or coverage_80 is not null) "
            "order by method = 'purchase_model' desc",
            [cutoff, int(days)],
        ).fetchall()
        for cell, without, corrected in zip(cells, *found, strict=True):
            for written, value in zip(
                cell.split("→"), (without, corrected), strict=True
            ):
                given, unit = number(written.strip())
                assert abs(given - value) <= unit, (window, written, value)


def test_the_coverage_of_ranges_is_that_of_the_demo(demo):
    (cells,) = rows_of(DOCS / "accuracy.md", r"[\d.]+ to [\d.]+ % \|")
    found = demo.execute(
        "select min(coverage_80), max(coverage_80) from clv.model_backtest "
        "where group_type = 'all' and coverage_80 is not null "
        "group by horizon_days order by horizon_days"
    ).fetchall()
    for cell, (lowest, highest) in zip(cells, found, strict=True):
        ends = cell.removesuffix("%").split("to")
        for written, value in ((ends[0], lowest), (ends[-1], highest)):
            given, unit = number(f"{written.strip()} %")
            assert abs(given - value) <= unit, (cell, value)


def test_the_value_of_a_life_is_that_of_the_demo(demo):
    text = (DOCS / "accuracy.md").read_text()
    told = re.findall(r"([\d.]+) times `clv_365d` .*?, and ([\d.]+) times", text)
    (query,) = [each for _, each in QUERIES if "as three_years" in each]
    (found,) = demo.execute(query).fetchall()
    assert [tuple(f"{each:.1f}" for each in found)] == told


def test_variables_and_runs_that_are_given_are_known():
    project = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    runs = yaml.safe_load((ROOT / "selectors.yml").read_text())["selectors"]
    for page in CURRENT:
        text = page.read_text()
        given = [yaml.safe_load(block) or {} for block in fences(page, "yaml")]
        given = [block["vars"] for block in given if "vars" in block]
        given += map(yaml.safe_load, re.findall(r"--vars '(.*?)'", text))
        for block in given:
            assert set(block) <= set(project), (page, block)
            for inputs in ("clv_input_tables", "clv_input_columns"):
                assert set(block.get(inputs, {})) <= set(project["clv_input_tables"])
        named = set(re.findall(r"--run ([a-z]\w+)", text))
        assert named <= {each["name"] for each in runs} | {"all"}, page


def test_tests_that_are_named_by_a_word_are_there():
    for page in CURRENT:
        for file, word in re.findall(
            r"pytest (?:-s )?(tests/\S+\.py) -k (\w+)", page.read_text()
        ):
            assert re.search(rf"^def test_\w*{word}", (ROOT / file).read_text(), re.M)


def test_metrics_that_are_asked_for_are_defined():
    defined = yaml.safe_load((ROOT / "models/marts/_bi__models.yml").read_text())
    metrics = {each["name"] for each in defined["metrics"]}
    text = (DOCS / "ecosystem.md").read_text()
    for asked in re.findall(r"--metrics (\S+)", text):
        assert set(asked.split(",")) <= metrics
    words = {"Eleven": 11, "four": 4}
    told = re.search(r"(\w+) metrics .*?and (\w+) semantic models", text, re.DOTALL)
    counted = (len(metrics), len(defined["semantic_models"]))
    assert tuple(words[each] for each in told.groups()) == counted


def test_versions_that_are_named_are_locked():
    text = (DOCS / "ecosystem.md").read_text()
    locked = dict(
        re.findall(
            r"^([\w-]+)==(\d+\.\d+)", (ROOT / "requirements.lock").read_text(), re.M
        )
    )
    assert f"dbt Core {locked['dbt-core']}, locked" in text
    assert f"DuckDB {locked['duckdb']}." in text
    assert f"dbt-duckdb {locked['dbt-duckdb']} " in text
