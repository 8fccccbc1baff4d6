'use strict';
// Filters the cards, opens and closes the sections, keeps ticks in the browser and saves them as a CSV file.
const all = selector => Array.from(document.querySelectorAll(selector));
const form = document.getElementById('filters');
const stored = 'tallow audit of ' + document.body.dataset.audit;

// Browsers may refuse storage to a local file: then ticks last until the page is closed.
function load() {
  try { return new Set(JSON.parse(localStorage.getItem(stored) || '[]')); } catch { return new Set(); }
}
function store(ticks) {
  try { localStorage.setItem(stored, JSON.stringify(Array.from(ticks))); } catch { /* not kept */ }
}

if (form) {
  const ticks = load();
  const sections = all('main details');
  const cards = sections.flatMap(section => Array.from(section.querySelectorAll('figure')).map(figure => ({
    figure, section, rows: figure.dataset.rows, box: figure.querySelector('.tick input'),
    text: figure.textContent.toLowerCase(),
  })));
  const save = document.getElementById('save');

  function update() {
    const [text, kind, split, name, unticked] = ['text', 'kind', 'split', 'class', 'unticked'].map(key => form.elements[key]);
    const words = text.value.toLowerCase().split(/\s+/).filter(word => word);
    let shown = 0, ticked = 0;
    for (const card of cards) {
      const isTicked = Boolean(card.box && card.box.checked);
      const data = card.figure.dataset;
      const show = (!kind.value || card.section.id === kind.value) && (!split.value || data.split === split.value)
        && (!name.value || data.class === name.value) && !(unticked.checked && isTicked)
        && words.every(word => card.text.includes(word));
      card.figure.hidden = !show;
      card.figure.classList.toggle('ticked', isTicked);
      shown += show;
      ticked += isTicked;
    }
    for (const section of sections) {
      const own = cards.filter(card => card.section === section);
      section.hidden = own.length > 0 && own.every(card => card.figure.hidden);
    }
    document.getElementById('count').value = `${shown} of ${cards.length} cards, ${ticked} ticked`;
    save.disabled = ticked === 0;
  }

  for (const card of cards) {
    if (!card.box) continue;
    card.box.closest('label').hidden = false;
    card.box.checked = ticks.has(card.rows);
    card.box.addEventListener('change', () => {
      if (card.box.checked) ticks.add(card.rows); else ticks.delete(card.rows);
      store(ticks);
      update();
    });
  }
  form.hidden = false;
  form.addEventListener('input', update);
  form.addEventListener('submit', event => event.preventDefault());
  document.getElementById('open').addEventListener('click', () => sections.forEach(section => { section.open = true; }));
  document.getElementById('close').addEventListener('click', () => sections.forEach(section => { section.open = false; }));
  all('header a[href^="#"]').forEach(link => link.addEventListener('click', () => {
    const section = document.getElementById(link.hash.slice(1));
    if (section) section.open = true;
  }));
  save.addEventListener('click', () => {
    const rows = cards.filter(card => card.box && card.box.checked).map(card => card.rows);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([document.body.dataset.header + '\n', ...rows], { type: 'text/csv' }));
    link.download = 'reviewed.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  update();
}
