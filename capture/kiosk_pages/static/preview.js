// Shows how the preview stands, and turns clicks into the line of the seat for edge.toml.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const drawing = byId("drawing");
  const corners = [];
  let at = [0.5, 0.5];

  const within = (value) => Math.min(1, Math.max(0, value));
  const text = (value) => value.toFixed(3);
  const show = () => {
    byId("shape").setAttribute("points", corners.map(([x, y]) => `${x * 1000},${y * 1000}`).join(" "));
    byId("cursor").setAttribute("cx", String(at[0] * 1000));
    byId("cursor").setAttribute("cy", String(at[1] * 1000));
    byId("point").textContent = `${text(at[0])}, ${text(at[1])}`;
    byId("line").value = `seat_zone = [${corners.map(([x, y]) => `[${text(x)}, ${text(y)}]`).join(", ")}]`;
  };
  const follow = (event) => {
    const box = drawing.getBoundingClientRect();
    at = [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
    show();
  };
  const add = () => { corners.push(at); show(); };
  const undo = () => { corners.pop(); show(); };

  drawing.addEventListener("pointermove", follow);
  drawing.addEventListener("click", (event) => { follow(event); add(); });
  drawing.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.05 : 0.005;
    const moves = {
      ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
    };
    if (event.key in moves) {
      at = [within(at[0] + moves[event.key][0]), within(at[1] + moves[event.key][1])];
      show();
    } else if (event.key === "Enter") {
      add();
    } else if (event.key === "Backspace") {
      undo();
    } else {
      return;
    }
    event.preventDefault();
  });
  byId("add").addEventListener("click", add);
  byId("undo").addEventListener("click", undo);
  byId("clear").addEventListener("click", () => { corners.length = 0; show(); });
  byId("copy").addEventListener("click", async () => {
    byId("line").select();
    try {
      await navigator.clipboard.writeText(byId("line").value);
    } catch {
      document.execCommand("copy");  // where the page may not use the clipboard
    }
    byId("copy").textContent = byId("copy").dataset.copied;
  });

  const state = byId("state");
  const say = (words) => { if (state.textContent !== words) state.textContent = words; };
  const told = (kind, name) => state.getAttribute(`data-${kind}-${name.replaceAll("_", "-")}`) ?? name;
  const watch = async () => {
    let found;
    try {
      const answer = await fetch("/preview/state", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      found = await answer.json();
    } catch {
      say(state.dataset.lost);
      return;
    }
    byId("left").textContent = String(Math.ceil(found.left_s / 60));
    if (found.ended_by) {
      say(found.error ? `${told("end", found.ended_by)}: ${found.error}` : told("end", found.ended_by));
      return;
    }
    if (!found.frames) say(state.dataset.wait);
    else say(found.doubt ? told("doubt", found.doubt) : state.dataset.good);
    setTimeout(watch, 1000);
  };
  watch();
})();
