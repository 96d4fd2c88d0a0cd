"""Create BigQuery datasets and grant the access of access.yml, or list what is missing.

usage: grant_access.py --project NAME [--dataset clv] [--location EU] [--apply]
                       [--build MEMBER] [--export MEMBER] [--bi MEMBER]
                       [--audience MEMBER]

MEMBER is as in IAM: serviceAccount:NAME@PROJECT.iam.gserviceaccount.com, user:ADDRESS
or group:ADDRESS; one account may be several. Run it as an owner of the project and of
the inputs before the first build, and again when inputs or accounts come. It only adds,
and without --apply changes nothing. Roles on the project are printed as commands.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
ROLES = {"reader": "READER", "editor": "WRITER", "owner": "OWNER"}
VIEWER = "roles/bigquery.dataViewer"
KINDS = {
    "user": "userByEmail",
    "serviceAccount": "userByEmail",
    "group": "groupByEmail",
}
RANKS = ("reader", "editor", "owner")


def listed() -> dict[str, Any]:
    """Return scripts/access.yml."""
    return yaml.safe_load((PROJECT / "scripts" / "access.yml").read_text())


# --- what is touched, by the manifest -------------------------------------------------


def needed(manifest: dict, exported: list[str], state: list[str]) -> dict[str, Any]:
    """Compute what access.yml has to list.

    Args:
        manifest: of dbt.
        exported: relations of dataset export that export_segments.py reads.
        state: tables of state that it reads and writes.
    """
    relations = {
        unique_id: node
        for unique_id, node in {**manifest["nodes"], **manifest["sources"]}.items()
        if node["resource_type"] in ("model", "seed", "snapshot", "source")
    }
    marts = {
        node["schema"]
        for node in relations.values()
        if node["original_file_path"].startswith("models/marts/")
    }

    def dataset(unique_id: str) -> str:
        node = relations[unique_id]
        if node.get("source_name") == "clv_raw":
            return "raw"
        suffix = node["schema"].removeprefix(min(marts, default=""))
        return suffix.removeprefix("_") or "marts"

    def is_view(unique_id: str) -> bool:
        config = relations[unique_id].get("config", {})
        return config.get("materialized") == "view"

    def parents(unique_id: str) -> list[str]:
        depends_on = relations[unique_id].get("depends_on", {}).get("nodes", [])
        return [each for each in depends_on if each in relations]

    def of(names: list[str], where: str) -> list[str]:
        return [
            each
            for each in relations
            if dataset(each) == where and relations[each]["name"] in names
        ]

    every_mart = [each for each in relations if dataset(each) == "marts"]
    audience = [each for each in exported if each.endswith("__audience")]
    read = {
        "export": of(exported, "export") + of(state, "state"),
        "bi": every_mart,
        "audience": of(audience, "export"),
    }
    views: set[tuple[str, str]] = set()
    principals: dict[str, dict] = {}
    for principal, start in read.items():
        own = {dataset(each) for each in start}
        raw, waiting, seen = set(), list(start), set()
        while waiting:
            one = waiting.pop()
            if one in seen or not is_view(one):
                continue
            seen.add(one)
            for parent in parents(one):
                waiting.append(parent)
                if dataset(parent) == "raw":
                    raw.add(relations[parent]["name"])
                elif dataset(parent) not in own | {dataset(one)}:
                    views.add((dataset(parent), dataset(one)))
        rights = dict.fromkeys(own, "reader")
        if principal == "export":
            rights["state"] = "editor"
        principals[principal] = {"raw": sorted(raw), "datasets": rights}
    shared = {where for where, _ in views}
    principals["build"] = {
        "raw": "all",
        "datasets": {
            where: "owner" if where in shared else "editor"
            for where in {dataset(each) for each in relations} - {"raw"}
        },
    }
    return {
        "principals": principals,
        "views": {
            where: sorted(reader for each, reader in views if each == where)
            for where in shared
        },
    }


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """Yield how access.yml differs from what is needed."""
    for principal, rights in wanted["principals"].items():
        here = found["principals"].get(principal, {})
        for key, want in rights.items():
            if (have := here.get(key)) != want:
                yield f"{principal} needs {key} {want}, and is given {have}"
    for where in wanted["views"].keys() | found["views"].keys():
        have, want = (each["views"].get(where, []) for each in (found, wanted))
        if sorted(have) != want:
            yield f"views that read {where} are those of {want}, not of {have}"


# --- granting it ----------------------------------------------------------------------


class Grants:
    """What is missing in one project, and what adds it.

    Attributes:
        client: of google.cloud.bigquery.
        members: principal of access.yml → member of IAM.
        missing: sentences, in order.
    """

    def __init__(
        self, client: Any, dataset: str, location: str, members: dict[str, str]
    ):
        self.client, self.dataset, self.location = client, dataset, location
        self.members, self.access = members, listed()
        self.inputs = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
        self.missing: list[str] = []

    def name(self, key: str) -> str:
        """Return the name of a dataset of access.yml."""
        if key == "raw":
            database = self.inputs["clv_source_database"] or self.client.project
            schema = self.inputs["clv_source_schema"] or f"{self.dataset}_raw"
            return f"{database}.{schema}"
        suffix = "" if key == "marts" else f"_{key}"
        return f"{self.client.project}.{self.dataset}{suffix}"

    def entries(self, key: str) -> list[Any]:
        """Return the entries that the access list of a dataset has to have."""
        from google.cloud.bigquery import AccessEntry

        rights: dict[str, str] = {}
        for principal, member in self.members.items():
            right = self.access["principals"][principal]["datasets"].get(key)
            if right:
                rights[member] = max(rights.get(member, right), right, key=RANKS.index)
        found = []
        for member, right in rights.items():
            kind, _, address = member.partition(":")
            found.append(AccessEntry(ROLES[right], KINDS[kind], address))
        for reader in self.access["views"].get(key, []):
            project, _, dataset = self.name(reader).partition(".")
            whose = {"projectId": project, "datasetId": dataset}
            entry = {"dataset": whose, "targetTypes": ["VIEWS"]}
            found.append(AccessEntry(None, "dataset", entry))
        return found

    def grant_datasets(self, is_applied: bool) -> None:
        """Make the datasets that are missing, then add to their access lists."""
        from google.api_core.exceptions import NotFound
        from google.cloud.bigquery import Dataset

        keys = self.access["principals"]["build"]["datasets"]
        found = {}
        for key in keys:
            try:
                found[key] = self.client.get_dataset(self.name(key))
            except NotFound:
                self.missing.append(f"dataset {self.name(key)}")
                if is_applied:
                    made = Dataset(self.name(key))
                    made.location = self.location
                    found[key] = self.client.create_dataset(made)
        # Views can be let in once their datasets are there.
        for key in keys:
            held = list(found[key].access_entries) if key in found else []
            lacking = [entry for entry in self.entries(key) if entry not in held]
            for entry in lacking:
                right = entry.role or "its views read"
                self.missing.append(f"{self.name(key)}: {right} {entry.entity_id}")
            if lacking and is_applied:
                found[key].access_entries = held + lacking
                self.client.update_dataset(found[key], ["access_entries"])

    def grant_inputs(self, is_applied: bool) -> None:
        """Let read the input tables that there are."""
        from google.api_core.exceptions import NotFound

        for principal, member in self.members.items():
            read = self.access["principals"][principal]["raw"]
            names = self.inputs["clv_input_tables"]
            for table in filter(None, map(names.get, names if read == "all" else read)):
                where = f"{self.name('raw')}.{table}"
                try:
                    policy = self.client.get_iam_policy(where)
                except NotFound:
                    continue
                held = [b for b in policy.bindings if b["role"] == VIEWER]
                if any(member in binding["members"] for binding in held):
                    continue
                self.missing.append(f"{where}: {VIEWER} {member}")
                if is_applied:
                    policy.bindings.append({"role": VIEWER, "members": {member}})
                    self.client.set_iam_policy(where, policy)

    def commands(self) -> Iterator[str]:
        """Yield the commands that grant the roles on the project."""
        for principal, member in self.members.items():
            for role in self.access["principals"][principal]["project"]:
                yield (
                    f"gcloud projects add-iam-policy-binding {self.client.project} "
                    f"--member={member} --role={role} --condition=None"
                )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", required=True, metavar="NAME", help="of Google")
    parser.add_argument("--dataset", default="clv", metavar="NAME", help="of the marts")
    parser.add_argument("--location", default="EU", help="of new datasets")
    principals = listed()["principals"]
    for principal in principals:
        what = f"account that is {principal} in access.yml"
        parser.add_argument(f"--{principal}", metavar="MEMBER", help=what)
    parser.add_argument("--apply", action="store_true", help="grant what is missing")
    options = parser.parse_args(arguments)
    members = {
        principal: member
        for principal in principals
        if (member := getattr(options, principal))
    }
    for member in members.values():
        if member.partition(":")[0] not in KINDS:
            parser.error(f"{member} must start with one of {', '.join(KINDS)} and ':'")
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery

    try:
        client = bigquery.Client(project=options.project, location=options.location)
        grants = Grants(client, options.dataset, options.location, members)
        grants.grant_datasets(options.apply)
        grants.grant_inputs(options.apply)
    except (GoogleAPICallError, GoogleAuthError) as error:
        print(f"BigQuery refused it: {error}", file=sys.stderr)
        return 2
    done = "added" if options.apply else "missing"
    print("\n".join([*(f"{done}: {each}" for each in grants.missing), ""]), end="")
    print("Roles on the project:", *grants.commands(), sep="\n")
    return 0 if options.apply or not grants.missing else 1


if __name__ == "__main__":
    sys.exit(main())
