"""What the page does by itself, in the visitor's browser: scripts for its head."""

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
"""Copies the text beside a button marked data-copy; the older way is for pages served without https."""

ONCE_SCRIPT = """<script>
(() => {
  let pressed = null, at = 0;
  const drop = (event) => { event.stopImmediatePropagation(); event.preventDefault(); };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('#run, .xl-cure');
    if (button && button === pressed && event.timeStamp - at < 500) return drop(event);
    pressed = button;
    at = event.timeStamp;
  }, true);
  document.addEventListener('input', () => { pressed = null; }, true);
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && event.repeat && event.target.closest('#question')) drop(event);
  }, true);
})();
</script>"""
"""A double click asks once: a run of a small model may end between its two clicks, so that Gradio would take both.

Whoever changes anything, or waits half a second, means the second click.
"""

HEAD = COPY_SCRIPT + ONCE_SCRIPT
