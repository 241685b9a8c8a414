"""The conversation as messages of Gradio's Chatbot, which shows its text as HTML when Markdown is off."""

from __future__ import annotations

import html

from xcomposer_ui.core.messages import text
from xcomposer_ui.ui.html import visible
from xcomposer_ui.ui.session import Session, SessionRun


def messages(session: Session, language: str) -> list[dict[str, str]]:
    """Every turn, failed ones included, and the answer in progress, as escaped text."""
    shown: list[dict[str, str]] = []
    for turn in session.turns:
        shown += [_message("user", turn.request.text), _message("assistant", _reply(turn, language))]
    if session.running is not None:
        draft = session.draft or text("chat.thinking", language)
        shown += [_message("user", session.running.text), _message("assistant", draft)]
    return shown


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": html.escape(visible(content))}


def _reply(turn: SessionRun, language: str) -> str:
    result = turn.result
    if result.failure is not None:
        return text("chat.failed", language, type=result.failure.type)
    if result.stopped:
        return f"{result.answer or ''} {text('chat.stopped', language)}".strip()
    return result.answer or ""
