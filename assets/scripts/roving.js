// A group of buttons marked data-roving, and a row of tabs, is one stop of the Tab key; the arrow keys, Home and End move
// within it, and open a tab.
(() => {
  const along = {ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity};
  const step = {...along, ArrowDown: 1, ArrowUp: -1};
  document.addEventListener('keydown', (event) => {
    const tabs = event.target.closest?.('[role="tablist"]'), group = tabs || event.target.closest?.('[data-roving]');
    const by = (tabs ? along : step)[event.key];
    if (!group || !by || event.altKey || event.ctrlKey || event.metaKey) return;
    const buttons = [...group.querySelectorAll('button')], count = buttons.length;
    const next = Number.isFinite(by) ? (buttons.indexOf(event.target) + by + count) % count : by < 0 ? 0 : count - 1;
    buttons.forEach((button, place) => { button.tabIndex = place === next ? 0 : -1; });
    buttons[next].focus();
    if (tabs) buttons[next].click();
    event.preventDefault();
  });
  new MutationObserver(() => {
    for (const tab of document.querySelectorAll('[role="tab"]')) {
      tab.tabIndex = tab.getAttribute('aria-selected') === 'true' ? 0 : -1;
    }
  }).observe(document, {attributes: true, attributeFilter: ['aria-selected'], childList: true, subtree: true});
})();

// Gradio names each radio button of a group differently, so that each is a stop of the Tab key: one name makes them one.
new MutationObserver(() => {
  for (const radio of document.querySelectorAll('[id] > .wrap input[type="radio"][name^="radio-"]')) {
    radio.name = `group-${radio.closest('[id]').id}`;
  }
}).observe(document, {childList: true, subtree: true});
