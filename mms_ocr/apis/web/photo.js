// Draws a box with the pointer, and sends it in percent of the photograph.
// `element` and `trigger` come from Gradio; see js_on_load of gr.HTML.

let start = null;
let mark = null;
const position = (event, frame) => {
  const { left, top, width, height } = frame.getBoundingClientRect();
  const share = (value, size) => Math.min(100, Math.max(0, (100 * value) / size));
  return [share(event.clientX - left, width), share(event.clientY - top, height)];
};
const between = ([x0, y0], [x1, y1]) => [
  Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0),
];

element.addEventListener("pointerdown", (event) => {
  const frame = event.target.closest(".photo");
  if (!frame) return;
  event.preventDefault();
  element.setPointerCapture(event.pointerId);
  start = position(event, frame);
  mark = frame.appendChild(document.createElement("div"));
  mark.className = "box";
});
element.addEventListener("pointermove", (event) => {
  if (!mark) return;
  const sides = between(start, position(event, mark.parentElement));
  ["left", "top", "width", "height"].forEach((side, i) => (mark.style[side] = `${sides[i]}%`));
});
for (const kind of ["pointerup", "pointercancel"]) {
  element.addEventListener(kind, (event) => {
    if (!mark) return;
    const box = between(start, position(event, mark.parentElement));
    mark.remove();
    mark = null;
    // A click without a box is none.
    if (kind === "pointerup" && box[2] > 0.5 && box[3] > 0.5) trigger("select", { box });
  });
}
