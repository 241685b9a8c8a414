// The panel behind the head line closes at a click elsewhere, on a tab too, and at Esc, which then stops no run.
(() => {
  const open = () => document.querySelector('.xl-head[open]');
  addEventListener('click', (event) => { if (!open()?.contains(event.target)) open()?.removeAttribute('open'); }, true);
  addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !open()) return;
    open().removeAttribute('open');
    event.stopPropagation();
  }, true);
})();
