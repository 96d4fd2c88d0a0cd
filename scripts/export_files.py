"""Files for any tool that reads a folder, and lists for Customer Match of Google Ads.

A run writes into a folder that is hidden until all of it is there, manifest included. A
kill leaves nothing that looks whole, and the next run clears it away. What readers did
with a file is not known here: a row has arrived when its folder can be seen.
"""

import csv
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import duckdb
import export_transports as transports
from export_transports import ACTIVE, COLUMNS, GONE, KEY, Outcome, Row
from export_warehouse import LIMITS, PLAIN

KINDS = {"Text": "varchar", "Number": "bigint", "Boolean": "boolean"}
READERS = {"parquet": "read_parquet({path})"}
READERS["csv"] = f"read_csv({{path}}, columns = {{kinds}}, header = true, {PLAIN})"
WRITERS = {"csv": "format csv, header, force_quote *", "parquet": "format parquet"}


def quoted(text: object) -> str:
    """Return a text as SQL has it."""
    return "'" + str(text).replace("'", "''") + "'"


class Files(transports.Transport):
    """A folder for each run, with a file of all columns."""

    max_rows = 5_000  # at once, to save memory
    is_keyed, is_read_back = True, False
    schema = tuple((column.name, KINDS[column.kind]) for column in COLUMNS)

    def __init__(self, settings: Any, key_length: int = KEY.length):
        super().__init__(settings, key_length)
        self.folder = Path(transports.setting("CLV_EXPORT_FOLDER"), settings.target)
        form = "|".join(WRITERS)
        self.format = transports.setting("CLV_EXPORT_FORMAT", "csv", form)
        self.draft: Path | None = None
        self.files: dict[str, TextIO] = {}
        self.counts: Counter[str] = Counter()

    def login(self) -> None:
        """Make the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"CLV_EXPORT_FOLDER cannot be written: {type(error).__name__}"
            raise transports.ConfigError(text) from None

    def check(self, create: bool = False) -> list[str]:
        return []  # every run brings its own columns

    def held(self) -> tuple[None, int]:
        """Return that nobody knows what readers hold, and the latest run here."""
        runs = (path.name[4:] for path in self.folder.glob("run-*"))
        return None, max((int(run) for run in runs if run.isdecimal()), default=0)

    @staticmethod
    def encode(row: Row) -> bytes:
        return b""  # rows are encoded together

    def shape(self, rows: list[Row]) -> tuple[str, list[list]]:
        """Return the name of the file that rows of one kind are in, and their cells."""
        cells = [[row[column.name] for column in COLUMNS[:-1]] for row in rows]
        flags = (str(row[ACTIVE.name]).lower() for row in rows)
        return "rows", [[*row, flag] for row, flag in zip(cells, flags, strict=True)]

    def send(self, rows: list[Row], note: Callable[[str], None]) -> list[Outcome]:
        """Add rows to a file of this run."""
        self.beat()
        if not self.draft:
            for left in self.folder.glob(".run-*"):
                shutil.rmtree(left)
            self.draft = Path(tempfile.mkdtemp(prefix=".run-", dir=self.folder))
        name, cells = self.shape(rows)
        if name not in self.files:
            path = self.draft / f"{name}.csv"
            self.files[name] = path.open("w", encoding="utf-8", newline="")
            cells.insert(0, [*dict(self.schema)])
        csv.writer(self.files[name], "unix").writerows(cells)
        self.counts[name] += len(rows)
        return [Outcome(True)] * len(rows)

    def finish(self, about: Row) -> None:
        """Show the files of this run, whole."""
        counts = {}
        for name, file in self.files.items():
            file.close()
            path = self.draft / f"{name}.{self.format}"
            if self.format != "csv":
                self.rewrite(Path(file.name), path)
                os.remove(file.name)
            counts[path.name] = self.counts[name]
        self.seal(self.draft, about, counts)
        self.beat()
        self.draft.chmod(0o750)
        self.draft.rename(self.folder / f"run-{about['run_number']:06d}")

    def rewrite(self, path: Path, to: Path, which: str = "true") -> int:
        """Write rows of a file to another, each of its kind; return their number."""
        reader, options = READERS[path.suffix[1:]], WRITERS[to.suffix[1:]]
        source = reader.format(path=quoted(path), kinds=dict(self.schema))
        with duckdb.connect(config=LIMITS) as scratch:
            copy = f"copy (from {source} where {which}) to {quoted(to)} ({options})"
            return scratch.execute(copy).fetchone()[0]

    def seal(self, folder: Path, about: Row, counts: dict[str, int]) -> None:
        """Write the manifest, which says what there is and how to see that it is so."""
        files = []
        for name, rows in sorted(counts.items()):
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file)
            files.append({"name": name, "rows": rows, "sha256": digest})
        about |= {"columns": [*dict(self.schema)], "files": files}
        draft = folder / ".manifest"
        draft.write_text(json.dumps(about, indent=2))
        draft.replace(folder / "manifest.json")

    def delete(self, keys: list[str]) -> list[str]:
        """Take keys out of files that are here still, and tell readers to."""
        which = f'"{self.schema[0][0]}" not in ({", ".join(map(quoted, keys))})'
        for manifest in self.folder.glob("run-*/manifest.json"):
            about, counts = json.loads(manifest.read_text()), {}
            for told in about["files"]:
                path = manifest.with_name(told["name"])
                draft = path.with_name(f".draft{path.suffix}")
                counts[path.name] = self.rewrite(path, draft, which)
                draft.replace(path)
            self.seal(manifest.parent, about, counts)
        blank = {c.name: 0 if c.kind == "Number" else "" for c in COLUMNS} | GONE
        self.send([blank | {KEY.name: key} for key in keys], print)
        return []


class GoogleAds(Files):
    """Two lists by user id: whom to add, with their value, and whom to remove."""

    schema = (("User ID", "varchar"), ("clv", "varchar"))

    def shape(self, rows: list[Row]) -> tuple[str, list[list]]:
        # Of a band its lower end.
        values = [re.match(r"-?\d*", row["clv_365d"]).group() for row in rows]
        name = "add" if rows[0]["op"] == "upsert" else "remove"
        return name, [[r[KEY.name], v] for r, v in zip(rows, values, strict=True)]
