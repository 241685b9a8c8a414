// The canvas of the Draw tab: strokes in the chosen colour and width; its value is a PNG as a data: URL, "" while empty.
const canvas = element.querySelector('canvas');
const tools = element.closest('.xl-drawing');
const pen = canvas.getContext('2d', {willReadFrequently: true});
const kept = [];  // the canvas before each of the last strokes
let strokes = 0, last = null;

const wipe = () => { pen.fillStyle = '#ffffff'; pen.fillRect(0, 0, canvas.width, canvas.height); };
const store = () => { props.value = strokes ? canvas.toDataURL('image/png') : ''; };
const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
};
const chosen = (name) => tools.querySelector(`input[name="${name}"]:checked`).value;
const draw = (event) => {
  const next = place(event);
  pen.beginPath();
  pen.moveTo(...last);
  pen.lineTo(...next);
  pen.stroke();
  last = next;
};

wipe();
canvas.addEventListener('pointerdown', (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  if (kept.length === 50) kept.shift();
  strokes += 1;
  kept.push(pen.getImageData(0, 0, canvas.width, canvas.height));
  Object.assign(pen, {strokeStyle: chosen('xl-colour'), lineWidth: chosen('xl-width'), lineCap: 'round', lineJoin: 'round'});
  last = place(event);
  draw(event);
});
canvas.addEventListener('pointermove', (event) => { if (last) draw(event); });
for (const end of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(end, () => { if (last) { last = null; store(); } });
}
tools.addEventListener('click', (event) => {
  const action = event.target.closest('[data-draw]')?.dataset.draw;
  if (action === 'undo' && kept.length) { strokes -= 1; pen.putImageData(kept.pop(), 0, 0); }
  else if (action === 'clear') { strokes = kept.length = 0; wipe(); }
  else return;
  store();
});
