// The page works without this script. With it, the screen follows the desk within a second.
"use strict";
(() => {
  const body = document.body;
  const count = document.querySelector("[data-countdown]");
  if (count) {
    const end = performance.now() + Number(count.textContent) * 1000;
    setInterval(() => {
      count.textContent = String(Math.max(0, Math.ceil((end - performance.now()) / 1000)));
    }, 500);
  }
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
  const typed = document.querySelector(".typed textarea");
  if (typed) {
    document.querySelector(".keys").hidden = false;
    for (const key of document.querySelectorAll("[data-key]")) {
      key.addEventListener("click", () => {
        const plain = typed.value.replace(/[^0-9A-Za-z]/g, "");
        const next = key.dataset.key === "back" ? plain.slice(0, -1) : (plain + key.dataset.key).slice(0, 16);
        typed.value = next.match(/.{1,4}/g)?.join("-") ?? "";
      });
    }
  }
  const stays = Number(body.dataset.stays || 0) * 1000;
  if (stays) {
    let leave = setTimeout(() => location.replace(body.dataset.home), stays);
    for (const kind of ["input", "keydown", "pointerdown"]) {
      document.addEventListener(kind, () => {
        clearTimeout(leave);
        leave = setTimeout(() => location.replace(body.dataset.home), stays);
      });
    }
  }
  if ("waiting" in body.dataset) setTimeout(() => location.reload(), 1500);
  const record = body.dataset.screen.split(" ")[1];
  const watch = async () => {
    try {
      const answer = await fetch(body.dataset.watch, { cache: "no-store" });
      if (answer.status === 403) {
        location.replace(body.dataset.home); // a new link is needed: what stands here may be out of date
        return;
      }
      const screen = (await answer.json()).screen;
      if (screen !== body.dataset.screen) {
        // The answer to a form has no query: the language is the page's. The next citizen starts with the default.
        const same = screen.split(" ")[1] === record;
        location.replace(same ? `${body.dataset.home}?lang=${document.documentElement.lang}` : body.dataset.home);
        return;
      }
    } catch {
      // the edge program restarts: ask again
    }
    setTimeout(watch, 700);
  };
  setTimeout(watch, 700);
})();
