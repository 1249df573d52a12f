// Keys of the review page. Physical keys, so that they work on every keyboard layout.
(() => {
  const buttons = { Digit1: "correct", Digit2: "ambiguous", Digit3: "incorrect", Digit4: "unsure", KeyU: "undo" };
  for (const place of [1, 2, 3, 4]) buttons[`Numpad${place}`] = buttons[`Digit${place}`];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable;
    if (typing) {
      if (event.code === "Escape") event.target.blur();
      return;
    }
    if (event.code === "KeyN") {
      const note = document.querySelector("#note textarea");
      if (note) note.focus();
    } else if (buttons[event.code]) {
      const button = document.getElementById(buttons[event.code]);
      if (button && !button.disabled) button.click();
    } else {
      return;
    }
    event.preventDefault();
  });
})();
