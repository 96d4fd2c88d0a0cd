"""Simulate a frequent-flyer programme: the input of the airline demo, and its truth.

usage: simulate_airline.py --output FOLDER [--truth FOLDER] [--members N] [--seed N]

Nothing in it is real. Members join over three years, fly at a rate of their own that
follows a summer season, may leave after any trip, and pay fares of their own:

* rate, in trips a day: gamma(r, alpha) by tier; a day counts as much as SEASON says;
* after each trip, the first included, they leave for good with probability beta(a, b);
* fare of a trip: gamma(p, scale), scale: gamma(q, gamma); independent of the rate.

That is MBG/NBD in season-warped time, with Gamma-Gamma. The first trip does not wait
for the rate: it is on the day of joining at the airport, later for other ways to join,
and some holders of the credit card never fly. The tier is that of joining and never
changes: one earned by flying would tell a forecast what it is to foresee.

Each line of transactions is a flight segment, dated by the day its trip begins: a trip
there and back, with its connections, is one purchase day. FOLDER of --output is a
folder for scripts/load_input.py. That of --truth has parameters.json and members.csv:
who was still a member, and what they did in the year after the log.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

START, AS_OF = pd.Timestamp("2022-01-01"), pd.Timestamp("2024-12-31")
HORIZONS = (30, 90, 180, 365)
DISCOUNT_RATE = 0.10  # of discounted fares in the truth, as clv_discount_rate
MEMBERS, SEED = 5000, 1
# Share of members; rate (r, alpha) per day; leaving after a trip (a, b).
TIERS = {
    "blue": (0.56, (0.9, 130.0), (0.8, 3.2)),
    "silver": (0.27, (1.4, 85.0), (0.8, 6.0)),
    "gold": (0.17, (2.0, 70.0), (0.8, 10.0)),
}
# Share of members; mean days from joining to the first trip; share who never fly; cost
# of a new member.
ENROLMENTS = {
    "airport": (0.35, 0.0, 0.0, 80.0),
    "web": (0.40, 20.0, 0.02, 160.0),
    "credit_card": (0.25, 60.0, 0.15, 400.0),
}
FARES = {"p": 5.0, "q": 4.0, "gamma": 180.0}
SEASON = {"amplitude": 0.3, "peak_day_of_year": 200}
COUNTRIES = {"DE": 0.4, "FR": 0.25, "ES": 0.2, "IT": 0.15}
BOOKED = {"web": 0.5, "app": 0.3, "agency": 0.2}
CANCELLED_BOOKINGS = 0.015  # for each trip; refunded in full, no trip
CLOSED = 0.15  # of those who have left: they cancel the membership too


@dataclass(frozen=True)
class Programme:
    """A simulated programme: the inputs by name, and what is known only here.

    Attributes:
        inputs: name of each input → its lines, all up to AS_OF.
        members: one row per member: tier, rate, dropout, mean fare, whether they have
            not left, and trips and fares of the days after AS_OF.
        parameters: what was simulated with.
    """

    inputs: dict[str, pd.DataFrame]
    members: pd.DataFrame
    parameters: dict


def season_index(days: pd.DatetimeIndex) -> np.ndarray:
    """How much each day counts: 1 on average, most in July."""
    angle = 2 * np.pi * (days.dayofyear - SEASON["peak_day_of_year"]) / 365.25
    return 1 + SEASON["amplitude"] * np.cos(np.asarray(angle))


def draw(rng, shares: dict, size: int) -> np.ndarray:
    """Names by their shares; a tuple's share is its first value."""
    each = [part[0] if isinstance(part, tuple) else part for part in shares.values()]
    return rng.choice(list(shares), size, p=each)


def fly(rng, members: pd.DataFrame, days: pd.DatetimeIndex) -> pd.DataFrame:
    """Trips to the end of days; sets who has stopped, and when.

    Gaps are rounded to whole days, one at least: the mean rate stays that of each
    member. Dropping what falls on the day of the last trip would lower it, most for
    those who fly most, and move alpha by 3 to 8 %.
    """
    time = np.concatenate([[0.0], np.cumsum(season_index(days))])
    edges = np.arange(len(time))
    day = members["first_day"].to_numpy().copy()
    rate, dropout = members["rate"].to_numpy(), members["dropout"].to_numpy()
    last_day = np.full(len(members), -1)
    stopped = np.zeros(len(members), dtype=bool)
    active = np.flatnonzero(day < len(days))
    found = []
    while len(active):
        found.append(pd.DataFrame({"member": active, "day": day[active]}))
        last_day[active] = day[active]
        stopped[active[rng.random(len(active)) < dropout[active]]] = True
        active = active[~stopped[active]]
        clock = time[day[active]] + rng.exponential(size=len(active)) / rate[active]
        is_within = clock < time[-1]
        active, clock = active[is_within], clock[is_within]
        later = np.rint(np.interp(clock, time, edges)).astype(int)
        day[active] = np.maximum(later, day[active] + 1)
        active = active[day[active] < len(days)]
    members["last_day"], members["has_stopped"] = last_day, stopped
    return pd.concat(found).sort_values(["member", "day"], ignore_index=True)


