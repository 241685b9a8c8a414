"""Scripts for the head of the page: copying a text, pressing a button, and ignoring an accidental second run."""

from __future__ import annotations

COPY_SCRIPT = """<script>
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const source = button.parentElement.querySelector('pre');
  const selection = getSelection();
  selection.selectAllChildren(source);
  try { await navigator.clipboard.writeText(source.textContent); } catch { document.execCommand('copy'); }
  const label = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = label; }, 1500);
});
</script>"""
"""Copies the text beside a button marked data-copy; `execCommand` is for pages served without https."""

PRESS_SCRIPT = """<script>
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-press]');
  if (button) document.getElementById(button.dataset.press)?.click();
});
</script>"""
"""A button of a view, marked data-press with an element's id, presses that element: one of Gradio's buttons."""

ONCE_SCRIPT = """<script>
(() => {
  let pressed = null, at = 0;
  const once = (event, what) => {
    if (what && what === pressed && event.timeStamp - at < 500) {
      event.stopImmediatePropagation();
      event.preventDefault();
    } else {
      pressed = what;
      at = event.timeStamp;
    }
  };
  document.addEventListener('click', (event) => once(event, event.target.closest('#run, .xl-offer')), true);
  document.addEventListener('keydown', (event) => {
    const question = event.target.closest?.('#question');
    if (question && event.key === 'Enter' && !event.shiftKey && !event.isComposing) once(event, question);
  }, true);
  document.addEventListener('input', () => { pressed = null; }, true);
})();
</script>"""
"""Ignores a second click or Enter within half a second unless an input changed in between.

A small model's run may end before the second click, which would then start another run.
"""

HEAD = COPY_SCRIPT + PRESS_SCRIPT + ONCE_SCRIPT
