// The tab is part of the address: a reload stays on it, and Back goes to the one before. A link that opens a tab is no
// tab before it.
(() => {
  const tabs = () => [...document.querySelectorAll('#tabs > .tab-wrapper [role="tab"]')];
  const named = (name) => tabs().find((tab) => tab.dataset.tabId === name);
  const first = () => tabs()[0]?.dataset.tabId;
  const restore = () => {
    const tab = named(location.hash.slice(1) || first());
    if (tab && tab.getAttribute('aria-selected') !== 'true') tab.click();
  };
  let current = null;
  new MutationObserver(() => {
    const selected = tabs().find((tab) => tab.getAttribute('aria-selected') === 'true')?.dataset.tabId;
    if (!selected || selected === current) return;
    const atStart = current === null;
    current = selected;
    if (atStart && location.hash) return restore();
    if (selected === (location.hash.slice(1) || first())) return;
    const linked = !location.hash && new URLSearchParams(location.search).has(selected);
    history[linked ? 'replaceState' : 'pushState'](null, '', `${location.pathname}#${selected}`);
  }).observe(document, {attributes: true, attributeFilter: ['aria-selected'], childList: true, subtree: true});
  addEventListener('popstate', restore);
  addEventListener('hashchange', restore);
})();