def segments_of(rng, trips: pd.DataFrame) -> pd.DataFrame:
    """The flight segments of each trip, which share its fare; in whole cents."""
    legs = rng.choice([1, 2, 4], len(trips), p=[0.3, 0.55, 0.15])
    lines = trips.loc[trips.index.repeat(legs)].copy()
    leg = lines.groupby(level=0).cumcount().to_numpy()
    legs = np.repeat(legs, legs)
    cents = np.round(100 * lines["fare"].to_numpy()).astype(int)
    share = cents // legs
    lines["amount"] = np.where(leg == 0, cents - share * (legs - 1), share) / 100
    flight = 100 + (lines["member"].to_numpy() * 7 + lines["day"].to_numpy() + leg) % 90
    lines["sku"] = [f"SIM{number}" for number in flight]
    return lines


def simulate(members: int = MEMBERS, seed: int = SEED) -> Programme:
    """Simulate a programme of so many members."""
    rng = np.random.default_rng(seed)
    ahead = max(HORIZONS)
    days = pd.date_range(START, AS_OF + pd.Timedelta(days=ahead))
    today = (AS_OF - START).days
    people = pd.DataFrame({"user_id": [f"SIM{n:05d}" for n in range(1, members + 1)]})
    people["tier"] = draw(rng, TIERS, members)
    people["acquisition_source"] = draw(rng, ENROLMENTS, members)
    people["country"] = draw(rng, COUNTRIES, members)
    people["joined"] = np.sort(rng.integers(0, today + 1, members))
    tier = people["tier"].map(TIERS)
    rates, leaving = (np.array([each[at] for each in tier]).T for at in (1, 2))
    people["rate"] = rng.gamma(rates[0], 1 / rates[1])
    people["dropout"] = rng.beta(leaving[0], leaving[1])
    scale = rng.gamma(FARES["q"], 1 / FARES["gamma"], members)
    people["mean_fare"] = FARES["p"] / scale
    way = people["acquisition_source"].map(ENROLMENTS)
    wait = rng.exponential(size=members) * [each[1] for each in way]
    never = rng.random(members) < [each[2] for each in way]
    people["first_day"] = people["joined"] + wait.astype(int)
    people.loc[never, "first_day"] = len(days)
    trips = fly(rng, people, days)
    trips["fare"] = rng.gamma(FARES["p"], 1 / scale[trips["member"]])
    trips["fare"] = trips["fare"].clip(lower=1).round(2)
    known = trips[trips["day"] <= today].reset_index(drop=True)
    inputs = {
        "transactions": transactions_of(rng, known, people, today),
        "customers": customers_of(people),
        "consents": consents_of(rng, people, today),
        "customer_status": statuses_of(rng, people, today),
        "ad_spend": spend_of(people),
    }
    return Programme(inputs, truth_of(people, trips, today), parameters(members, seed))


def dated(days) -> pd.Series:
    return START + pd.to_timedelta(days, unit="D")


def transactions_of(rng, trips, people, today: int) -> pd.DataFrame:
    """Segments of all trips, and bookings that were cancelled and refunded in full."""
    booked = trips.assign(order_id=[f"B{n:06d}" for n in range(len(trips))])
    booked["channel"] = draw(rng, BOOKED, len(trips))
    lines = segments_of(rng, booked).assign(is_refund=False)
    cancelled = booked[rng.random(len(booked)) < CANCELLED_BOOKINGS].copy()
    cancelled["day"] += 7
    cancelled = cancelled[cancelled["day"] + 2 <= today]
    cancelled["order_id"] = cancelled["order_id"].str.replace("B", "C")
    cancelled["amount"], cancelled["sku"] = cancelled["fare"], "SIM100"
    refunds = cancelled.assign(
        day=cancelled["day"] + 2, amount=-cancelled["fare"], is_refund=True
    )
    lines = pd.concat([lines, cancelled.assign(is_refund=False), refunds])
    lines = lines.sort_values(["day", "member", "order_id"], ignore_index=True)
    return pd.DataFrame(
        {
            "user_id": people["user_id"].to_numpy()[lines["member"]],
            "ts": dated(lines["day"]),
            "amount": lines["amount"],
            "currency": "EUR",
            "channel": lines["channel"],
            "sku": lines["sku"],
            "order_id": lines["order_id"],
            "is_refund": lines["is_refund"],
        }
    )


