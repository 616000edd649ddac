"""Reports, models, settings, keys: figures as the views have them, files without formulas, pages of the operator."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select, text

from app.records import reports
from app.records.in_force import HIDDEN, in_force
from app.records.pareto import points
from app.records.reports import KINDS, Period, Report, Totals
from app.schemas.levels import LevelOut, LevelsOut, MeasuredOut
from app.web.models import plot
from app.web.reports import by_hour
from core.csv_cells import cell
from core.database import transaction
from core.settings import settings
from core.tally import fold
from core.tally_tables import TALLY
from core.tenant_tables import ApiKey
from tests.app.conftest import Held, configured, draw
from tests.app.web.conftest import PAGE, Submit, token, words


@pytest.fixture
def served(client: FlaskClient, submit: Submit) -> None:
    """Two images at two levels, in the sums."""
    job = submit(prompts=["=a cat", "a dog"], title="=1+1")
    for request, level in zip(job["requests"], ("exact", "fs-10"), strict=True):
        draw(request["id"], level)
    fold()


def rows(client: FlaskClient, by: str) -> list[dict[str, str]]:
    return csv_rows(client, f"/reports/{by}.csv")


def csv_rows(client: FlaskClient, path: str, **headers: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(path, headers=headers).text)))


@pytest.mark.usefixtures("served")
def test_every_report_has_a_page_and_a_file_with_the_same_rows(client: FlaskClient) -> None:
    for by, images in (("level", 2), ("model", 1), ("hour", 1), ("tenant", 1), ("job", 1)):
        assert len(rows(client, by)) == images, by
        page = client.get(f"/reports?by={by}", headers=PAGE)
        assert page.status_code == 200
        assert f"By {by}" in words(page.text)
    assert {row["level"]: row["images"] for row in rows(client, "level")} == {"exact": "1", "fs-10": "1"}
    assert client.get("/reports?by=colour", headers=PAGE).status_code == 404


@pytest.mark.usefixtures("served")
def test_what_people_wrote_is_no_formula_in_a_file(client: FlaskClient) -> None:
    (row,) = rows(client, "job")
    assert row["title"] == "'=1+1"
    results = client.get(f"/v1/jobs/{row['id']}/results.csv").text
    assert "'=a cat" in results
    assert ",=a cat" not in results


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_text_that_begins_like_a_formula_is_marked_and_numbers_are_not(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert (cell(-1.5), cell(None), cell("a=b"), cell("")) == (-1.5, None, "a=b", "")


def add_sums(level: str, device_s: float, pixel_steps: float = 0.0, device_type: str = "cpu", **more: Any) -> None:
    """Sums of all time, and of the hour that `more` says, as some images leave them."""
    hour = more.pop("hour", datetime(2026, 1, 1, 7, tzinfo=UTC))
    keys = {"tenant": "default", "family": "paper", "model": "large", "service_class": "batch", "background": False}
    own = {"level": level, "device_type": device_type, "device_s": device_s, "pixel_steps": pixel_steps, "images": 1}
    with transaction() as session:
        for at in (text("'-infinity'"), hour):
            session.execute(insert(TALLY).values(hour=at, **{**keys, **own, "done": 1, **more}))


def totals(by: str = "level", **period: datetime) -> Totals:
    with transaction() as session:
        return Report(by, Period(**period)).totals(session)


def test_what_was_saved_is_a_share_of_what_exact_would_take_as_far_as_that_is_known(client: FlaskClient) -> None:
    add_sums("exact", 3600.0, pixel_steps=1000.0)
    add_sums("ac-5", 36000.0, pixel_steps=1000.0, device_type="never drew exact")
    unknown = totals().saved
    assert (unknown.used_h, unknown.saved_h, unknown.share) == (11.0, 0.0, 0.0)
    add_sums("fs-10", 3600.0, pixel_steps=3000.0)
    some = totals().saved
    assert (some.used_h, some.saved_h, some.share) == (12.0, 2.0, 0.5)
    assert "50 %" in words(client.get("/reports", headers=PAGE).text)


def test_where_exact_was_never_drawn_nothing_is_known_of_savings(client: FlaskClient) -> None:
    add_sums("ac-5", 3600.0)
    found = totals().saved
    assert (found.used_h, found.saved_h, found.share) == (1.0, None, None)


def test_a_page_says_that_it_shows_the_newest_and_the_file_and_the_cards_have_all(
    client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reports.KINDS, "job", replace(reports.KINDS["job"], most=2))
    for name in "abc":
        draw(submit(prompt=name, title=f"job {name}")["requests"][0]["id"])
    fold()
    page = client.get("/reports?by=job", headers=PAGE).text
    assert "The newest 2 of 3." in words(page)
    assert ("job a" in page, "job b" in page, "job c" in page) == (False, True, True)
    assert "<b>3</b><span>images</span>" in page
    assert [row["title"] for row in rows(client, "job")] == ["job c", "job b", "job a"]


def test_a_report_is_of_the_period_that_is_asked_for(client: FlaskClient) -> None:
    for day, level in ((1, "exact"), (2, "fs-10"), (3, "ac-5")):
        add_sums(level, 60.0, hour=datetime(2026, 1, day, 7, tzinfo=UTC), tenant=f"team-{day}", model=f"m{day}")
    period = "since=2026-01-02T07:30&until=2026-01-03T07:00"
    for by, found in (("level", "fs-10"), ("model", "m2"), ("tenant", "team-2"), ("hour", "2026-01-02 07:00:00+00:00")):
        assert [row[by] for row in csv_rows(client, f"/reports/{by}.csv?{period}")] == [found]
        page = client.get(f"/reports?by={by}&{period}", headers=PAGE).text
        assert "<b>1</b><span>images</span>" in page
        assert 'value="2026-01-02T07:30:00"' in page
    assert totals(since=datetime(2026, 1, 2, tzinfo=UTC)).images == 2
    assert "Nothing that was sent in this time" in client.get("/reports?until=2025-01-01", headers=PAGE).text
    assert client.get("/reports?since=yesterday", headers=PAGE).status_code == 400


def test_hours_are_drawn_the_oldest_first() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    late = {"hour": at.replace(hour=2), "images": 4, "quality_mean": 0.8, "violation_rate": 0.5}
    early = {"hour": at.replace(hour=1), "images": 2, "quality_mean": None, "violation_rate": None}
    images, violations, quality = by_hour([late, early])
    assert [said.partition(":")[0] for said in images.slots] == ["01 Jan 01", "01 Jan 02"]
    assert len(violations.lines[0].points) == len(quality.lines[0].points) == 1
    assert quality.low <= 0.8


def test_a_tenant_reads_its_own_reports_and_nothing_of_others(client: FlaskClient, keys: Held) -> None:
    job = client.post("/v1/jobs", json={"prompt": "a", "title": "ours alone"}, headers=keys.bearer("both"))
    assert job.status_code == 202
    mine = client.get("/reports?by=job", headers={**PAGE, **keys.bearer("read")})
    assert "ours alone" in mine.text
    draw(job.get_json()["requests"][0]["id"], "fs-10")
    fold()
    for by in KINDS:
        assert client.get(f"/reports?by={by}", headers={**PAGE, **keys.bearer("read")}).status_code == 200
        assert len(csv_rows(client, f"/reports/{by}.csv", **keys.bearer("read"))) == 1, by
        assert len(csv_rows(client, f"/reports/{by}.csv?since=2000-01-01", **keys.bearer("read"))) == 1, by
        assert csv_rows(client, f"/reports/{by}.csv", **keys.bearer("foreign")) == [], by
        theirs = client.get(f"/reports?by={by}", headers={**PAGE, **keys.bearer("foreign")})
        assert (theirs.status_code, "ours alone" in theirs.text) == (200, False)


# --- models -----------------------------------------------------------------------------------------------------------


NOWHERE: dict[str, Any] = {"family": "nowhere", "title": "t", "version": "1", "defaults": {}, "limits": {}}


def level(id: str, seconds: float, quality: float) -> LevelOut:
    cost = MeasuredOut(requests_per_minute=60 / seconds, latency_s=seconds, quality=quality)
    shape = {"strategy": "fs", "model": "m", "queue": "q", "steps": 1, "steps_skipped": 0, "reference": False}
    return LevelOut(id=id, measured={"cpu": cost}, **shape)


def test_a_level_is_on_the_front_unless_another_is_as_quick_and_as_good() -> None:
    levels = [level("slow", 4, 1.0), level("beaten", 5, 0.9), level("quick", 1, 0.8), level("equal", 1, 0.8)]
    found = points(LevelsOut(levels=levels, **NOWHERE), "cpu")
    assert {point.level: point.beaten_by for point in found} == {
        **{"quick": None, "equal": None, "slow": None, "beaten": "slow"}
    }
    assert [point.best for point in found] == [point.beaten_by is None for point in found]
    assert [(point.low, point.high, point.prompts) for point in found if point.level == "slow"] == [(1.0, 1.0, 0)]


def test_what_all_others_are_measured_against_is_never_beaten() -> None:
    levels = [level("exact", 4, 1.0).model_copy(update={"reference": True}), level("tie", 2, 1.0), level("bad", 3, 0.9)]
    found = points(LevelsOut(levels=levels, **NOWHERE), "cpu")
    assert {point.level: point.beaten_by for point in found} == {"exact": None, "tie": None, "bad": "tie"}


@pytest.mark.usefixtures("measured")
def test_the_page_of_models_plots_levels_with_what_was_measured(client: FlaskClient) -> None:
    page = client.get("/models", headers=PAGE).text
    assert re.findall(r"<title>([^<]+: [^<]+)</title>", page)[:1] == ["exact: 4.0 s, 100.0 %"]
    assert page.count("<circle") == 3
    assert client.get("/models?device=none", headers=PAGE).text.count("<circle") == 3


@pytest.mark.usefixtures("measured")
def test_a_level_s_quality_is_that_of_the_quality_table_everywhere(client: FlaskClient) -> None:
    table = settings().home / "profiles" / "paper" / "quality.csv"
    table.write_text("prompt,exact,ac-5\na cat,1,0.9\na dog,1,0.8\n")
    try:
        listed = {each["id"]: each["measured"]["cpu"] for each in client.get("/v1/levels").get_json()["levels"]}
        form, models = (words(client.get(path, headers=PAGE).text) for path in ("/", "/models"))
    finally:
        table.unlink()
    assert {id: each["quality"] for id, each in listed.items()} == pytest.approx(
        {"exact": 1.0, "ac-5": 0.85, "fs-10": 0.9}  # the profile's where the table has none
    )
    assert "loses about 15 % of likeness" in form
    assert "85.0 % 75.2 % to 94.8 %" in models


def test_levels_that_lose_nothing_are_plotted_too() -> None:
    found = plot(points(LevelsOut(levels=[level("exact", 4, 1.0)], **NOWHERE), "cpu"))
    assert found.marks[0].y < max(y for y, _ in found.qualities)


def test_without_a_measurement_the_page_says_how_to_get_one(client: FlaskClient) -> None:
    assert "argus profile" in client.get("/models", headers=PAGE).text


# --- the operator -----------------------------------------------------------------------------------------------------


def test_settings_say_where_they_come_from_and_hide_secrets(client: FlaskClient) -> None:
    with configured(ARGUS_MAX_PROMPTS="77"):
        found = {each.name: each for each in in_force()}
        page = client.get("/settings", headers=PAGE).text
    assert (found["ARGUS_MAX_PROMPTS"].value, found["ARGUS_MAX_PROMPTS"].origin) == ("77", "environment")
    assert (found["ARGUS_TICK_S"].origin, found["ARGUS_DATABASE_URL"].value) == ("default", HIDDEN)
    assert "postgresql://argus" not in page


def test_the_operator_makes_a_key_that_is_shown_once_and_revokes_it(client: FlaskClient, keys: Held) -> None:
    client.post("/sign-in", data={"argus_token": _token(client), "key": keys.texts["admin"]}, headers=PAGE)
    fields = {"argus_token": token(client), "tenant": "new-team", "name": "ci", "scopes": ["submit"], "weight": "2"}
    made = client.post("/keys", data=fields, headers=PAGE).text
    written = re.search(r'class="secret">(argus_[^<]+)<', made)
    assert written
    bearer = {"Authorization": f"Bearer {written[1]}"}
    other = client.application.test_client()
    assert other.post("/v1/jobs", json={"prompt": "a"}, headers=bearer).status_code == 202
    listed = client.get("/keys", headers=PAGE).text
    assert written[1] not in listed
    assert "new-team" in listed
    with transaction() as session:
        id = session.scalar(select(ApiKey.id).where(ApiKey.name == "ci"))
    assert client.post(f"/keys/{id}/revoke", data=fields, headers=PAGE).status_code == 303
    assert other.post("/v1/jobs", json={"prompt": "a"}, headers=bearer).status_code == 401


def _token(client: FlaskClient) -> str:
    found = re.search(r'name="argus_token" value="([^"]+)"', client.get("/sign-in", headers=PAGE).text)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tenant": "a", "scopes": []}, "tick one"),
        ({"tenant": "a", "scopes": ["all"]}, "Scopes are"),
        ({"tenant": "A b", "scopes": ["read"]}, "name is"),
        ({"tenant": "a", "scopes": ["read"], "weight": "0"}, "above 0"),
    ],
)
def test_a_key_that_cannot_be_made_says_why(client: FlaskClient, fields: dict[str, object], says: str) -> None:
    answer = client.post("/keys", data={"argus_token": token(client), **fields}, headers=PAGE)
    assert answer.status_code == 400
    assert says in answer.text
    with transaction() as session:
        assert session.scalar(select(ApiKey.id)) is None


@pytest.mark.parametrize("path", ["/settings", "/keys"])
def test_pages_of_the_operator_are_for_admins(client: FlaskClient, keys: Held, path: str) -> None:
    assert client.get(path, headers={**PAGE, **keys.bearer("both")}).status_code == 403
    assert client.get(path, headers={**PAGE, **keys.bearer("admin")}).status_code == 200
