// A group of buttons marked data-roving is one stop of the Tab key; the arrow keys move within it.
(() => {
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1};
  document.addEventListener('keydown', (event) => {
    const group = event.target.closest?.('[data-roving]');
    if (!group || !(event.key in step)) return;
    const buttons = [...group.querySelectorAll('button')];
    const next = (buttons.indexOf(event.target) + step[event.key] + buttons.length) % buttons.length;
    buttons.forEach((button, place) => { button.tabIndex = place === next ? 0 : -1; });
    buttons[next].focus();
    event.preventDefault();
  });
})();

// Gradio names each radio button of a group differently, so that each is a stop of the Tab key: one name makes them one.
new MutationObserver(() => {
  for (const radio of document.querySelectorAll('[id] > .wrap input[type="radio"][name^="radio-"]')) {
    radio.name = `group-${radio.closest('[id]').id}`;
  }
}).observe(document, {childList: true, subtree: true});
