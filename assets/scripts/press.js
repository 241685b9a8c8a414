// A button of a view, marked data-press with an element's id, presses that element: one of Gradio's buttons.
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-press]');
  if (button) document.getElementById(button.dataset.press)?.click();
});
