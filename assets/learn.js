// Sends clicks on the elements of the Learn tab to the server, and keeps the keyboard's place when the answer is shown.
// `element`, `trigger` and `watch` are Gradio's. A button marked data-event sends its data-send; the bits of a number
// are switched by click, by drawing over them, or by arrow keys and space, and sent together.
let acted = false, bitPlace = null, drawing = null;

const bits = (group) => [...group.querySelectorAll('[data-bit]')];
const sendBits = (group) => {
  acted = true;
  trigger('select', {format: group.dataset.format, bits: bits(group).map((bit) => bit.textContent.trim()).join('')});
};
const setBit = (bit, value) => {
  bit.textContent = value;
  bit.setAttribute('aria-pressed', value === '1');
  bitPlace = [bit.closest('[data-format]').dataset.format, bit.dataset.bit];
};

element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-event]');
  if (button && !button.disabled) {
    acted = true;
    bitPlace = null;
    trigger(button.dataset.event, JSON.parse(button.dataset.send));
  } else if (event.detail === 0 && event.target.closest('[data-bit]')) {  // by the keyboard or a screen reader
    const bit = event.target.closest('[data-bit]');
    setBit(bit, bit.textContent.trim() === '1' ? '0' : '1');
    sendBits(bit.closest('[data-format]'));
  }
});
element.addEventListener('pointerdown', (event) => {
  const bit = event.target.closest('[data-bit]');
  if (!bit || event.button > 0) return;
  if (bit.hasPointerCapture?.(event.pointerId)) bit.releasePointerCapture(event.pointerId);
  drawing = {group: bit.closest('[data-format]'), value: bit.textContent.trim() === '1' ? '0' : '1'};
  setBit(bit, drawing.value);
});
element.addEventListener('pointerover', (event) => {
  const bit = event.target.closest('[data-bit]');
  if (drawing && bit && drawing.group.contains(bit)) setBit(bit, drawing.value);
});
document.addEventListener('pointerup', () => {
  if (drawing) sendBits(drawing.group);
  drawing = null;
});
document.addEventListener('pointercancel', () => { drawing = null; });
element.addEventListener('keydown', (event) => {
  const bit = event.target.closest('[data-bit]');
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!bit || !step) return;
  event.preventDefault();
  const all = bits(bit.closest('[data-format]'));
  const next = all[all.indexOf(bit) + step];
  if (!next) return;
  bit.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
watch('value', () => {
  if (!acted) return;
  acted = false;
  const bit = bitPlace && element.querySelector(`[data-format="${bitPlace[0]}"] [data-bit="${bitPlace[1]}"]`);
  if (bit) {
    bits(bit.closest('[data-format]')).forEach((each) => { each.tabIndex = each === bit ? 0 : -1; });
    bit.focus({preventScroll: true});
  } else {
    element.querySelector('[data-focus]')?.focus({preventScroll: true});
  }
});
