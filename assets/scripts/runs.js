// Running things: accidental second runs, Esc, where a result or a refusal is seen.
(() => {
  const starts = '#run, .xl-offer, .xl-starts, .xl-buttons button.primary';
  const results = '#does-not-fit, #chat, #compare-does-not-fit, #compared, #explained, #planned, .xl-result';
  const panel = (element) => element.closest('[role="tabpanel"]') || document;
  const isShown = (element) => element.offsetParent !== null;
  const all = (selector) => [...document.querySelectorAll(selector)];

  // A small model's run may end before the second click of a double click, which would then start another run.
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

  // A result that a visitor started comes into view, once, when its first part is there.
  let expected = null;
  const isEnter = (event) => event.key === 'Enter' && !event.shiftKey && !event.isComposing;
  document.addEventListener('click', (event) => {
    const start = event.target.closest(starts);
    once(event, event.target.closest('#run, .xl-offer, [data-event]'));
    if (start) expected = panel(start);
  }, true);
  document.addEventListener('keydown', (event) => {
    const question = event.target.closest?.('#question');
    if (question && isEnter(event)) once(event, question);
    if (isEnter(event) && event.target.closest?.('#question, #compare-question')) expected = panel(event.target);
    if (event.key === 'Escape') all('.xl-buttons button.stop').find(isShown)?.click();
  }, true);
  document.addEventListener('input', () => { pressed = null; }, true);

  const show = (result) => {
    const box = result.getBoundingClientRect();
    if (box.top < 0 || box.top > innerHeight * 0.6) {
      const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
      result.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'});
    }
  };

  // A refusal: the field that it is about gets the focus and the sentence beside it, until the sentence goes.
  const refuse = (notice) => {
    expected = null;
    notice.told = true;
    const name = notice.dataset.field;
    const field = name && [...panel(notice).querySelectorAll(`[id="${name}"], [id$="-${name}"]`)]
      .find((element) => element.querySelector('input, textarea, button'));
    if (!field) return;
    const closed = field.closest('.hide, [style*="display: none"]');
    if (!isShown(field) && closed) closed.parentElement.querySelector('button')?.click();
    setTimeout(() => {
      const control = field.querySelector('textarea, input[type="number"], button.upload-container, button, input');
      control.focus({preventScroll: true});
      field.scrollIntoView({block: 'nearest'});
      control.setAttribute('aria-invalid', 'true');
      control.setAttribute('aria-describedby', notice.closest('[id$="notice"]').id);
    }, 50);
  };
  const settle = () => all('[aria-invalid][aria-describedby]')
    .filter((control) => !document.querySelector(`#${control.getAttribute('aria-describedby')} .xl-notice`))
    .forEach((control) => { control.removeAttribute('aria-invalid'); control.removeAttribute('aria-describedby'); });

  // A view is drawn anew as a whole, but a screen reader says what changes in an element that stays: there goes what is
  // marked data-announced, after the attribute's own words.
  const announcer = document.createElement('p');
  announcer.className = 'xl-visually-hidden';
  announcer.setAttribute('role', 'status');
  const announce = (parts) => {
    if (!announcer.isConnected) document.querySelector('.gradio-container').append(announcer);
    announcer.textContent = parts.map((part) => `${part.dataset.announced} ${part.innerText}`.trim()).join(' ');
  };

  // Where Gradio draws a view again, it keeps elements and changes their texts.
  const isFresh = (part) => part.told !== part.textContent && Object.assign(part, {told: part.textContent});

  new MutationObserver((changes) => {
    const ended = all('[data-announced]').filter(isShown);
    if (ended.filter(isFresh).length) announce(ended);
    settle();
    const notice = all('.xl-notice-place .xl-notice').find((found) => !found.told);
    if (notice) return refuse(notice);
    if (!expected) return;
    const result = changes.map((change) => change.target.nodeType === 1 && change.target.closest(results))
      .find((found) => found && isShown(found) && expected.contains(found));
    if (result) {
      expected = null;
      show(result);
    }
  }).observe(document, {characterData: true, childList: true, subtree: true});
})();
