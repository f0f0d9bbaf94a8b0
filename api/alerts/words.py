"""Alerts as sentences, in the languages of the pages: on the page, in mails and in webhooks."""

from __future__ import annotations

from datetime import date
from typing import Final

from api.alerts.alert import Alert, AlertKind, Basis
from api.language import day_text, decimal_text, gettext_of, month_text

SENTENCES: Final = {
    "fell": "The uncalibrated signal fell from {before} to {after} since about {since} (noticed {noticed}).",
    "rose": "The uncalibrated signal rose from {before} to {after} since about {since} (noticed {noticed}).",
    "fell-ballots": (
        "Fewer of the centre's own ballots are satisfied since about {since} (noticed {noticed}). No figure "
        "until the month is released."
    ),
    "rose-ballots": (
        "More of the centre's own ballots are satisfied since about {since} (noticed {noticed}). No figure "
        "until the month is released."
    ),
    "fell-both": (
        "The uncalibrated signal fell from {before} to {after} since about {since} (noticed {noticed}); "
        "fewer of the centre's own ballots are satisfied since about {ballots_since} "
        "(noticed {ballots_noticed})."
    ),
    "rose-both": (
        "The uncalibrated signal rose from {before} to {after} since about {since} (noticed {noticed}); "
        "more of the centre's own ballots are satisfied since about {ballots_since} "
        "(noticed {ballots_noticed})."
    ),
    "silent": "Nothing came on {weekdays} working days since {since}: look at the computer and its network.",
    "all-silent": (
        "Nothing came from {counters} of {of} counters since {since}: a holiday, or a fault at the centre."
    ),
    "consent": (
        "In {month} {after}% of visitors consented, {before}% in the months before: look at the screen."
    ),
    "calibration": (
        "Calibration {version} ({networks}) is not right enough: figures of its models rest on ballots alone."
    ),
}
SUBJECT: Final = "hailong: {n} new alerts"
CLOSING: Final = (
    "Figures are printed ones, with intervals and what they rest on: see the page. An alert is a reason to "
    "look, no proof and no judgement of people. Not SIPAS."
)


def sentence(alert: Alert, language: str) -> str:
    """Return what an alert says, without its counter."""
    values: dict[str, str] = {}
    for name, value in alert.values.items():
        text = str(value)
        if name in {"since", "noticed", "ballots_since", "ballots_noticed"}:
            text = day_text(date.fromisoformat(text), language)
        elif name == "month":
            text = month_text(date.fromisoformat(text), language)
        elif name in {"before", "after"}:
            text = decimal_text(text, language)
        values[name] = text
    return gettext_of(language)(SENTENCES[_template(alert)]).format(**values)


def subject(count: int, language: str) -> str:
    """Return the subject of a mail."""
    return gettext_of(language)(SUBJECT).format(n=count)


def letter(alerts: tuple[Alert, ...], language: str, page: str) -> str:
    """Return the text of a mail.

    Args:
        alerts: What to tell.
        language: Of the text.
        page: Address of the page of alerts; empty where the settings name none.
    """
    gettext = gettext_of(language)
    lines = [
        f"- {alert.counter or gettext('the whole centre')}: {sentence(alert, language)}" for alert in alerts
    ]
    return "\n".join([*lines, "", *([page, ""] if page else []), gettext(CLOSING), ""])


def _template(alert: Alert) -> str:
    if alert.kind is AlertKind.CHANGE:
        direction, basis = str(alert.values["direction"]), str(alert.values.get("basis", ""))
        return direction if basis in {"", Basis.SIGNALS} else f"{direction}-{basis}"
    if alert.kind is AlertKind.SILENT:
        return "silent" if alert.counter else "all-silent"
    return {AlertKind.CONSENT_FELL: "consent", AlertKind.CALIBRATION: "calibration"}[alert.kind]
