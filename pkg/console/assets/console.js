// The page stays true: when the lab changes, the page asks for itself again, and what is
// marked data-live is replaced where it is different. Forms are left alone. Without this
// script every page works, and shows the lab as it was when it was made.
"use strict";

(() => {
  const refusal = document.getElementById("refusal");
  if (refusal) refusal.focus();

  let source = null, asking = false, again = false, timer = 0;

  // Browsers open few connections to one address: a page that nobody sees gives its up.
  const follow = () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
      return;
    }
    if (source) return;
    source = new EventSource("/stream");
    let first = true;
    source.onopen = () => { if (!first) soon(); first = false; };
    source.addEventListener("change", soon);
    source.addEventListener("tick", soon);
  };

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, 20);
  };

  const refresh = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, {headers: {Accept: "text/html"}});
      const text = await answer.text();
      if (answer.headers.get("Content-Type").startsWith("text/html"))
        take(new DOMParser().parseFromString(text, "text/html"));
    } catch { /* the console has ended, or comes back: the stream tells */ }
    asking = false;
    if (again) { again = false; soon(); }
  };

  const take = (fresh) => {
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (!now || old.innerHTML === now.innerHTML) continue;
      keepOpen(old, now);
      if (old.innerHTML === now.innerHTML) continue;
      const focus = old.contains(document.activeElement) ? describe(document.activeElement) : null;
      const scroll = [old.scrollLeft, old.scrollTop];
      if (old.id === "events") announce(old, now);
      old.replaceChildren(...now.childNodes);
      old.className = now.className;
      [old.scrollLeft, old.scrollTop] = scroll;
      if (focus) refocus(old, focus);
    }
  };

  // What the user opened or closed stays so.
  const keepOpen = (old, now) => {
    for (const was of old.querySelectorAll("details[id]")) {
      const is = [...now.querySelectorAll("details[id]")].find((d) => d.id === was.id);
      if (is) is.open = was.open;
    }
  };

  const describe = (e) => ({tag: e.tagName, href: e.getAttribute("href"), text: e.textContent});
  const refocus = (within, was) => {
    const same = [...within.querySelectorAll(was.tag)].find((e) => e.getAttribute("href") === was.href && e.textContent === was.text);
    if (same) same.focus({preventScroll: true});
  };

  const announce = (old, now) => {
    const before = old.querySelector("li"), latest = now.querySelector("li");
    if (latest && latest.textContent !== before?.textContent) {
      latest.classList.add("changed");
      document.getElementById("live").textContent = latest.lastElementChild.textContent;
    }
  };

  document.addEventListener("visibilitychange", () => { follow(); if (!document.hidden) soon(); });
  addEventListener("pagehide", () => { if (source) source.close(); source = null; });
  addEventListener("pageshow", (e) => { if (e.persisted) { follow(); soon(); } });
  follow();

  // A form is sent once.
  document.addEventListener("submit", (e) => {
    if (e.target.method !== "post") return;
    if (e.target.dataset.sent) e.preventDefault();
    e.target.dataset.sent = "yes";
    setTimeout(() => delete e.target.dataset.sent, 35000);
  });
})();
