// Times in the reader's zone, copy buttons, scrolled navigation, and pages that update themselves. Without this script each page still works.
"use strict";

const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const LOCAL = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });  // 2026-11-30 23:10:00

function relative(seconds) {
  const [name, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["s", 1];
  const shown = `${Math.round(Math.abs(seconds) / size)} ${name}`;
  return seconds < 0 ? `in ${shown}` : `${shown} ago`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Prepare the parts of a page that need the script.
function prepare(root) {
  for (const time of root.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    const utc = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    const isRelative = time.hasAttribute("data-relative");
    const isToday = at.toDateString() === new Date().toDateString();
    const absolute = LOCAL.format(at);
    if (isRelative) setText(time, relative((Date.now() - at) / 1000));
    else setText(time, time.hasAttribute("data-short") && isToday ? absolute.slice(11, 16) : absolute);
    time.title = isRelative ? `${absolute} (${ZONE}), ${utc}` : utc;
  }
  for (const button of root.querySelectorAll("[data-script]")) button.hidden = false;
}

// Copy

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // no permission, or a page without TLS
    const area = document.body.appendChild(document.createElement("textarea"));
    area.value = text;
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await copy(button.dataset.copy);
  setText(button, "Copied");
  setTimeout(() => setText(button, "Copy"), 2000);
});

// Select all: a tick in the box ticks every box with the name in data-ticks

document.addEventListener("change", (event) => {
  const { form, checked, name, dataset } = event.target;
  if (dataset.ticks) for (const box of form.querySelectorAll(`[name="${dataset.ticks}"]`)) box.checked = checked;
  const all = form?.querySelector(`[data-ticks="${name}"]`);
  if (all && !checked) all.checked = false;
});

// Updates: the new page is merged into the present one, so that what is open, typed, ticked or focused stays.

// Attributes are read by getAttribute: a form has its inputs as properties, also those named `id` and `name`.
function isAlike(current, fresh) {
  if (current.nodeName !== fresh.nodeName) return false;
  if (current.nodeType !== Node.ELEMENT_NODE) return true;
  const identity = current.matches("[type=checkbox], [type=radio]") ? ["id", "name", "type", "value"] : ["id", "name", "type"];
  return identity.every((name) => current.getAttribute(name) === fresh.getAttribute(name));
}

function merge(current, fresh) {
  if (current.nodeType !== Node.ELEMENT_NODE) {
    if (current.data !== fresh.data) current.data = fresh.data;
    return;
  }
  if (current.isEqualNode(fresh) || current.matches("input:not([type=hidden]), select, textarea")) return;
  for (const { name, value } of fresh.attributes) if (current.getAttribute(name) !== value) current.setAttribute(name, value);
  for (const { name } of [...current.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") current.removeAttribute(name);
  }
  const byId = new Map([...current.children].map((child) => [child.getAttribute("id"), child]));
  let next = current.firstChild;
  for (const child of [...fresh.childNodes]) {
    const id = child.nodeType === Node.ELEMENT_NODE ? child.getAttribute("id") : null;
    const kept = id ? byId.get(id) : next && isAlike(next, child) ? next : null;
    if (kept === next && kept) next = next.nextSibling;
    else current.insertBefore(kept ?? child, next);
    if (kept) merge(kept, child);
  }
  while (next) {
    const removed = next;
    next = next.nextSibling;
    removed.remove();
  }
}

const main = document.querySelector("main");
const pause = document.getElementById("pause");
let paused = false;

async function refresh() {
  const response = await fetch(location.href).catch(() => null);
  if (response?.redirected) return location.reload();  // the session has ended
  const page = response && new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page?.querySelector("main[data-live]");
  document.getElementById("stale").hidden = Boolean(fresh);
  if (!fresh || paused) return;
  for (const part of ["main", "#as-of"]) {
    prepare(page.querySelector(part));
    merge(document.querySelector(part), page.querySelector(part));
  }
  if (document.title !== page.title) document.title = page.title;
}

async function refreshForever() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, main.dataset.live * 1000));
    if (!document.hidden && !paused) await refresh();
  }
}

pause?.addEventListener("click", () => {
  paused = !paused;
  setText(pause, paused ? "Resume updates" : "Pause updates");
});

// On a narrow screen navigation and tabs are scrolled to the present one.
for (const link of document.querySelectorAll("nav [aria-current]")) {
  const nav = link.parentElement;
  nav.scrollLeft = link.offsetLeft - nav.offsetLeft - (nav.clientWidth - link.clientWidth) / 2;
}

prepare(document);
setInterval(() => prepare(document), 10_000);
if (main.dataset.live) refreshForever();
