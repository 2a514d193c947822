// Replaces the list, and nothing that a person types or opens. Without scripts the page is reloaded instead.
const list = document.getElementById("list");
setInterval(async () => {
  const response = await fetch(location.href).catch(() => null);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  list.replaceChildren(...page.getElementById("list").childNodes);
}, list.dataset.refresh * 1000);
