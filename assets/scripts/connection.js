// Whether the lab is still there: a lost connection is said in the page's words, and the page goes on by itself.
// A lab that was started anew has no session of this page: it is loaded anew, from what the browser keeps.
(() => {
  const EVERY_MS = 10000, LOST_EVERY_MS = 1000, ANSWER_MS = 5000;
  let next = null;
  const appId = async () => {
    const {root, api_prefix: prefix = '/gradio_api'} = window.gradio_config;
    const answer = await fetch(`${root}${prefix}/app_id`, {cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS)});
    if (answer.status >= 500) throw new Error(answer.statusText);  // of a proxy
    return answer.ok ? (await answer.json()).app_id : window.gradio_config.app_id;
  };
  const check = async () => {
    clearTimeout(next);
    let lost = false;
    try {
      if (!document.hidden && await appId() !== window.gradio_config.app_id) return location.reload();
    } catch {
      lost = true;
    }
    document.getElementById('connection')?.toggleAttribute('data-lost', lost);
    document.querySelectorAll('.toast-wrap').forEach((toasts) => { toasts.style.display = lost ? 'none' : ''; });
    clearTimeout(next);
    next = setTimeout(check, lost ? LOST_EVERY_MS : EVERY_MS);
  };
  document.addEventListener('visibilitychange', check);  // a laptop was opened again
  addEventListener('online', check);
  addEventListener('offline', check);
  // Gradio notices the loss at the next call, and says so in English.
  new MutationObserver((changes) => {
    const toasts = changes.flatMap((change) => [...change.addedNodes]).filter((node) => node.nodeType === 1);
    if (toasts.some((node) => node.closest?.('.toast-wrap') || node.querySelector?.('.toast-wrap, .toast-body'))) check();
  }).observe(document, {childList: true, subtree: true});
  next = setTimeout(check, EVERY_MS);
})();