def customers_of(people) -> pd.DataFrame:
    shown = people[["user_id", "country", "tier", "acquisition_source"]]
    return shown.assign(signup_ts=dated(people["joined"]))


def consents_of(rng, people, today: int) -> pd.DataFrame:
    """E-mail: most say yes or no on joining, some withdraw later."""
    said = rng.choice(["yes", "no", ""], len(people), p=[0.7, 0.2, 0.1])
    first = pd.DataFrame(
        {
            "user_id": people["user_id"],
            "channel": "email",
            "is_granted": said == "yes",
            "updated_at": dated(people["joined"]),
        }
    )
    withdrawn = first[(said == "yes") & (rng.random(len(people)) < 0.05)]
    room = today - people["joined"].to_numpy()[withdrawn.index]
    later = pd.to_timedelta((rng.random(len(withdrawn)) * room).astype(int), unit="D")
    withdrawn = withdrawn.assign(
        is_granted=False, updated_at=withdrawn["updated_at"] + later
    )
    return pd.concat([first[said != ""], withdrawn], ignore_index=True)


def statuses_of(rng, people, today: int) -> pd.DataFrame:
    """Cancelled memberships, some time after the last trip."""
    asks = people["has_stopped"] & (rng.random(len(people)) < CLOSED)
    day = people["last_day"] + 1 + rng.exponential(120, len(people)).astype(int)
    closed = asks & (day <= today)
    return pd.DataFrame(
        {
            "user_id": people.loc[closed, "user_id"],
            "status": "closed",
            "effective_at": dated(day[closed]),
        }
    ).reset_index(drop=True)


def spend_of(people) -> pd.DataFrame:
    """What the new members of each month have cost, by their way to join."""
    month = dated(people["joined"]).dt.to_period("M").dt.start_time
    groups = [
        people["acquisition_source"].rename("channel"),
        month.rename("spend_date"),
    ]
    spend = people.groupby(groups).size().rename("new_customers").reset_index()
    cost = spend["channel"].map({way: each[3] for way, each in ENROLMENTS.items()})
    return spend.assign(spend=cost * spend["new_customers"], currency="EUR")


def truth_of(people, trips, today: int) -> pd.DataFrame:
    """What each member is and does, known to the simulation only."""
    shown = ["user_id", "tier", "rate", "dropout", "mean_fare"]
    truth = people[shown].copy()
    # Left by the end of the log, not in the year after it.
    truth["has_left"] = people["has_stopped"] & (people["last_day"] <= today)
    trips = trips.assign(trips=1, ahead=trips["day"] - today, fares=trips["fare"])
    trips["discounted"] = trips["fare"] / (1 + DISCOUNT_RATE) ** (trips["ahead"] / 365)
    for horizon in HORIZONS:
        after = trips[trips["ahead"].between(1, horizon)]
        sums = after.groupby("member")[["trips", "fares", "discounted"]].sum()
        sums = sums.reindex(people.index, fill_value=0).round(2)
        truth = truth.join(sums.add_suffix(f"_{horizon}d"))
    return truth


def parameters(members: int, seed: int) -> dict:
    names = (("r", "alpha"), ("a", "b"))
    tiers = {
        tier: {"share": share, **dict(zip(names[0], rate, strict=True)),
               **dict(zip(names[1], leaving, strict=True))}
        for tier, (share, rate, leaving) in TIERS.items()
    }  # fmt: skip
    said = {"members": members, "seed": seed, "as_of": str(AS_OF.date())}
    return {**said, "tiers": tiers, "fares": FARES, "season": SEASON}


def write(programme: Programme, folder: Path) -> None:
    """Write the inputs as files for scripts/load_input.py."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in programme.inputs.items():
        lines.to_csv(folder / f"{name}.csv", index=False, date_format="%Y-%m-%d")


def write_truth(programme: Programme, folder: Path) -> None:
    """Write what no model may read."""
    folder.mkdir(parents=True, exist_ok=True)
    programme.members.to_csv(folder / "members.csv", index=False)
    text = json.dumps(programme.parameters, indent=2)
    (folder / "parameters.json").write_text(f"{text}\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option, needed, meaning in (
        ("--output", True, "folder of the inputs"),
        ("--truth", False, "folder of what only the simulation knows"),
    ):
        parser.add_argument(option, type=Path, required=needed, help=meaning)
    parser.add_argument("--members", type=int, default=MEMBERS, help="how many")
    parser.add_argument("--seed", type=int, default=SEED, help="of the random numbers")
    options = parser.parse_args(arguments)
    programme = simulate(options.members, options.seed)
    write(programme, options.output)
    if options.truth:
        write_truth(programme, options.truth)
    for name, lines in programme.inputs.items():
        print(f"{name:<21}{len(lines):>12,} rows, simulated")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
