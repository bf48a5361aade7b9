"""Sections on what was run and from what: the head of the page, the card of the checkpoint, and how
to reproduce the page.

A section with nothing to show is an empty text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from deft.reports.page.html import (
    definitions,
    mathematics,
)
from deft.reports.page.words import (
    arguments_in_words,
    broken_in_words,
    collapsed,
    finding,
    in_words,
    noise_in_words,
    plain,
    post_processing,
    problem_name,
    shape_in_words,
    weights_in_words,
)
from deft.studies.words import number


def page_head(results: Mapping[str, Any], title: str, introduction: str, warning: str) -> str:
    changed = " with changes" if str(results["commit"]).endswith("+changes") else ""
    commit = (
        f"commit {results['commit'][:10]}{changed}"
        if results["commit"]
        else f"version {results['versions']['deft']}"
    )
    parts = [
        f"<h1>{mathematics(title)}</h1>",
        f'<p class="byline">{escape(results["created"][:10])} · {escape(commit)} · '
        f"{escape(results['machine'])}</p>",
    ]
    if warning:
        parts.append(f'<p class="finding warning">{escape(warning)}</p>')
    parts += [
        f'<p class="finding warning">{escape(text)}</p>'
        for text in (*broken_in_words(results), *collapsed(results))
    ]
    parts.append(f'<p class="finding">{escape(finding(results))}</p>')
    if introduction:
        parts.append(f"<p>{escape(introduction)}</p>")
    facts = {
        "Task": f"{problem_name(results)}, {results['problem_in_words']}"
        if results["problem_in_words"]
        else problem_name(results),
        **{
            in_words(key): plain(value)
            for key, value in arguments_in_words(results).items()
            if key != "sigma_y"
        },
        "Measurement noise": noise_in_words(results["sigma_y"]),
        "Prior": f"{results['prior']['name']}, signals of shape "
        f"{shape_in_words(results['prior']['event_shape'])}, frozen",
        "Test": f"{number(results['images']['count'], 'image')} × "
        f"{number(results['samples'], 'sample')}; the same observations and seeds for "
        "every method",
        "Post-processing": post_processing(results),
    }
    return "\n".join([*parts, definitions(facts)])


def method_card(card: Mapping[str, object] | None) -> str:
    if not card:
        return ""
    facts = {in_words(key): plain(value) for key, value in card.items() if key != "metrics"}
    text = escape(json.dumps(card, indent=2, default=str))
    return (
        f"<h2>The checkpoint</h2>\n{definitions(facts)}<details><summary>The whole "
        f"card</summary><pre>{text}</pre></details>"
    )


def reproduce(results: Mapping[str, Any]) -> str:
    facts = {
        "Commit": results["commit"] or "not in a checkout",
        "Versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        "Machine": results["machine"],
        "Seed": f"{results['seed']}; every observation and every sample has its own, listed in "
        "results.json",
        "Prior": f"{results['prior']['name']}, weights {results['prior']['hash']}",
        "Learned measures": weights_in_words(results["weights"]),
        "Images": f"{results['images']['count']}, values {results['images']['sha256']}",
    }
    return (
        f"<h2>To reproduce</h2>\n<pre>{escape(results['command'])}</pre>\n{definitions(facts)}"
        '<p class="caption">Values per image, seeds and settings of every method are in '
        "<code>results.json</code> beside this page, all samples in <code>parts/</code>.</p>"
    )
