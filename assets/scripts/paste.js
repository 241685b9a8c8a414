// A picture that is pasted anywhere on the page goes to the visible tab's picture.
document.addEventListener('paste', (event) => {
  const file = [...(event.clipboardData?.files || [])].find((found) => found.type.startsWith('image/'));
  const picture = [...document.querySelectorAll('.xl-picture')].find((found) => found.offsetParent !== null);
  if (!file || !picture) return;
  event.preventDefault();
  const give = (input) => {
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event('change', {bubbles: true}));
  };
  const input = () => picture.querySelector('input[type="file"]');
  if (input()) return give(input());
  const emptied = new MutationObserver(() => {
    if (!input()) return;
    emptied.disconnect();
    give(input());
  });
  emptied.observe(picture, {childList: true, subtree: true});
  picture.querySelector('.icon-button-wrapper button:last-of-type')?.click();  // removes the picture that is there
});
