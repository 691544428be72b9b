// The page stays true: when the lab changes, the page asks for itself again, and what is
// marked data-live becomes as it is there. Nodes that stay the same are left alone, so that
// nobody loses the place, the selection or the focus, and nothing changes under a pointer
// that is pressed. Forms are left alone, too. Without this script every page works, and shows
// the lab as it was when it was made.
"use strict";

(() => {
  const refusal = document.getElementById("refusal");
  if (refusal) refusal.focus();

  let asking = false, again = false, timer = 0, tag = "";

  // A browser opens few connections to one address, six over HTTP/1.1: one page has the
  // stream of events, and tells the others what it hears. Where it goes, another takes its place.
  const others = new BroadcastChannel("console");
  const wantsTick = document.querySelector("[data-tick]") !== null;
  const heard = (what) => { if (!document.hidden && (what === "change" || wantsTick)) soon(); };
  const tell = (what) => { heard(what); others.postMessage(what); };
  others.onmessage = (e) => heard(e.data);

  let leave = new AbortController();
  const stream = (signal) => new Promise((ended) => {
    const source = new EventSource("/stream");
    source.onopen = () => tell("change"); // of what nobody heard meanwhile
    for (const what of ["change", "tick"]) source.addEventListener(what, () => tell(what));
    signal.addEventListener("abort", () => { source.close(); ended(); });
  });
  const follow = () => {
    leave = new AbortController();
    const signal = leave.signal;
    if (!navigator.locks) { stream(signal); return; }
    navigator.locks.request("console", {signal}, () => stream(signal)).catch(() => { /* the page goes */ });
  };

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, 20);
  };

  let pressed = false;
  addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const end of ["pointerup", "pointercancel", "blur"])
    addEventListener(end, () => { pressed = false; if (again) { again = false; soon(); } }, true);

  const refresh = async () => {
    if (asking || pressed) { again = true; return; }
    asking = true;
    try {
      // What was asked once, as a capture, is not asked again: another page has the lab's state.
      const from = document.querySelector("[data-once]") ? "/steps" : location.href;
      const headers = {Accept: "text/html"};
      if (tag) headers["If-None-Match"] = tag;
      const answer = await fetch(from, {headers});
      const text = await answer.text();
      if (answer.status !== 304 && answer.headers.get("Content-Type").startsWith("text/html"))
        if (pressed) again = true;
        else {
          take(new DOMParser().parseFromString(text, "text/html"));
          tag = answer.headers.get("ETag");
        }
    } catch { /* the console has ended, or comes back: the stream tells */ }
    asking = false;
    if (again && !pressed) { again = false; soon(); }
  };

  const take = (fresh) => {
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (!now) continue;
      keepOpen(old, now);
      if (old.isEqualNode(now)) continue;
      const focus = old.contains(document.activeElement) ? describe(document.activeElement) : null;
      if (old.id === "events") announce(old, now);
      become(old, now);
      if (focus && !old.contains(document.activeElement)) refocus(old, focus);
    }
  };

  // become makes a node like another one and keeps what of it is like that already.
  const become = (old, now) => {
    if (old.isEqualNode(now)) return;
    if (old.nodeName !== now.nodeName) { old.replaceWith(now); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = now.nodeValue; return; }
    for (const {name} of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
    for (const {name, value} of [...now.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const is = [...old.childNodes], will = [...now.childNodes];
    while (is.length && will.length && is[0].isEqualNode(will[0])) { is.shift(); will.shift(); }
    while (is.length && will.length && is.at(-1).isEqualNode(will.at(-1))) { is.pop(); will.pop(); }
    if (is.length === will.length) { is.forEach((n, i) => become(n, will[i])); return; }
    const after = is.length ? is.at(-1).nextSibling : will.length ? old.childNodes[[...now.childNodes].indexOf(will[0])] : null;
    for (const n of is) n.remove();
    for (const n of will) old.insertBefore(n, after ?? null);
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

  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  addEventListener("pagehide", () => leave.abort());
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
