"""The conversation as Gradio's Chatbot takes it: escaped text, because a Chatbot without Markdown shows HTML."""

from __future__ import annotations

from xcomposer_ui.core.messages import text
from xcomposer_ui.ui.session import Session, SessionRun
from xcomposer_ui.ui.views.marks import escaped

Message = dict[str, str]


def messages(session: Session, language: str) -> list[Message]:
    """Every turn, those that failed too, and the answer in progress."""
    shown: list[Message] = []
    for turn in session.turns:
        shown += [_said("user", turn.question), _said("assistant", _reply(turn, language))]
    if session.asking is not None:
        draft = session.draft or text("chat.thinking", language)
        shown += [_said("user", session.asking.question), _said("assistant", draft)]
    return shown


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": escaped(content)}


def _reply(turn: SessionRun, language: str) -> str:
    result = turn.result
    if result.failure is not None:
        return text("chat.failed", language, type=result.failure.type)
    if result.stopped:
        return f"{result.answer or ''} {text('chat.stopped', language)}".strip()
    return result.answer or ""
