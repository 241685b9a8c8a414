// Copy what a button names: data-copy the <pre> beside it, data-copy-text a text, data-copy-link an address on this page.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy], [data-copy-text], [data-copy-link]');
  if (!button || button.dataset.label) return;
  const source = button.hasAttribute('data-copy') ? button.parentElement.querySelector('pre') : null;
  const text = source ? source.textContent
    : button.dataset.copyText ?? new URL(button.dataset.copyLink, location.origin + location.pathname).href;
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a page served without https
    const field = document.body.appendChild(document.createElement('textarea'));
    field.value = text;
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  if (source) getSelection().selectAllChildren(source);
  button.dataset.label = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = button.dataset.label; delete button.dataset.label; }, 1500);
});
