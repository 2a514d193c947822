// Documentation page: search, copy buttons, and the language of the samples in all operations.
"use strict";

const root = document.documentElement;
root.classList.add("scripted");

const languages = [...document.querySelectorAll('input[name="language"]')];

function remembered(value) {
  try {
    if (value !== undefined) localStorage.setItem("language", value);
    return localStorage.getItem("language");
  } catch {
    return null; // the browser stores nothing for this page
  }
}

for (const input of languages) {
  if (input.value === remembered()) input.checked = true;
  input.addEventListener("change", () => remembered(input.value));
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy"; // browsers allow the clipboard only over HTTPS and on localhost
      getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

const search = document.getElementById("search");
const articles = [...document.querySelectorAll("article")].map((article) => ({
  article,
  text: article.textContent.toLowerCase(),
  link: document.querySelector(`nav a[href="#${article.id}"]`),
}));

search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { article, text, link } of articles) {
    const shown = words.every((word) => text.includes(word));
    article.hidden = !shown;
    if (link) link.parentElement.hidden = !shown;
    found += shown;
  }
  for (const section of document.querySelectorAll("main section")) {
    section.hidden = !section.querySelector("article:not([hidden])");
  }
  document.getElementById("found").textContent = words.length ? `${found} found` : "";
});
